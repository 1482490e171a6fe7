/**
 * One forward walk over the graph: every value gets its axes, every pairing of slices is recorded in the atoms, and
 * what the cut will have to rewrite is noted. `blocks.ts` then reads the blocks off.
 *
 * Constants are templates: each *use* of one has axes of its own, because exporters give equal tensors
 * of different layers one name. Only a shared consuming matrix ties layers together (`blocks.ts`).
 * @module
 */
import { inferShapes } from '../onnx/infer.ts';
import type { ElementType, Graph, Model, Node, StoredTensor } from '../onnx/model.ts';
import {
  describeNode,
  forEachRead,
  intAttribute,
  intsAttribute,
  stringAttribute,
  tensorAttribute,
} from '../onnx/walk.ts';
import {
  type Atom,
  type Axes,
  type Axis,
  axis,
  factors,
  find,
  freeze,
  leaves,
  sameAxis,
  sizeOfAxis,
  unify,
} from './axes.ts';
import type { Block, Refusal } from './block.ts';
import { type Contraction, findBlocks, type Site } from './blocks.ts';
import { flatten, nest } from './branches.ts';
import { follow, type Operation } from './rules/operation.ts';
import { ruleOf, takesSlices } from './rules.ts';
import { evaluateParts, evaluateShape, type ShapeValue, shapeValueOf } from './shape-values.ts';

/** An integer vector that holds sizes: what its items must be after a cut. */
export interface Target {
  /** The node's identity: its first output. */
  readonly node: string;
  /** The input that holds the vector, or the attribute. */
  readonly where: number | string;
  /** Per item the axes whose sizes add up to it; undefined where the item stays. */
  readonly items: readonly (readonly Axis[] | undefined)[];
  /** An attribute that says only what the shape says too: it may be left out. */
  readonly redundant: boolean;
}

export interface Analysis {
  readonly blocks: readonly Block[];
  readonly refused: readonly Refusal[];
  /** By block: the atom that a removal cuts, and its consuming matrices. */
  readonly sites: ReadonlyMap<string, Site>;
  /** The axes of every value that depends on the model's inputs. */
  readonly values: ReadonlyMap<string, Axes>;
  /** The axes of operands that have their own: constants, and tables that several layers share. */
  readonly operands: ReadonlyMap<string, Axes>;
  readonly targets: readonly Target[];
  /** The axes of each integer input that tokens or their mask may come in: [batch, sequence]. */
  readonly tokenInputs: readonly Axes[];
  /** The element type of a value. */
  typeOf(value: string): ElementType | undefined;
}

/** Values that a constant is computed from, at most. */
const LONGEST_COMPUTATION = 500;

/** The identity of a node: names of values are unique, names of nodes are not. */
export const nodeKey = (node: Node): string => node.outputs.find((output) => output !== '') ?? '';
export const operandKey = (node: Node, input: number): string => `${input} ${nodeKey(node)}`;

/** Finds what can be removed from a model, and what cannot and why. Reads no weights. */
export function analyse(given: Model): Analysis {
  const model = flatten(given);
  const facts = factsOf(model.graph);
  const named = new Map<string, Atom>();
  const values = new Map<string, Axes>();
  const shapes = new Map<string, ShapeValue>();
  const fractions = new Set<string>();
  const operands = new Map<string, Axes>();
  const targets: Target[] = [];
  const unfollowed = new Map<string, Refusal>();
  /** Atoms of what several layers read though no activation decides it. */
  const shared = new Set<Atom>();
  const contractions: Contraction[] = [];
  const batched: Axis[] = [];
  const mixed: Axis[] = [];

  const dimension = (dim: number | string | undefined): Axis => {
    if (typeof dim === 'number') return dim < 0 ? axis(undefined) : axis(dim);
    if (dim === undefined) return axis(undefined);
    const atom = named.get(dim) ?? { size: undefined };
    named.set(dim, atom);
    return [atom];
  };
  const declared = (name: string): Axes | undefined => {
    const info =
      model.graph.valueInfo.get(name) ?? model.graph.outputs.find((output) => output.name === name);
    return info?.shape?.map(dimension);
  };

  /** A constant's axes for one use, through whatever is computed from constants alone. */
  const constantAxes = (name: string, within = new Map<string, Axes | undefined>()): Axes | undefined => {
    // A constant is computed by a few nodes; a chain of thousands would be followed once for every use.
    if (within.has(name) || within.size > LONGEST_COMPUTATION) return within.get(name);
    within.set(name, undefined); // counts while what it is computed from is looked at
    within.set(name, freshAxes(name, within));
    return within.get(name);
  };
  const freshAxes = (name: string, within: Map<string, Axes | undefined>): Axes | undefined => {
    const stored = facts.stored(name);
    if (stored) return stored.shape.map(axis);
    const maker = facts.producers.get(name);
    if (!maker) return undefined;
    const inputs = maker.inputs.map((input) => (input === '' ? undefined : constantAxes(input, within)));
    const op = operation(maker, (input) => inputs[input]);
    // Within constants nothing is summed by a consumer, and nothing needs new sizes: the result is cut as it is.
    const inert = {
      ...op,
      contract: (one: { input: number; at: number }, other: { input: number; at: number }) => {
        for (const { input, at } of [one, other]) op.freeze(inputs[input]?.[at] ?? [], 'sums over it');
      },
      batch() {},
      mix() {},
      target() {},
    };
    return follow(inert, ruleOf(maker)).outputs[maker.outputs.indexOf(name)];
  };

  const operand = (node: Node, input: number): Axes | undefined => {
    const name = node.inputs[input];
    if (!name) return undefined;
    if (facts.constants.has(name)) {
      const fresh = constantAxes(name);
      if (fresh) operands.set(operandKey(node, input), fresh);
      return fresh;
    }
    const own = values.get(name);
    const reads = facts.tableReads.get(name) ?? 0;
    if (!own || reads === 0 || !takesSlices(node, input)) return own;
    // A table beside scores that several layers read, or that must keep its shape: each reader takes the slices it
    // needs, so that a cut of one is none of another's. The last axis is features or positions, never heads.
    const fresh = own.map((one, i) => {
      const open = factors(one).filter((atom) => atom.size === undefined);
      const numbered = factors(one).slice(open.length); // the batch lies before the heads
      const size = sizeOfAxis(numbered);
      if (i === own.length - 1 || size === undefined || size === 1) return one;
      const keeps =
        reads > 1 || numbered.some((atom) => atom.frozen || [...shared].some((two) => find(two) === atom));
      return keeps ? [...open, ...axis(size)] : one;
    });
    if (fresh.every((one, i) => one === own[i])) return own;
    operands.set(operandKey(node, input), fresh);
    return fresh;
  };

  const operation = (node: Node, axesOf: (input: number) => Axes | undefined): Operation => {
    const at = describeNode(node);
    const seen = new Map<number, Axes | undefined>();
    const axes = (input: number) => {
      if (!seen.has(input)) seen.set(input, axesOf(input));
      return seen.get(input);
    };
    const stop = (of: Axis, what: string) => freeze(of, { at, what });
    const pair = (a: Axis, b: Axis) => {
      const open = [a, b].filter((one) => sizeOfAxis(one) === undefined).length;
      const paired = unify(a, b);
      if (paired && open !== 1) return;
      const what = paired ? 'a dimension of unknown size' : 'an axis that is divided differently';
      for (const one of [a, b]) stop(one, `pairs it with ${what}`);
    };
    return {
      node,
      opset: model.opsets.get(node.domain) ?? model.opsets.get('') ?? 0,
      axes,
      isConstant: (input) => facts.constants.has(node.inputs[input] ?? ''),
      value: (input) => shapes.get(node.inputs[input] ?? ''),
      int: (name, otherwise) => intAttribute(node, name, otherwise),
      ints: (name) => (node.attributes.get(name)?.kind === 'ints' ? intsAttribute(node, name) : undefined),
      text: (name) => stringAttribute(node, name),
      freeze: stop,
      unify: pair,
      contract(one, other) {
        const [a, b] = [axes(one.input)![one.at], axes(other.input)![other.at]];
        pair(a, b);
        const sides = [one, other].filter(({ input }) => facts.isMatrix(node.inputs[input]));
        const leaf = sides.length === 1 ? facts.leaf(node.inputs[sides[0].input]) : undefined;
        if (!leaf)
          return stop(a, sides.length === 0 ? 'sums over it between two activations' : 'sums over it');
        const [side] = sides;
        const order = leaf.order ?? [0, 1];
        if (order.length !== 2 || axes(side.input)!.length !== 2) return stop(a, 'sums over it');
        const read = side === one ? other : one;
        if (leaf.isPart) stop(a, 'sums over it, and takes its matrix out of a larger one');
        else if (!/float/.test(leaf.type))
          stop(a, `holds its matrix as ${leaf.type}: prune first, then quantize`);
        else if (read.at !== axes(read.input)!.length - 1)
          stop(a, 'sums over it though it is not the last axis');
        contractions.push({
          node,
          input: read.input,
          weightInput: side.input,
          weight: leaf.name,
          axis: order[side.at] as 0 | 1,
          contracted: a,
          rows: axes(side.input)![1 - side.at],
        });
      },
      batch: (of) => batched.push(of),
      mix: (of) => mixed.push(of),
      target: (where, items, redundant = false) =>
        targets.push({ node: nodeKey(node), where, items, redundant }),
      declared(output) {
        const own = declared(node.outputs[output]);
        for (const one of own ?? []) stop(one, 'is not followed');
        return own;
      },
    };
  };

  for (const input of model.graph.inputs) {
    const own = input.shape?.map(dimension);
    if (!own || model.graph.initializers.has(input.name)) continue;
    values.set(input.name, own);
  }
  for (const name of facts.constants) {
    const stored = facts.stored(name);
    if (!stored || stored.shape.length > 1 || stored.byteLength > 512 || stored.type === 'string') continue;
    const isFraction = /float/.test(stored.type);
    if (isFraction && stored.byteLength > 8) continue; // a weight
    const value = shapeValueOf(stored.tensor());
    if (value) shapes.set(name, value);
    if (isFraction) fractions.add(name);
  }
  for (const node of model.graph.nodes) {
    const op = operation(node, (input) => operand(node, input));
    const rule = ruleOf(node);
    const isConstant = facts.constants.has(nodeKey(node));
    const { outputs, why } = isConstant ? { outputs: [] } : follow(op, rule);
    const reason = why ? `${node.opType} ${why}` : `What ${node.opType} does to axes is not known`;
    if ((why || !rule) && !unfollowed.has(reason) && facts.isWeighty(node)) {
      const stays = `${reason}, so whatever it reads stays whole.`;
      unfollowed.set(reason, { at: describeNode(node), reason: stays });
    }
    node.outputs.forEach((name, i) => {
      if (name !== '' && outputs[i]) values.set(name, outputs[i]);
      if ((facts.tableReads.get(name) ?? 0) > 1)
        for (const atom of outputs[i]?.flatMap(leaves) ?? []) shared.add(atom);
    });
    // How many slices there are is a whole number, whatever they hold.
    const counts = node.opType === 'Shape' || node.opType === 'Size';
    const real = !counts && node.inputs.some((input) => fractions.has(input));
    const floating = node.opType === 'Cast' ? [1, 10, 11, 16].includes(intAttribute(node, 'to', 0)) : real;
    if (floating) fractions.add(nodeKey(node));
    const value = node.opType === 'Constant' ? undefined : evaluateShape(op, !real);
    if (value) shapes.set(nodeKey(node), value);
    for (const [i, part] of evaluateParts(op).entries())
      if (node.outputs[i]) shapes.set(node.outputs[i], part);
    freezeCaptured(node, (name) => values.get(name));
  }
  const found = findBlocks(model.graph, {
    values,
    operands,
    contractions,
    batched,
    mixed,
    biasOf(name) {
      const leaf = facts.leaf(name);
      return leaf?.isPart ? undefined : leaf;
    },
  });
  const tokenInputs = model.graph.inputs.flatMap(({ name, type }) => {
    const axes = values.get(name);
    return axes?.length === 2 && /^int/.test(type ?? '') ? [axes] : [];
  });
  const refused = [...unfollowed.values(), ...found.refused];
  if (found.blocks.length + refused.length === 0) {
    const reason = 'No matrix product in it reads what another makes, so there are no structures to remove.';
    refused.push({ at: `"${model.graph.name}"`, reason });
  }
  let types: ReturnType<typeof inferShapes> | undefined;
  const typeOf = (value: string) => {
    types ??= inferShapes(nest(model));
    return types.get(value)?.type;
  };
  return { ...found, refused, values, operands, targets, tokenInputs, typeOf };
}

/** Where a block's consuming matrix reads, and how its rows lie to the model's tokens. */
export interface CalibrationPoint {
  /** The value whose last axis the matrix contracts. */
  readonly input: string;
  /** The order of the rows, or undefined where they are not the tokens (so that padding cannot be told). */
  readonly maskLayout: 'batch-sequence' | 'sequence-batch' | undefined;
}

export function calibrationPoint(analysis: Analysis, blockId: string): CalibrationPoint {
  const block = analysis.blocks.find(({ id }) => id === blockId);
  if (!block) throw new RangeError(`structure: the model has no block "${blockId}"`);
  const { input } = block.consumer;
  const rows = (analysis.values.get(input) ?? []).slice(0, -1).flat();
  const lies = (order: Axis) => sameAxis(order, rows);
  for (const [batch, sequence] of analysis.tokenInputs) {
    if (lies([...batch, ...sequence])) return { input, maskLayout: 'batch-sequence' };
    if (lies([...sequence, ...batch])) return { input, maskLayout: 'sequence-batch' };
  }
  return { input, maskLayout: undefined };
}

/** The bodies of Loop and Scan are not followed: what they read stays. */
function freezeCaptured(node: Node, axesOf: (name: string) => Axes | undefined): void {
  forEachRead(node, (name, reader) => {
    if (reader === node) return;
    for (const one of axesOf(name) ?? []) freeze(one, { at: describeNode(node), what: 'reads it in a body' });
  });
}

/** Operators that only change how a constant lies: a slice of their result is a slice of what they read. */
export const layout = new Set(['Identity', 'Cast', 'Transpose', 'QuantizeLinear', 'DequantizeLinear']);
const weighted = /MatMul|Gemm|Conv|Einsum|Attention/;

interface Leaf {
  readonly name: string;
  readonly type: ElementType;
  /** A slice of a larger tensor: it can produce what is cut, and cannot be what reads it. */
  readonly isPart: boolean;
  readonly order?: readonly number[];
}

/** What is known before any axis is: what is constant, and which values are computed from activations. */
function factsOf(graph: Graph) {
  const producers = new Map<string, Node>();
  const constants = new Set<string>(graph.initializers.keys());
  const activations = new Set<string>();
  const tableReads = new Map<string, number>();
  for (const node of graph.nodes) {
    for (const output of node.outputs) if (output !== '') producers.set(output, node);
    const inputs = node.inputs.filter((name) => name !== '');
    const random = node.opType.startsWith('Random') || ['Multinomial', 'Bernoulli'].includes(node.opType);
    const bodies = [...node.attributes.values()].some(({ kind }) => kind === 'graph' || kind === 'graphs');
    if (!random && !bodies && inputs.every((name) => constants.has(name))) {
      for (const output of node.outputs) constants.add(output);
      continue;
    }
    // A shape is decided by the inputs' shapes alone.
    const active = node.opType !== 'Shape' && inputs.some((name) => activations.has(name));
    const weighs = weighted.test(node.opType) && inputs.some((name) => constants.has(name));
    if (active || weighs) for (const output of node.outputs) activations.add(output);
    if (!active) continue;
    for (const name of new Set(node.inputs.filter((_, input) => takesSlices(node, input)))) {
      if (!activations.has(name)) tableReads.set(name, (tableReads.get(name) ?? 0) + 1);
    }
  }
  for (const node of graph.nodes.toReversed()) {
    if (node.opType === 'Shape' || node.outputs.some((name) => activations.has(name))) continue;
    const reads = node.outputs.reduce((sum, name) => sum + (tableReads.get(name) ?? 0), 0);
    if (reads > 0)
      for (const name of new Set(node.inputs)) tableReads.set(name, (tableReads.get(name) ?? 0) + reads);
  }
  const stored = (name: string): StoredTensor | undefined => {
    const initializer = graph.initializers.get(name);
    if (initializer) return initializer;
    const maker = producers.get(name);
    return maker?.opType === 'Constant' ? tensorAttribute(maker, 'value') : undefined;
  };
  return {
    producers,
    constants,
    stored,
    /** Whether weights or activations enter a node, its bodies included. */
    isWeighty(node: Node): boolean {
      let found = false;
      forEachRead(node, (name) => {
        found ||= activations.has(name) || (graph.initializers.get(name)?.shape.length ?? 0) > 1;
      });
      return found && !constants.has(nodeKey(node));
    },
    /** How many operators pair a value that no activation decides, or what is made of it, with one that is decided by some. */
    tableReads,
    /** Whether a value is a stored matrix, or a part of one, whatever tells where the part begins. */
    isMatrix: (name: string): boolean =>
      constants.has(name) || (!activations.has(name) && leafOf(name)?.isPart === true),
    leaf: leafOf,
  };
  /** The initializer behind a value, or the first value that is a part of it; and, where it is transposed on the way, its axes' order. */
  function leafOf(name: string): Leaf | undefined {
    let order: readonly number[] | undefined;
    let part: string | undefined;
    let at = name;
    const passes = ({ opType }: Node) => layout.has(opType) || opType === 'Slice' || opType === 'Split';
    for (let maker = producers.get(at); maker && passes(maker); maker = producers.get(at)) {
      if (!layout.has(maker.opType)) part ??= at;
      if (maker.opType === 'Transpose') {
        const rank = intsAttribute(maker, 'perm')?.length ?? 2;
        const perm = intsAttribute(maker, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
        order = (order ?? perm.map((_, i) => i)).map((i) => perm[i]);
      }
      at = maker.inputs[0];
    }
    const tensor = graph.initializers.get(at);
    if (!tensor) return undefined;
    return { name: part ?? at, type: tensor.type, isPart: part !== undefined, ...(order && { order }) };
  }
}
