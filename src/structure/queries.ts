/**
 * Query heads that leave their group one by one.
 *
 * Where queries are grouped, exporters repeat each key-value head for the queries of its group, so that a cut can only
 * take whole groups. `separateQueries` writes the same model in another way: the repeated heads are picked by an index for
 * each query head. Then a query head is a structure of its own, whose index goes with it, and a key-value head that no
 * index names any more goes too (`unread`). Groups may thus become unequal, which no repetition could express.
 *
 * Law: the model that is separated computes what it did before, bit by bit.
 * @module
 */
import { cloneModel, removeDeadNodes } from '../onnx/edit.ts';
import type { Graph, Model, Node } from '../onnx/model.ts';
import { type GraphIndex, indexGraph, intAttribute } from '../onnx/walk.ts';
import { type Analysis, analyse, nodeKey } from './analyse.ts';
import {
  type Atom,
  type Axes,
  type Axis,
  factors,
  keptSlices,
  leaves,
  sameAxis,
  sizeOfAxis,
} from './axes.ts';
import { flatten, nest } from './branches.ts';
import { axisAttribute, type Draft, draftOf } from './draft.ts';

/** Operators through which a repetition passes: what they make holds slices of what they read, and nothing else. */
const passes = new Set(['Reshape', 'Expand', 'Unsqueeze', 'Squeeze', 'Identity']);

/** A value that repeats the heads of another: at `axis`, each of its groups so many times. */
interface Repetition {
  readonly maker: Node;
  readonly output: string;
  readonly source: string;
  readonly axis: number;
  readonly groups: number;
  readonly times: number;
}

/**
 * The same model with repeated key-value heads picked by index, in every block where that makes single query heads
 * structures; the model itself where there is none.
 */
export function separateQueries(model: Model): Model {
  const analysis = analyse(model);
  const grouped = analysis.blocks.filter(({ queryHeadsPerStructure = 1 }) => queryHeadsPerStructure > 1);
  let wanted = new Set(grouped.map(({ id }) => id));
  while (wanted.size > 0) {
    const separated = separate(model, analysis, wanted);
    const now = new Map(analyse(separated).blocks.map(({ id, structures }) => [id, structures]));
    const apart = grouped.filter(
      ({ id, structures, queryHeadsPerStructure }) =>
        wanted.has(id) && now.get(id) === structures * queryHeadsPerStructure!,
    );
    const same = analysis.blocks.every(({ id, structures }) => wanted.has(id) || now.get(id) === structures);
    if (apart.length === wanted.size && same && now.size === analysis.blocks.length) return separated;
    // Where queries and groups meet in another way too, the block stays as it was.
    if (apart.length === wanted.size) return model;
    wanted = new Set(apart.map(({ id }) => id));
  }
  return model;
}

function separate(model: Model, analysis: Analysis, ids: ReadonlySet<string>): Model {
  const result = flatten(cloneModel(model));
  const { graph } = result;
  const draft = draftOf(result);
  for (const { source, output, maker, axis, groups, times } of repetitions(graph, analysis, ids)) {
    maker.outputs = maker.outputs.map((name) => (name === output ? draft.fresh(output) : name));
    const indices = Array.from({ length: groups * times }, (_, i) => Math.floor(i / times));
    draft.op('Gather', [source, draft.ints(indices)], [axisAttribute(axis)], output);
  }
  draft.settle();
  removeDeadNodes(graph);
  return nest(result);
}

function repetitions(graph: Graph, analysis: Analysis, ids: ReadonlySet<string>): Repetition[] {
  const index = indexGraph(graph);
  const heads = [...ids].map((id) => queryAxis(analysis, id)).filter((of) => of !== undefined);
  const found = new Map<string, Repetition>();
  for (const maker of graph.nodes) {
    const [output] = maker.outputs;
    const axes = analysis.values.get(output);
    if (!axes || !passes.has(maker.opType)) continue;
    for (const { all, group } of heads) {
      const axis = axes.findIndex((one) => sameAxis(one, all));
      if (axis < 0) continue;
      const source = sourceOf(index, analysis, maker, axes.with(axis, [group]));
      // What is made of a repetition by the same operators is none of its own.
      if (source === undefined || isDerived(index, maker, found)) continue;
      const times = sizeOfAxis(all)! / group.size!;
      found.set(output, { maker, output, source, axis, groups: group.size!, times });
    }
  }
  return [...found.values()];
}

/** The query heads of a block as an axis: its group, then the heads of a group. */
function queryAxis({ blocks, sites }: Analysis, id: string): { all: Axis; group: Atom } | undefined {
  const { queryHeadsPerStructure = 1 } = blocks.find((block) => block.id === id)!;
  const { atom, consumers } = sites.get(id)!;
  const [first, ...others] = factors(consumers[0].contracted);
  if (first !== atom) return undefined;
  const all = [first];
  let times = 1;
  for (const one of others) {
    if (times >= queryHeadsPerStructure) break;
    all.push(one);
    times *= one.size ?? Number.NaN;
  }
  return times === queryHeadsPerStructure ? { all, group: atom } : undefined;
}

/** The value with these axes that a node's result consists of. */
function sourceOf(index: GraphIndex, { values }: Analysis, from: Node, axes: Axes): string | undefined {
  for (let maker: Node | undefined = from; maker && passes.has(maker.opType); ) {
    const [source] = maker.inputs;
    const own = values.get(source);
    if (own?.length === axes.length && own.every((one, i) => sameAxis(one, axes[i]))) return source;
    maker = index.producer(source)?.node;
  }
  return undefined;
}

function isDerived(index: GraphIndex, from: Node, found: ReadonlyMap<string, unknown>): boolean {
  for (let maker: Node | undefined = from; maker && passes.has(maker.opType); ) {
    if (found.has(maker.inputs[0])) return true;
    maker = index.producer(maker.inputs[0])?.node;
  }
  return false;
}

/**
 * The key-value heads of which a cut leaves no reader: by atom, the slices that stay.
 * @param cut the slices that stay of every atom that is cut
 */
export function unread(analysis: Analysis, cut: ReadonlyMap<Atom, readonly number[]>): Map<Atom, number[]> {
  const picked = new Map<Atom, Set<number>>();
  for (const { of, by, indices } of analysis.picks) {
    const [atom, ...others] = factors(of);
    if (!atom || others.length > 0 || atom.parts || cut.has(atom)) continue;
    const read = picked.get(atom) ?? new Set();
    for (const slice of keptSlices(by, (one) => cut.get(one))) read.add(indices[slice]);
    picked.set(atom, read);
  }
  const stays = [...picked]
    .filter(([atom, { size }]) => size < atom.size!)
    .map(([atom, read]) => [atom, [...read].sort((a, b) => a - b)] as const);
  return new Map(stays);
}

/** After a rewrite: indices count what is left. */
export function renumber(
  draft: Draft,
  analysis: Analysis,
  kept: (atom: Atom) => readonly number[] | undefined,
): void {
  const nodes = new Map(draft.model.graph.nodes.map((node) => [nodeKey(node), node]));
  for (const { node: key, of, by, indices } of analysis.picks) {
    const node = nodes.get(key);
    if (!node || !leaves(of).some(kept)) continue;
    const stay = keptSlices(of, kept);
    node.inputs[1] = draft.ints(keptSlices(by, kept).map((slice) => stay.indexOf(indices[slice])));
  }
}

/** After inputs were made whole: a pick from what was picked is one pick. */
export function mergePicks(draft: Draft, analysis: Analysis): void {
  const { graph } = draft.model;
  const index = indexGraph(graph);
  const ours = new Set(analysis.picks.map(({ node }) => node));
  const constant = (name: string) => {
    const stored = graph.initializers.get(name);
    return stored?.type === 'int64' ? Array.from(stored.tensor().data as BigInt64Array, Number) : undefined;
  };
  for (const node of graph.nodes) {
    const inner = ours.has(nodeKey(node)) ? index.producer(node.inputs[0])?.node : undefined;
    if (inner?.opType !== 'Gather' || intAttribute(inner, 'axis', 0) !== intAttribute(node, 'axis', 0)) continue;
    const [outer, from] = [node, inner].map(({ inputs }) => constant(inputs[1]));
    if (outer && from?.every((i) => i >= 0))
      node.inputs = [inner.inputs[0], draft.ints(outer.map((i) => from[i]))];
  }
}
