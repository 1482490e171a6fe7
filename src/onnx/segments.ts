/**
 * A model in consecutive parts: one after the other may be in memory, and a run may begin where an earlier one came by.
 *
 * A cut goes between two nodes, at a *narrow place*: where as few values as anywhere cross that hang on weights, as a rule one,
 * the sum that a transformer's layers add to. Masks, positions, sizes, and whatever else most layers read cross too, but do not
 * count. What is computed from constants alone crosses nowhere; each part that needs it computes it.
 *
 * Law: running the parts in order, each with what it takes of those before, gives the outputs of the whole.
 * @module
 */
import { cloneModel, removeDeadNodes } from './edit.ts';
import { inferShapes } from './infer.ts';
import type { Model, Node, ValueInfo } from './model.ts';
import { forEachRead, tensorAttribute } from './walk.ts';

export interface Segment {
  readonly model: Model;
  /** Values of earlier parts that it reads. */
  readonly takes: readonly string[];
  /** Values that later parts read. */
  readonly gives: readonly string[];
}

export interface SegmentOptions {
  /** What a node weighs; what its constants weigh when left out. */
  readonly costOf?: (node: Node) => number;
  /** A part grows while it weighs no more; one that weighs more than this cannot be cut any further. */
  readonly limit: number;
  /** Inputs that stand for weights. */
  readonly weightInputs?: ReadonlySet<string>;
}

/** A value that lives through more than this share of the nodes is read by most layers (tables of positions, an encoder's states). */
const LONG_LIVED = 0.5;

/** Constants of fewer bytes are no weights: scales, bounds, the frequencies of rotary positions. */
const SMALLEST_WEIGHT = 4096;

/** Operators that make sizes of sizes. */
const ofSizes = new Set(
  'Add Cast Concat Div Equal Gather Identity Max Min Mul Neg Reshape Slice Squeeze Sub Unsqueeze Where'.split(
    ' ',
  ),
);

/** Cuts a model into parts of about equal weight. A model without narrow places, or that weighs too little, is one part. */
export function segmentsOf(model: Model, options: SegmentOptions): Segment[] {
  const { limit, weightInputs = new Set<string>() } = options;
  const kinds = kindsOf(model, weightInputs);
  const costOf = options.costOf ?? kinds.weightBytes;
  const nodes = model.graph.nodes.filter((node) => !kinds.isConstant(node));
  const { types, places } = narrowPlaces(model, nodes, kinds);

  // Greedy: a part is closed at the last place before it would weigh too much.
  const cuts: number[] = [];
  let [weight, from] = [0, 0];
  for (const at of [...places, nodes.length]) {
    const piece = nodes.slice(from, at).reduce((sum, node) => sum + costOf(node), 0);
    if (weight > 0 && piece > 0 && weight + piece > limit) {
      cuts.push(from);
      weight = 0;
    }
    weight += piece;
    from = at;
  }
  return split(model, nodes, cuts, kinds, types);
}

interface Kinds {
  /** Computed from constants alone. */
  isConstant(node: Node): boolean;
  /** Hangs on weights, and is no size. */
  isHeavy(value: string): boolean;
  /** Bytes of the constants that a node reads, those behind other constants included. */
  weightBytes(node: Node): number;
}

/** What the nodes and values of a model are, in one walk. */
function kindsOf({ graph }: Model, weightInputs: ReadonlySet<string>): Kinds {
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const bytes = new Map<string, number>(); // of constants
  for (const [name, { byteLength }] of graph.initializers) if (!inputs.has(name)) bytes.set(name, byteLength);
  const constants = new Set<Node>();
  const heavy = new Set<string>();
  const sizes = new Set<string>();
  const own = new Map<Node, number>();
  for (const node of graph.nodes) {
    const read: string[] = [];
    forEachRead(node, (value) => read.push(value));
    const stored = node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
    const weight = read.reduce((sum, value) => sum + (bytes.get(value) ?? 0), stored?.byteLength ?? 0);
    own.set(node, weight < SMALLEST_WEIGHT ? 0 : weight);
    // Without inputs there are constants, and random numbers, which each part would draw anew.
    if ((node.opType === 'Constant' || read.length > 0) && read.every((value) => bytes.has(value))) {
      constants.add(node);
      for (const output of node.outputs) bytes.set(output, weight);
      continue;
    }
    const small = (value: string) =>
      sizes.has(value) || (bytes.get(value) ?? SMALLEST_WEIGHT) < SMALLEST_WEIGHT;
    if (
      node.opType === 'Shape' ||
      node.opType === 'Size' ||
      (ofSizes.has(node.opType) && read.every(small))
    ) {
      for (const output of node.outputs) sizes.add(output);
      continue;
    }
    const hangs = (value: string) =>
      heavy.has(value) || weightInputs.has(value) || (bytes.get(value) ?? 0) >= SMALLEST_WEIGHT;
    if (read.some(hangs)) for (const output of node.outputs) heavy.add(output);
  }
  return {
    isConstant: (node) => constants.has(node),
    isHeavy: (value) => heavy.has(value),
    weightBytes: (node) => own.get(node) ?? 0,
  };
}

/** The last node that reads each value, by its index. */
function lastReads(nodes: readonly Node[]): Map<string, number> {
  const last = new Map<string, number>();
  for (const [i, node] of nodes.entries()) forEachRead(node, (value) => last.set(value, i));
  return last;
}

/** Where fewest heavy values cross, as indices of the node behind; and the types of values, which a part must declare. */
function narrowPlaces(model: Model, nodes: readonly Node[], { isHeavy }: Kinds) {
  const types = inferShapes(model);
  const last = lastReads(nodes);
  const ending = Map.groupBy([...last.keys()], (value) => last.get(value)!);
  const crossing = new Set<string>();
  const counted = new Set<string>();
  const counts: number[] = []; // of the places before nodes 1, 2, …
  for (const [i, node] of nodes.entries()) {
    for (const output of node.outputs) {
      const life = (last.get(output) ?? i) - i;
      if (life === 0) continue;
      crossing.add(output);
      if (isHeavy(output) && life < LONG_LIVED * nodes.length) counted.add(output);
    }
    for (const value of ending.get(i) ?? []) {
      crossing.delete(value);
      counted.delete(value);
    }
    const isTyped = [...crossing].every((value) => types.get(value)?.type !== undefined);
    const heavy = counted.size;
    // Before the first weight nothing is heavy yet, and behind the last no more.
    counts.push(isTyped && heavy > 0 && i + 1 < nodes.length ? heavy : Number.POSITIVE_INFINITY);
  }
  const least = Math.min(...counts);
  const places = counts.flatMap((count, i) => (count === least && Number.isFinite(count) ? [i + 1] : []));
  return { types, places };
}

function split(
  model: Model,
  nodes: readonly Node[],
  cuts: readonly number[],
  { isConstant }: Kinds,
  types: ReadonlyMap<string, ValueInfo>,
): Segment[] {
  if (cuts.length === 0) return [{ model, takes: [], gives: [] }];
  const last = lastReads(nodes);
  const partOf = new Map<string, number>();
  const bounds = [0, ...cuts, nodes.length];
  const parts = bounds.slice(1).map((end, k) => nodes.slice(bounds[k], end));
  for (const [k, part] of parts.entries())
    for (const node of part) for (const output of node.outputs) if (output !== '') partOf.set(output, k);
  const declared = (name: string): ValueInfo => {
    const { type, shape } = types.get(name) ?? {};
    return { name, ...(type && { type }), ...(shape && { shape }) };
  };
  return parts.map((part, k) => {
    const members = new Set(part);
    const reads = new Set<string>();
    for (const node of part) forEachRead(node, (value) => reads.add(value));
    const takes = [...reads].filter((value) => (partOf.get(value) ?? k) < k);
    const made = part.flatMap(({ outputs }) => outputs);
    const gives = made.filter((value) => (last.get(value) ?? -1) >= bounds[k + 1]);
    const result = cloneModel({
      ...model,
      graph: {
        ...model.graph,
        nodes: model.graph.nodes.filter((node) => members.has(node) || isConstant(node)),
      },
    });
    const { graph } = result;
    // An output that no node makes is handed on by the last part.
    const own = model.graph.outputs.filter(({ name }) => (partOf.get(name) ?? parts.length - 1) === k);
    const handed = new Set(own.map(({ name }) => name));
    graph.outputs = [...own, ...gives.filter((name) => !handed.has(name)).map(declared)];
    removeDeadNodes(graph);
    const needed = new Set([...reads, ...handed]);
    graph.inputs = [...graph.inputs.filter(({ name }) => needed.has(name)), ...takes.map(declared)];
    removeDeadNodes(graph); // what was the default of an input that is gone
    return { model: result, takes, gives };
  });
}
