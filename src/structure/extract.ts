/**
 * A block alone, as a model: what the latency table times.
 * @module
 */
import { createHash } from 'node:crypto';
import { cloneNode, freshNames, removeDeadNodes } from '../onnx/edit.ts';
import type { Attribute, Dim, Graph, Model, Node, StoredTensor, ValueInfo } from '../onnx/model.ts';
import { indexGraph, intAttribute } from '../onnx/walk.ts';
import { type Analysis, operandKey } from './analyse.ts';
import { type Atom, type Axes, type Axis, factors, leaves, sizeOfAxis } from './axes.ts';
import { flatten, nest } from './branches.ts';
import { draftOf, renameTokens, shapeOf } from './draft.ts';

export interface Extract {
  readonly model: Model;
  /** Values of the whole model, by which the block's inputs are called too. */
  readonly inputs: readonly string[];
  readonly output: string;
}

/**
 * The block between the activations that its producers read and its consuming matrix' result, bias included.
 * Whatever value without a cut axis enters is an input; shape arithmetic is cloned.
 */
export function extract(given: Model, analysis: Analysis, blockId: string): Extract {
  const model = flatten(given);
  const { atom, consumers } = analysis.sites.get(blockId)!;
  const { bias } = analysis.blocks.find(({ id }) => id === blockId)!.consumer;
  const index = indexGraph(model.graph);
  const last = index.producer(consumers[0].node.outputs[0])!.node;
  const next = index.uses(last.outputs[0])[0]?.node;
  const biased = bias !== undefined && last.opType !== 'Gemm' && next?.opType === 'Add' ? next : undefined;
  const output = (biased ?? last).outputs[0];

  const cut = (axes: Axes | undefined) => axes?.flatMap(leaves).includes(atom) ?? false;
  const holds = (node: Node) =>
    node === last ||
    node === biased ||
    node.outputs.some((name) => cut(analysis.values.get(name))) ||
    node.inputs.some(
      (name, i) => cut(analysis.values.get(name)) || cut(analysis.operands.get(operandKey(node, i))),
    );
  const constant = (name: string) => !analysis.values.has(name);
  /** A size or a few, computed from shapes alone. */
  const isArithmetic = (name: string): boolean => {
    const maker = index.producer(name)?.node;
    const axes = analysis.values.get(name);
    if (!maker || !axes || axes.length > 1 || axes.some((one) => sizeOfAxis(one) === undefined)) return false;
    return (
      maker.opType === 'Shape' ||
      maker.inputs.every((input) => input === '' || constant(input) || isArithmetic(input))
    );
  };

  /** Dimensions without a number, joined to one, or to heads: from outside, the result would not tell which they were. */
  const folds = (name: string, { opType }: Node) =>
    (analysis.values.get(name) ?? []).some((one) => {
      const open = factors(one).filter((other) => other.size === undefined).length;
      if (open > 0 && open < factors(one).length) return true;
      return open > 1 && (opType === 'Reshape' || opType === 'Flatten');
    });

  const chosen = new Set<Node>();
  const boundary = new Set<string>();
  const shapesOf = new Set<Node>();
  const pending = [output];
  const seen = new Set(pending);
  const reach = (names: readonly string[]) => {
    for (const name of names) {
      if (name === '' || seen.has(name)) continue;
      seen.add(name);
      pending.push(name);
    }
  };
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const maker = index.producer(name)?.node;
    if (maker && (constant(name) || holds(maker) || folds(name, maker))) {
      chosen.add(maker);
      reach(maker.inputs);
    } else if (maker && isArithmetic(name)) {
      chosen.add(maker);
      if (maker.opType === 'Shape') shapesOf.add(maker);
      else reach(maker.inputs);
    } else if (!constant(name)) boundary.add(name);
  }

  const graph: Graph = {
    name: blockId,
    nodes: model.graph.nodes.filter((node) => chosen.has(node) && !shapesOf.has(node)).map(cloneNode),
    initializers: new Map(model.graph.initializers),
    inputs: [],
    outputs: [],
    valueInfo: new Map(),
  };
  const { irVersion, opsets, functions } = model;
  const alone: Model = {
    irVersion,
    opsets: new Map(opsets),
    functions: [...functions],
    metadata: new Map(),
    graph,
  };
  const draft = draftOf(alone, freshNames(model.graph));
  // The shape of a value outside the block, from values that enter it: their dimensions are the same atoms.
  const made = new Set([...chosen].filter((node) => !shapesOf.has(node)).flatMap((node) => node.outputs));
  for (const node of shapesOf) {
    const all = analysis.values.get(node.inputs[0])!;
    const axes = all.slice(intAttribute(node, 'start', 0), intAttribute(node, 'end', all.length));
    const isHere = made.has(node.inputs[0]) || boundary.has(node.inputs[0]);
    const shape = isHere
      ? undefined
      : shapeOf(draft, axes, [...boundary], analysis.values, { output: node.outputs[0] });
    if (shape === undefined) {
      if (!isHere) boundary.add(node.inputs[0]);
      draft.added.push(cloneNode(node));
    }
  }
  // Dimensions that are the same in the whole model have one name here: analysis needs to know that they are.
  const dims = new Map<Atom, string>();
  const dim = (one: Axis): Dim => {
    const [atom, ...others] = factors(one);
    if (!atom || atom.size !== undefined || others.length > 0) return sizeOfAxis(one);
    if (!dims.has(atom)) dims.set(atom, `d${dims.size}`);
    return dims.get(atom);
  };
  const declare = (name: string): ValueInfo => {
    const shape = analysis.values.get(name)?.map(dim);
    return { name, type: analysis.typeOf(name) ?? 'float32', ...(shape && { shape }) };
  };
  const isFloat = (name: string) => /float/.test(analysis.typeOf(name) ?? 'float32');
  const order = [...boundary].toSorted((a, b) => Number(isFloat(b)) - Number(isFloat(a)));
  graph.inputs = order.map(declare);
  graph.outputs = [declare(output)];
  draft.settle();
  removeDeadNodes(graph);
  renameTokens(graph);
  return { model: nest(alone), inputs: order, output };
}

/**
 * Equal for blocks whose graphs and shapes are the same: operators, attributes, sizes; not weights, not names.
 * They share a row of the latency table.
 */
export function signature(model: Model, analysis: Analysis, blockId: string): string {
  const { model: alone, output } = extract(model, analysis, blockId);
  const { graph } = alone;
  const makers = new Map(
    graph.nodes.flatMap((node) => node.outputs.map((name, i) => [name, { node, i }] as const)),
  );
  const inputs = new Map(graph.inputs.map((info) => [info.name, info]));
  const places = new Map<string, number>();
  const text: unknown[] = [...alone.opsets];
  /** Numbers what the output depends on in the order of first need, whatever order the file has. */
  const visit = (name: string): number => {
    const known = places.get(name);
    if (name === '' || known !== undefined) return known ?? -1;
    const stored = graph.initializers.get(name);
    const maker = makers.get(name);
    let line: unknown;
    if (maker?.node.opType === 'Identity') {
      places.set(name, visit(maker.node.inputs[0]));
      return places.get(name)!;
    }
    if (stored) line = describe(stored);
    else if (maker) {
      const { domain, opType, attributes, inputs } = maker.node;
      const settings = [...attributes].toSorted(([a], [b]) => (a < b ? -1 : 1));
      line = [domain, opType, maker.i, settings.map(([key, one]) => [key, plain(one)]), inputs.map(visit)];
    } else
      line = [
        inputs.get(name)?.type,
        inputs.get(name)?.shape?.map((one) => (typeof one === 'number' ? one : '?')),
      ];
    const place = places.size;
    places.set(name, place);
    text.push(line);
    return place;
  };
  visit(output);
  return createHash('sha256').update(JSON.stringify(text)).digest('hex').slice(0, 16);
}

/** Integers are sizes and indices, which make a graph; floats are weights, which do not. */
function describe(stored: StoredTensor): unknown {
  const values = /^u?int/.test(stored.type) && stored.byteLength <= 512 ? String(stored.tensor().data) : '';
  return [stored.type, stored.shape, values];
}

function plain(attribute: Attribute): unknown {
  if (attribute.kind === 'tensor') return describe(attribute.value);
  if (attribute.kind === 'graph' || attribute.kind === 'graphs' || attribute.kind === 'other')
    return attribute.kind;
  return String(attribute.value);
}
