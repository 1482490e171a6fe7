/**
 * Making a graph hold for other sizes of its cut atoms: operands sliced copy-on-write, and every size that a node
 * reads written anew. A new size is a number (`cut`) or a value computed at run time (`parametrise`); all else is shared.
 *
 * Shape arithmetic goes on computing what it computed in the dense model: a Shape of a cut value is given the old
 * sizes, so that whatever else depends on it (a softmax's scale, say) stays as it was, and only the
 * nodes whose results hold a cut atom are told the new ones.
 * @module
 */
import { removeDeadNodes, renameValue } from '../onnx/edit.ts';
import type { Model, Node, StoredTensor, ValueInfo } from '../onnx/model.ts';
import { indexGraph, intAttribute, intsAttribute, tensorAttribute } from '../onnx/walk.ts';
import { type Analysis, nodeKey } from './analyse.ts';
import { type Atom, type Axes, type Axis, factors, leaves, measure, sizeOfAxis } from './axes.ts';
import { axisAttribute, type Draft } from './draft.ts';

/** A size: a number, or the name of an int64 value of shape [1]. */
export type Count = number | string;

export interface Plan {
  /** How many slices of a cut atom stay; undefined for atoms that are not cut. */
  count(atom: Atom): Count | undefined;
  /** Brings the slices of a stored tensor that stay into the graph, under `name`, which is free. */
  leaf(name: string, original: string, stored: StoredTensor, axes: Axes): void;
  /** The slices of an axis that stay, as an int64 value, for operands that are computed. */
  indices(of: Axis): string;
  /** Operands that keep their size for those outside who read or feed them (`caches.ts`). */
  readonly whole: ReadonlySet<string>;
}

/** Rewrites the draft in place for the plan's sizes. */
export function rewrite(draft: Draft, analysis: Analysis, plan: Plan): void {
  const { graph } = draft.model;
  const isCut = (of: Axis) => leaves(of).some((atom) => plan.count(atom) !== undefined);
  const nodes = new Map(graph.nodes.map((node) => [nodeKey(node), node]));
  const sizes = arithmetic(draft, plan);
  const slicer = slicing(draft, analysis, plan, isCut);

  for (const [key, axes] of analysis.operands) {
    const space = key.indexOf(' ');
    const node = nodes.get(key.slice(space + 1));
    if (!node || !axes.some(isCut) || plan.whole.has(key)) continue;
    const input = Number(key.slice(0, space));
    node.inputs[input] = slicer.derive(node.inputs[input], axes);
  }
  const vectors = new Map<string, string>();
  for (const { node: key, where, items } of analysis.targets) {
    const node = nodes.get(key);
    if (!node || !items.some((item) => item?.some(isCut))) continue;
    if (typeof where === 'string')
      setAttribute(
        node,
        where,
        items.map((item) => item && sizes.total(item)),
      );
    else {
      const old = node.inputs[where];
      const written = literal(draft.model, old);
      const changed = items.map((item, i) =>
        item?.some(isCut)
          ? sizes.resized(item, () => elements(draft, analysis, old)(i, i + 1)[0])
          : written?.[i],
      );
      const memo = `${old} ${changed.join()}`;
      const renewed = vectors.get(memo) ?? assemble(draft, changed, elements(draft, analysis, old));
      vectors.set(memo, renewed);
      node.inputs[where] = renewed;
    }
  }
  draft.settle();
  removeDeadNodes(graph);
  preserveShapes(draft, analysis, isCut, sizes);
  removeDeadNodes(graph);
  slicer.rename();
}

/** Sizes of axes under the plan, as numbers where they are, else as nodes that compute them. */
function arithmetic(draft: Draft, plan: Plan) {
  const value = (count: Count) => (typeof count === 'number' ? draft.ints([count]) : count);
  const binary =
    (opType: string, fold: (a: number, b: number) => number) =>
    (a: Count, b: Count): Count => {
      if (typeof a === 'number' && typeof b === 'number') return fold(a, b);
      if (opType === 'Mul' && a === 1) return b;
      if (opType !== 'Add' && b === 1) return a;
      return draft.op(opType, [value(a), value(b)]);
    };
  const [times, plus] = [binary('Mul', (a, b) => a * b), binary('Add', (a, b) => a + b)];
  const over = binary('Div', (a, b) => a / b);
  const size = (of: Axis) =>
    measure<Count>(of, { one: 1, times, plus, number: (n) => n, of: (atom) => plan.count(atom) });
  const numbered = (of: Axis) => factors(of).filter((atom) => atom.size !== undefined);
  const open = (of: Axis) => factors(of).length > numbered(of).length;
  const total = (of: readonly Axis[]): Count => of.map(size).reduce(plus, 0);
  return {
    total,
    /** The new size; where a factor has no number, the old size at run time, times new over old. */
    resized(of: readonly Axis[], old: () => string): Count {
      if (!of.some(open)) return total(of);
      const [before, now] = [sizeOfAxis(numbered(of[0]))!, size(numbered(of[0]))];
      return over(times(old(), now), before);
    },
    /** The old size, from the new one at run time. */
    restored(of: Axis, now: () => string): Count {
      if (!open(of)) return sizeOfAxis(of)!;
      return over(times(now(), sizeOfAxis(numbered(of))!), size(numbered(of)));
    },
  };
}

/** The numbers of a vector that the graph holds: with new ones beside them they make a vector that it holds again. */
function literal({ graph }: Model, vector: string): readonly number[] | undefined {
  const stored = graph.initializers.get(vector);
  return stored?.type === 'int64' ? Array.from(stored.tensor().data as BigInt64Array, Number) : undefined;
}

/** Reads items of an integer vector without computing them again where they stand alone already. */
function elements(draft: Draft, analysis: Analysis, vector: string) {
  const { graph } = draft.model;
  const maker =
    graph.nodes.find((node) => node.outputs.includes(vector)) ??
    draft.added.find((node) => node.outputs.includes(vector));
  const single = (name: string) => {
    const known = analysis.values.get(name) ?? graph.initializers.get(name)?.shape.map((size) => [{ size }]);
    if (known) return known.length === 1 && sizeOfAxis(known[0]) === 1;
    const constant = graph.nodes.find((node) => node.outputs.includes(name));
    return constant?.opType === 'Constant' && tensorAttribute(constant, 'value')?.shape.join() === '1';
  };
  const apart = maker?.opType === 'Concat' && maker.inputs.every(single) ? maker.inputs : undefined;
  return (from: number, to: number): readonly string[] =>
    apart?.slice(from, to) ?? [draft.items(vector, from, to)];
}

/** A vector of new items, and of the old ones where `changed` is undefined. */
function assemble(
  draft: Draft,
  changed: readonly (Count | undefined)[],
  old: (from: number, to: number) => readonly string[],
  output?: string,
): string {
  const parts: string[] = [];
  for (let i = 0; i < changed.length; ) {
    const kind = typeof changed[i];
    let end = i + 1;
    while (end < changed.length && typeof changed[end] === kind && kind !== 'string') end++;
    if (kind === 'string') parts.push(changed[i] as string);
    else if (kind === 'number') parts.push(draft.ints(changed.slice(i, end) as number[]));
    else parts.push(...old(i, end));
    i = end;
  }
  if (parts.length === 1 && output === undefined) return parts[0];
  return parts.length === 1
    ? draft.op('Identity', parts, [], output)
    : draft.op('Concat', parts, [axisAttribute(0)], output);
}

/** An attribute takes numbers only; one that cannot is redundant (`parametrise` leaves other blocks dense). */
function setAttribute(node: Node, name: string, items: readonly (Count | undefined)[]): void {
  const values = items.map((item) => (typeof item === 'number' ? BigInt(item) : undefined));
  const isList = node.attributes.get(name)?.kind === 'ints';
  if (!values.every((value) => value !== undefined)) node.attributes.delete(name);
  else
    node.attributes.set(name, isList ? { kind: 'ints', value: values } : { kind: 'int', value: values[0] });
}

/** Lets Shape tell the sizes of the dense model, where anything still asks for one that is cut. */
function preserveShapes(
  draft: Draft,
  analysis: Analysis,
  isCut: (of: Axis) => boolean,
  sizes: ReturnType<typeof arithmetic>,
): void {
  const { graph } = draft.model;
  const index = indexGraph(graph);
  for (const node of graph.nodes) {
    if (node.opType !== 'Shape' || node.domain !== '') continue;
    const all = analysis.values.get(node.inputs[0]);
    if (!all?.some(isCut)) continue;
    const axes = all.slice(intAttribute(node, 'start', 0), intAttribute(node, 'end', all.length));
    const asked = (reader: Node) =>
      picks(draft.model, reader, axes.length)?.some((i) => isCut(axes[i] ?? [])) ?? true;
    const [old] = node.outputs;
    if (!index.uses(old).some(({ node: reader }) => asked(reader)) && !index.isOutput(old)) continue;
    const now = draft.fresh(old);
    node.outputs[0] = now;
    const read = (from: number, to: number) => [draft.items(now, from, to)];
    const items = axes.map((one, i) =>
      isCut(one) ? sizes.restored(one, () => read(i, i + 1)[0]) : undefined,
    );
    assemble(draft, items, read, old);
  }
  draft.settle();
}

/** Which items of a vector a Gather or a Slice takes, where constants say so. */
function picks(model: Model, node: Node, length: number): number[] | undefined {
  const constant = (input: number) => {
    const name = node.inputs[input];
    const maker = model.graph.nodes.find((one) => one.outputs.includes(name));
    const stored = model.graph.initializers.get(name) ?? (maker && tensorAttribute(maker, 'value'));
    return stored && Array.from(stored.tensor().data as ArrayLike<bigint>, Number);
  };
  const all = Array.from({ length }, (_, i) => i);
  if (node.opType === 'Gather') return constant(1)?.map((i) => (i < 0 ? i + length : i));
  if (node.opType !== 'Slice' || node.inputs[4]) return undefined;
  const [start, end] = [constant(1)?.[0], constant(2)?.[0]];
  return start === undefined || end === undefined ? undefined : all.slice(start, end);
}

/**
 * Writes declared shapes anew: exporters declare them, and a stale one stops the model from loading.
 * @param whole values that keep their size
 */
export function restate(
  { graph }: Model,
  analysis: Analysis,
  count: (atom: Atom) => Count | undefined,
  whole: ReadonlySet<string>,
): void {
  const isCut = (of: Axis) => leaves(of).some((atom) => count(atom) !== undefined);
  const ring = {
    one: 1,
    times: (a: number, b: number) => a * b,
    plus: (a: number, b: number) => a + b,
    number: (size: number) => size,
    of(atom: Atom) {
      const now = count(atom) ?? atom.size;
      if (atom.parts && typeof now !== 'string') return undefined;
      return typeof now === 'number' ? now : Number.NaN; // known when it runs
    },
  };
  const anew = (info: ValueInfo): ValueInfo => {
    const axes = analysis.values.get(info.name);
    if (!axes?.some(isCut) || !info.shape || whole.has(info.name)) return info;
    const shape = info.shape.map((dim, i) => {
      if (!axes[i] || !isCut(axes[i])) return dim;
      const size = measure(axes[i], ring);
      return Number.isNaN(size) ? undefined : size;
    });
    return { ...info, shape };
  };
  graph.inputs = graph.inputs.map(anew);
  graph.outputs = graph.outputs.map(anew);
  for (const [name, info] of graph.valueInfo) graph.valueInfo.set(name, anew(info));
}

/** Slices operands copy-on-write: equal slices of one tensor are one tensor, and unsliced readers keep theirs. */
function slicing(draft: Draft, analysis: Analysis, plan: Plan, isCut: (of: Axis) => boolean) {
  const { graph } = draft.model;
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const numbers = new Map<Atom, number>();
  const describe = (of: Axis): string =>
    factors(of)
      .map((atom) => {
        if (plan.count(atom) !== undefined) {
          if (!numbers.has(atom)) numbers.set(atom, numbers.size);
          return `#${numbers.get(atom)}`;
        }
        return atom.parts?.kind === 'sum' ? `(${atom.parts.terms.map(describe).join('+')})` : atom.size;
      })
      .join('·');
  const derived = new Map<string, string>();
  const leafs = new Map<string, string[]>();
  const derive = (name: string, axes: Axes): string => {
    if (!axes.some(isCut)) return name;
    const memo = `${name} ${axes.map(describe).join()}`;
    const known = derived.get(memo);
    if (known) return known;
    const result = make(name, axes);
    derived.set(memo, result);
    return result;
  };
  const make = (name: string, axes: Axes): string => {
    const maker = producers.get(name);
    const constant = maker?.opType === 'Constant' ? tensorAttribute(maker, 'value') : undefined;
    const stored = graph.initializers.get(name) ?? constant;
    if (stored && !analysis.values.has(name)) {
      const sliced = draft.fresh(name);
      plan.leaf(sliced, name, stored, axes);
      leafs.set(name, [...(leafs.get(name) ?? []), sliced]);
      return sliced;
    }
    const shapeOf = (value: string) => graph.initializers.get(value)?.shape;
    const back = maker && !analysis.values.has(name) ? before(maker, axes, shapeOf) : undefined;
    if (maker && back) {
      const output = draft.fresh(name);
      draft.added.push({
        ...maker,
        name: output,
        inputs: maker.inputs.map((input, i) => (back[i] && input !== '' ? derive(input, back[i]) : input)),
        outputs: [output],
      });
      return output;
    }
    return axes.reduce((value, one, i) => (isCut(one) ? sliceAt(value, one, i, axes.length) : value), name);
  };
  const sliceAt = (value: string, one: Axis, at: number, rank: number): string => {
    const open = factors(one).filter((atom) => atom.size === undefined);
    if (open.length === 0) return draft.op('Gather', [value, plan.indices(one)], [axisAttribute(at)]);
    // The batch is set apart from the heads, and joined to those that stay.
    const heads = factors(one).slice(open.length);
    const shape = draft.op('Shape', [value]);
    const sizes = (from: number, to: number) =>
      from < to ? [draft.op('Slice', [shape, draft.ints([from]), draft.ints([to])])] : [];
    const reshape = (of: string, own: readonly number[]) => {
      const target = [...sizes(0, at), draft.ints(own), ...sizes(at + 1, rank)];
      return draft.op('Reshape', [of, draft.op('Concat', target, [axisAttribute(0)])]);
    };
    const apart = reshape(value, [-1, sizeOfAxis(heads)!]);
    return reshape(draft.op('Gather', [apart, plan.indices(heads)], [axisAttribute(at + 1)]), [-1]);
  };
  return {
    derive,
    /** A tensor that lives on in one sliced form only keeps its name. */
    rename() {
      const read = new Set(graph.nodes.flatMap((node) => node.inputs));
      const declared = new Set(graph.inputs.map(({ name }) => name));
      for (const [original, [only, ...others]] of leafs) {
        const alive = graph.initializers.has(original) || producers.get(original)?.opType === 'Constant';
        if (alive || others.length > 0 || !read.has(only) || declared.has(only)) continue;
        renameValue(graph, only, original);
      }
    },
  };
}

/** The axes of a layout operator's inputs, given its output's; undefined for an input that stays. */
function before(
  maker: Node,
  axes: Axes,
  shapeOf: (value: string) => readonly number[] | undefined,
): readonly (Axes | undefined)[] | undefined {
  if (maker.opType === 'Identity' || maker.opType === 'Cast') return [axes];
  if (maker.opType === 'QuantizeLinear' || maker.opType === 'DequantizeLinear') {
    const scale = shapeOf(maker.inputs[1]);
    if (!scale || scale.length > 1) return undefined;
    const along = (scale[0] ?? 1) > 1 ? axes.at(intAttribute(maker, 'axis', 1)) : undefined;
    return [axes, along && [along], along && [along]];
  }
  if (maker.opType !== 'Transpose') return undefined;
  const perm = intsAttribute(maker, 'perm') ?? axes.map((_, i) => axes.length - 1 - i);
  return [axes.map((_, i) => axes[perm.indexOf(i)])];
}
