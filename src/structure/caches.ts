/**
 * Inputs and outputs that count heads: key-value caches. By default a cut model keeps them as they are, so that
 * every generation library still drives it: removed heads take no part, and their cache is zeros.
 *
 * What costs least while it runs: a cache is joined whole from the whole past and the new tokens, as the dense model
 * does, and attention gathers from it the heads that stay. The zeros are laid between the new tokens' heads, which are
 * few, and not into the past, which is long; a removed module's cache grows by zeros, so that its length stays true.
 * @module
 */
import type { Graph, Node } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { indexGraph, intAttribute } from '../onnx/walk.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { type Analysis, operandKey } from './analyse.ts';
import { type Atom, type Axes, type Axis, keptSlices, leaves, sizeOfAxis } from './axes.ts';
import { type Cache, type Removal, removedStructures } from './block.ts';
import { axisAttribute, type Draft, shapeOf } from './draft.ts';

/** Whether a cut model's caches have all heads, or only those that stay. */
export type CacheForm = 'keep' | 'compact';

/** An input or output that counts heads, after a cut: which slices of its axis stay, of how many. */
export interface CutCache extends Cache {
  readonly kept: readonly number[];
  readonly of: number;
}

/** The caches of all blocks from which structures are removed. */
export function cutCaches(analysis: Analysis, removal: Removal): CutCache[] {
  return [...removedStructures(analysis.blocks, removal)].flatMap(([id, gone]) => {
    const { atom } = analysis.sites.get(id)!;
    const { caches = [], structures } = analysis.blocks.find((block) => block.id === id)!;
    const stay = Array.from({ length: structures }, (_, i) => i).filter((i) => !gone.has(i));
    return (gone.size > 0 ? caches : []).map((cache) => {
      const one = analysis.values.get(cache.name)![cache.axis];
      const kept = keptSlices(one, (other) => (other === atom ? stay : undefined));
      return { ...cache, kept, of: sizeOfAxis(one)! };
    });
  });
}

/** What is computed at full size: values, and the nodes that lay such values side by side, with what they read. */
export interface Whole {
  readonly values: ReadonlySet<string>;
  readonly operands: ReadonlySet<string>;
  readonly nodes: ReadonlySet<Node>;
}

const axesRead = (analysis: Analysis, node: Node, input: number): Axes | undefined =>
  analysis.operands.get(operandKey(node, input)) ?? analysis.values.get(node.inputs[input]);

/**
 * The inputs and outputs that hold a cut atom, and what must be whole for them: an output that is joined from an input
 * is joined whole.
 */
export function wholeFor(graph: Graph, analysis: Analysis, isCut: (of: Axis) => boolean): Whole {
  const index = indexGraph(graph);
  const values = new Set<string>();
  const operands = new Set<string>();
  const nodes = new Set<Node>();
  const lays = (node: Node, axes: Axes) => {
    if (node.opType !== 'Concat') return ['Identity', 'If', 'Cast'].includes(node.opType);
    const along = axes.at(intAttribute(node, 'axis', 0));
    return along !== undefined && !isCut(along);
  };
  /** Whether a value is there whole, or joined from one that is. */
  const reach = (name: string): boolean => {
    const maker = index.producer(name)?.node;
    const axes = analysis.values.get(name);
    if (!maker || !axes || nodes.has(maker)) return true; // an input, a constant, or known already
    if (!lays(maker, axes)) return false;
    const cut = [...maker.inputs.keys()].filter((i) => axesRead(analysis, maker, i)?.some(isCut));
    if (!cut.map((i) => reach(maker.inputs[i])).some((whole) => whole)) return false;
    for (const i of cut) operands.add(operandKey(maker, i));
    nodes.add(maker);
    for (const output of maker.outputs) values.add(output);
    return true;
  };
  for (const { name } of graph.outputs) if (analysis.values.get(name)?.some(isCut)) reach(name);
  for (const { name } of [...graph.inputs, ...graph.outputs])
    if (analysis.values.get(name)?.some(isCut)) values.add(name);
  return { values, operands, nodes };
}

export interface WholePlan {
  isCut(of: Axis): boolean;
  /** The slices of a cut axis that stay; none where a module is removed. */
  stays(of: Axis): readonly number[];
  /** How long an axis is in the model's signature. */
  size(of: Axis): number | undefined;
  /** The slices that stay, as an int64 value. */
  indices(of: Axis): string;
}

/**
 * After a rewrite: makes the model's inputs and outputs whole again. Readers of an input take the slices that stay;
 * outputs get zeros in the place of those that are gone.
 */
export function keepWhole(draft: Draft, analysis: Analysis, whole: Whole, plan: WholePlan): void {
  const { graph } = draft.model;
  const index = indexGraph(graph);
  const filled = new Map<string, string>();
  const isRead = (reader: Node) => reader.opType === 'Shape' || whole.nodes.has(reader);

  for (const { name } of graph.outputs) {
    const maker = index.producer(name)?.node;
    const axes = analysis.values.get(name);
    if (!maker || !axes?.some(plan.isCut) || !whole.values.has(name) || whole.nodes.has(maker)) continue;
    const cut = draft.fresh(name);
    maker.outputs = maker.outputs.map((output) => (output === name ? cut : output));
    for (const { node, position } of index.uses(name)) if (!isRead(node)) node.inputs[position] = cut;
    graph.valueInfo.delete(name);
    fill(draft, analysis, cut, maker, axes, plan, name);
    filled.set(name, name);
  }
  for (const node of whole.nodes) {
    node.inputs.forEach((name, i) => {
      const axes = axesRead(analysis, node, i);
      const isFull = !analysis.values.has(name) && axes?.every((one) => plan.size(one) === sizeOfAxis(one));
      if (!axes?.some(plan.isCut) || whole.values.has(name) || isFull) return;
      const full = filled.get(name) ?? fill(draft, analysis, name, index.producer(name)?.node, axes, plan);
      filled.set(name, full);
      node.inputs[i] = full;
    });
  }
  const sources = [
    ...graph.inputs.map(({ name }) => name),
    ...[...whole.nodes].flatMap(({ outputs }) => outputs),
  ];
  for (const name of sources) {
    const axes = analysis.values.get(name);
    if (!axes?.some(plan.isCut) || !whole.values.has(name)) continue;
    const readers = index.uses(name).filter(({ node, position }) => position >= 0 && !isRead(node));
    if (readers.length === 0 || axes.some((one) => plan.isCut(one) && plan.stays(one).length === 0)) continue;
    const cut = axes.reduce(
      (value, one, i) =>
        plan.isCut(one) ? draft.op('Gather', [value, plan.indices(one)], [axisAttribute(i)]) : value,
      name,
    );
    for (const { node, position } of readers) node.inputs[position] = cut;
  }
  draft.settle();
}

/** Lays zeros between the slices that stay, in place of those that are gone. Returns the full value. */
function fill(
  draft: Draft,
  analysis: Analysis,
  cut: string,
  maker: Node | undefined,
  axes: Axes,
  { isCut, stays, size }: WholePlan,
  output?: string,
): string {
  const { graph, opsets } = draft.model;
  if (axes.some((one) => isCut(one) && stays(one).length === 0)) {
    const gone = new Set(axes.filter(isCut).flatMap(leaves));
    const earlier = graph.nodes
      .slice(0, maker ? graph.nodes.indexOf(maker) : 0)
      .flatMap(({ outputs }) => outputs);
    const sources = [...graph.inputs.map(({ name }) => name), ...earlier].filter(
      (name) => !analysis.values.get(name)?.some(holds(gone)),
    );
    // Where no other value tells, the dense one does, which is computed for its shape alone.
    const shape =
      shapeOf(draft, axes, sources, analysis.values, { size }) ??
      shapeOf(draft, axes, [cut], new Map([[cut, axes]]), { size })!;
    const type = (analysis.typeOf(output ?? cut) ?? 'float32') as Tensor['type'];
    const value = { kind: 'tensor', value: storedTensor(zeros(type, [1])) } as const;
    return draft.op('ConstantOfShape', [shape], [['value', value]], output);
  }
  const steps = axes.flatMap((one, i) =>
    isCut(one) ? [{ i, stay: stays(one), length: sizeOfAxis(one)! }] : [],
  );
  return steps.reduce((value, { i, stay, length }, step) => {
    const last = step === steps.length - 1 ? output : undefined;
    const [first, missing] = [stay[0], length - stay.length];
    const isRun = stay.at(-1)! - first === stay.length - 1;
    const [front, back] = isRun ? [first, missing - first] : [0, 1];
    const pads = axes.map((_, at) => (at === i ? front : 0));
    const ends = axes.map((_, at) => (at === i ? back : 0));
    const padded =
      (opsets.get('') ?? 0) < 11
        ? draft.op(
            'Pad',
            [value],
            [['pads', { kind: 'ints', value: [...pads, ...ends].map(BigInt) }]],
            isRun ? last : undefined,
          )
        : draft.op('Pad', [value, draft.ints([...pads, ...ends])], [], isRun ? last : undefined);
    if (isRun) return padded;
    const places = Array.from({ length }, (_, slice) =>
      stay.includes(slice) ? stay.indexOf(slice) : stay.length,
    );
    return draft.op('Gather', [padded, draft.ints(places)], [axisAttribute(i)], last);
  }, cut);
}

/** Whether an axis holds one of these atoms. */
export const holds =
  (atoms: { has(atom: Atom): boolean }) =>
  (of: Axis): boolean =>
    leaves(of).some((atom) => atoms.has(atom));
