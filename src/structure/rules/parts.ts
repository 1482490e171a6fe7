/**
 * Operators that take parts of an axis, or pick slices of it.
 * @module
 */
import { type Axes, type Axis, axis, partition, sizeOfAxis } from '../axes.ts';
import { type Item, numberOf, numbersOf } from '../shape-values.ts';
import {
  along,
  any,
  computed,
  freezeInputs,
  isRefused,
  known,
  listedAxes,
  type Operation,
  outside,
  place,
  type Rule,
  refused,
} from './operation.ts';

/** Pieces of one axis, or frozen pieces where the boundaries fall inside a slice. */
export function pieces(op: Operation, of: Axis, sizes: readonly number[]): readonly Axis[] {
  const parts = partition(of, sizes);
  if (parts) return parts;
  const apart = sizes.map(axis);
  for (const one of [of, ...apart])
    op.freeze(one, 'divides it at places that do not fall between its structures');
  return apart;
}

export const split = along(0, (op, x, at) => {
  const size = sizeOfAxis(x[at]);
  const count = op.node.outputs.length;
  if (size === undefined) return op.node.outputs.map(() => x.with(at, axis(undefined)));
  const listed = op.ints('split') ?? (op.node.inputs[1] ? numbersOf(op.value(1)) : undefined);
  if (!listed && op.node.inputs[1]) return computed;
  const each = Math.ceil(size / count);
  const sizes = listed ?? Array.from({ length: count }, (_, i) => Math.min(each, size - i * each));
  if (!sizes.every((one) => one >= 1) || sizes.length !== count)
    return refused('divides its operand into other parts than it has outputs');
  const parts = pieces(op, x[at], sizes);
  if (listed)
    op.target(
      op.ints('split') ? 'split' : 1,
      parts.map((part) => [part]),
    );
  // Parts that nothing names are equal: they must stay so.
  else for (const part of parts.slice(1)) op.unify(parts[0], part);
  return parts.map((part) => x.with(at, part));
});

export const slice = known([any], (op, x) => {
  // Before opset 10 the bounds were attributes; such a slice is followed where it leaves nothing out.
  const attribute = (name: string) => op.ints(name)?.map((value): Item => ({ times: value, symbols: [] }));
  const starts = attribute('starts') ?? op.value(1)?.items;
  const ends = attribute('ends') ?? op.value(2)?.items;
  const listed = op.ints('axes') ?? (op.node.inputs[3] ? numbersOf(op.value(3)) : starts?.map((_, i) => i));
  const steps = op.node.inputs[4] ? numbersOf(op.value(4)) : listed?.map(() => 1);
  const places = listed?.map((index) => place(index, x.length));
  if (!places) return refused('takes parts of axes that only a run can tell');
  if (!places.every((at) => at !== undefined) || new Set(places).size < places.length) return outside;
  let out: Axes = x;
  const bounds: [from: (readonly Axis[] | undefined)[], to: (readonly Axis[] | undefined)[]] = [[], []];
  for (const [i, at] of (places as number[]).entries()) {
    const size = sizeOfAxis(x[at]);
    const [start, end] = [numberOf(starts?.[i]), numberOf(ends?.[i])];
    const whole = start === 0 && end !== undefined && end >= (size ?? 2 ** 31 - 1) && steps?.[i] === 1;
    if (whole) continue;
    if (size === undefined) out = out.with(at, axis(undefined));
    else if (start === undefined || end === undefined || steps?.[i] !== 1 || op.ints('starts')) {
      op.freeze(x[at], 'takes a part of it that is computed, or in steps');
      out = out.with(at, axis(undefined));
    } else {
      const from = within(start, size);
      const to = Math.max(within(end, size), from);
      const sizes = [from, to - from, size - to].filter((one) => one > 0);
      const parts = pieces(op, x[at], sizes);
      const before = from > 0 ? [parts[0]] : [];
      const part = to > from ? parts[before.length] : [{ size: 0 }];
      out = out.with(at, part);
      bounds[0][i] = before;
      bounds[1][i] = [...before, part];
    }
  }
  for (const [j, moved] of bounds.entries()) {
    if (moved.length > 0)
      op.target(
        j + 1,
        places.map((_, i) => moved[i]),
      );
  }
  return [out];
});

/** A bound as Slice reads it. */
const within = (bound: number, size: number) => Math.min(Math.max(bound < 0 ? bound + size : bound, 0), size);

export const gather: Rule = known([any, any], (op, data, indices) => {
  const at = place(op.int('axis', 0), data.length);
  if (at === undefined) return outside;
  const run = consecutive(op, data[at]);
  if (!run) {
    op.freeze(data[at], 'picks slices of it by index');
    return [data.toSpliced(at, 1, ...indices)];
  }
  // What lies before a number that can be written anew may be cut, and what lies behind one that counts from the front.
  const { before, part, after, isNegative } = run;
  for (const one of indices.length === 0 && !isNegative ? [part, ...before] : [part])
    op.freeze(one, 'picks slices of it by number');
  if (isNegative) for (const one of after) op.freeze(one, 'picks slices of it by number from the end');
  const offset = Array.from({ length: sizeOfAxis(part)! }, (_, i) => (i > 0 ? [{ size: i }] : []));
  if (indices.length > 0)
    op.target(
      1,
      offset.map((one) => [...before, ...(one.length > 0 ? [one] : [])]),
    );
  return [data.toSpliced(at, 1, ...(indices.length > 0 ? [part] : []))];
});

/** The part of an axis that a Gather with known indices takes, where they follow one another. */
function consecutive(op: Operation, of: Axis) {
  const size = sizeOfAxis(of);
  const items = op.value(1)?.items.map(numberOf);
  if (size === undefined || !items || items.length === 0 || size < 2) return undefined;
  const places = items.map((item) => place(item ?? Number.NaN, size));
  const [from] = places;
  if (from === undefined || places.some((one, i) => one !== from + i)) return undefined;
  const to = from + places.length;
  const parts = partition(
    of,
    [from, to - from, size - to].filter((one) => one > 0),
  );
  if (!parts) return undefined;
  const first = from > 0 ? 1 : 0;
  return {
    before: parts.slice(0, first),
    part: parts[first],
    after: parts.slice(first + 1),
    isNegative: items.some((item) => item! < 0),
  };
}

/** Writes at computed places along one axis; along the others, each slice into its own. */
export const scatterElements = known([any, any, any], (op, data, indices, updates) => {
  const at = place(op.int('axis', 0), data.length);
  if (at === undefined || updates.length !== data.length || indices.length !== data.length) return outside;
  data.forEach((one, i) => {
    const pair = [one, updates[i], indices[i]];
    if (
      i === at ||
      !pair.every((own) => sizeOfAxis(own) === sizeOfAxis(one) && sizeOfAxis(one) !== undefined)
    ) {
      for (const own of pair) op.freeze(own, 'writes into it by index');
    } else for (const own of pair.slice(1)) op.unify(one, own);
  });
  return [data];
});

/** Writes whole slices at computed places: within those, each element into its own. */
export const scatterND = known([any, any, any], (op, data, indices, updates) => {
  const depth = sizeOfAxis(indices.at(-1) ?? []);
  if (depth === undefined) return computed;
  const isWhole = updates.length === indices.length - 1 + data.length - depth;
  if (indices.length === 0 || depth > data.length || !isWhole) return outside;
  const inner = updates.slice(indices.length - 1);
  for (const one of [...data.slice(0, depth), ...indices, ...updates.slice(0, indices.length - 1)])
    op.freeze(one, 'writes into it by index');
  data.slice(depth).forEach((one, i) => {
    op.unify(one, inner[i]);
  });
  return [data];
});

export const gatherND = known([any, any], (op, data, indices) => {
  const depth = sizeOfAxis(indices.at(-1) ?? []);
  const batches = op.int('batch_dims', 0);
  if (depth === undefined) return computed;
  if (indices.length === 0 || !(batches >= 0 && batches + depth <= data.length)) return outside;
  for (const one of data.slice(0, batches + depth)) op.freeze(one, 'picks slices of it by index');
  return [[...indices.slice(0, -1), ...data.slice(batches + depth)]];
});

/** Along the other axes, an element is picked from its own slice. */
export const gatherElements = known([any, any], (op, data, indices) => {
  const at = place(op.int('axis', 0), data.length);
  if (at === undefined || indices.length !== data.length) return outside;
  for (const one of [data[at], indices[at]]) op.freeze(one, 'picks elements of it by index');
  data.forEach((one, i) => {
    if (i !== at) op.unify(one, indices[i]);
  });
  return [data.with(at, indices[at])];
});

export const pad = known([any], (op, x) => {
  const listed = op.node.inputs[3] ? listedAxes(op, 3, x.length) : [...x.keys()];
  if (isRefused(listed) || !listed) return outside;
  const pads = op.ints('pads') ?? op.value(1)?.items.map(numberOf);
  return [
    x.map((one, at) => {
      const i = listed.indexOf(at);
      if (i < 0 || (pads?.[i] === 0 && pads[i + listed.length] === 0)) return one;
      op.freeze(one, 'pads it');
      return axis(undefined);
    }),
  ];
});

/** Axes that keep their size pass; a size that only a run can tell may be another. */
export const resize = known([any], (op, x) => {
  const sizes = op.value(3)?.items.map(numberOf);
  if (sizes?.length !== x.length || op.ints('axes')) return computed;
  const keeps = (one: Axis, i: number) => sizes[i] !== undefined && sizes[i] === sizeOfAxis(one);
  op.target(
    3,
    x.map((one, i) => (keeps(one, i) ? [one] : undefined)),
  );
  return [
    x.map((one, i) => {
      if (keeps(one, i)) return one;
      op.freeze(one, 'resizes it');
      return axis(sizes[i]);
    }),
  ];
});

/** An index for each slice becomes a row of its own. */
export const oneHot = known([any], (op, indices) => {
  const at = place(op.int('axis', -1), indices.length + 1);
  return at === undefined ? outside : [indices.toSpliced(at, 0, axis(undefined))];
});

export const nonZero = known([any], (op, x) => {
  freezeInputs(op, 'lists the places in it');
  return [[axis(x.length), axis(undefined)]];
});

export const vector: Rule = (op) => op.node.outputs.map(() => [axis(undefined)]);
export const size: Rule = (op) => {
  freezeInputs(op, 'counts its elements');
  return [[]];
};
