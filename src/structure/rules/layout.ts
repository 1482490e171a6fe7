/**
 * Operators that move slices about: the same elements under other boundaries, in another order, or some of them.
 * @module
 */
import {
  type Axes,
  type Axis,
  axis,
  concatenate,
  type Extent,
  extentOf,
  isUnit,
  matchEnds,
  partition,
  sameAxis,
  sizeOfAxis,
} from '../axes.ts';
import { type Item, numberOf, numbersOf } from '../shape-values.ts';
import {
  along,
  any,
  broadcast,
  freezeInputs,
  isCertain,
  isRefused,
  known,
  listedAxes,
  type Operation,
  outside,
  place,
  type Rule,
  refused,
  sizedBy,
} from './operation.ts';

const computed = refused('takes its sizes from what only a run can tell');

export const transpose = known([any], (op, x) => {
  const order = op.ints('perm') ?? [...x.keys()].reverse();
  const isOrder = order.length === x.length && x.every((_, i) => order.includes(i));
  return isOrder ? [order.map((i) => x[i])] : refused('orders axes that its operand does not have');
});

/** Asks for what a Reshape's target must be, and freezes axes whose target could not be rewritten. */
function aim(op: Operation, input: number, out: Axes, items: readonly Item[]) {
  op.target(
    input,
    out.map((one, i) => {
      const size = numberOf(items[i]);
      if (size === -1 || size === 0) return undefined; // the runtime works it out
      if (items[i] === undefined) op.freeze(one, 'takes a size for it that is computed');
      return [one];
    }),
  );
}

export const reshape = known([any], (op, x) => {
  const target = op.value(1);
  if (!target) return computed;
  const copies = op.int('allowzero', 0) === 0;
  const dims = target.items.map((item, i): Extent | undefined => {
    const size = numberOf(item);
    if (size === 0 && copies) return extentOf(x[i] ?? []);
    return size !== undefined && !(size > 0) ? undefined : item;
  });
  const { matched, rest } = matchEnds(x, dims);
  const open = dims.filter((_, i) => !matched[i]).length;
  const isProven = open === 1 || (open === 0 && rest.length === 0);
  const out = matched.map((one, i) => one ?? (isProven ? rest : sizedBy(dims[i])));
  if (!isProven)
    for (const one of open === 0 ? [rest, ...out] : [rest, ...out.filter((_, i) => !matched[i])])
      op.freeze(one, 'regroups it in a way that is not proven');
  aim(op, 1, out, target.items);
  return [out];
});

export const flatten = known([any], (op, x) => {
  const from = op.int('axis', 1);
  const at = from === x.length ? from : place(from, x.length);
  return at === undefined ? outside : [[x.slice(0, at).flat(), x.slice(at).flat()]];
});

export const squeeze = known([any], (op, x) => {
  const listed = listedAxes(op, 1, x.length);
  if (isRefused(listed)) return listed;
  if (listed) return [x.filter((_, i) => !listed.includes(i))];
  return x.every(isCertain) ? [x.filter((one) => !isUnit(one))] : computed;
});

export const unsqueeze = known([any], (op, x) => {
  const count = op.ints('axes')?.length ?? op.value(1)?.items.length ?? 0;
  const listed = listedAxes(op, 1, x.length + count);
  if (isRefused(listed)) return listed;
  const rest = x[Symbol.iterator]();
  return [
    Array.from({ length: x.length + count }, (_, i) => (listed?.includes(i) ? [] : rest.next().value!)),
  ];
});

export const expand = known([any], (op, x) => {
  const length = op.value(1)?.items.length ?? sizeOfAxis(op.axes(1)?.[0] ?? axis(undefined));
  if (length === undefined) return computed;
  const items: readonly Item[] = op.value(1)?.items ?? Array.from({ length }, () => undefined);
  const rank = Math.max(x.length, length);
  const out = Array.from({ length: rank }, (_, i): Axis => {
    const own = x[i - rank + x.length] ?? [];
    return !isUnit(own) || i < rank - length ? own : sizedBy(items[i - rank + length]);
  });
  const aligned = out.slice(rank - length);
  op.target(
    1,
    aligned.map((one, i) => (numberOf(items[i]) === 1 ? undefined : [one])),
  );
  return [out];
});

export const tile = known([any], (op, x) => {
  const repeats = op.value(1)?.items;
  if (repeats?.length !== x.length) return computed;
  const copies = repeats.map(sizedBy);
  x.forEach((one, i) => {
    if (repeats[i] === undefined) op.freeze(one, 'repeats it a computed number of times');
  });
  op.target(
    1,
    copies.map((one) => (isUnit(one) ? undefined : [one])),
  );
  return [x.map((one, i) => [...copies[i], ...one])];
});

export const concat = along(0, (op, first, at) => {
  const all = op.node.inputs.map((_, input) => op.axes(input) ?? []);
  if (op.node.inputs.some((_, input) => !op.axes(input))) return refused();
  if (all.some((axes) => axes.length !== first.length))
    return refused('joins operands of different dimensions');
  const others = broadcast(
    op,
    all.map((axes) => axes.with(at, [])),
  );
  const terms = all.map((axes) => axes[at]);
  if (terms.length > 1 && terms.some((term) => sizeOfAxis(term) === undefined)) {
    for (const term of terms) op.freeze(term, 'joins it to a dimension of unknown size');
  }
  return [others.with(at, concatenate(terms))];
});

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

export const constantOfShape: Rule = (op) => {
  const target = op.value(0);
  if (!target) return [op.declared(0)];
  const out = target.items.map(sizedBy);
  op.target(
    0,
    out.map((one) => [one]),
  );
  return [out];
};

/** If, laid out flat: a condition, what its first body hands out, and what its second does. */
export const choice: Rule = (op) => {
  const count = op.node.outputs.length;
  if (op.node.inputs.length !== 1 + 2 * count) return refused('has bodies that are not followed');
  const taken = numberOf(op.value(0)?.items[0]);
  return op.node.outputs.map((_, i) => {
    const [one, other] = [op.axes(1 + i), op.axes(1 + i + count)];
    if (taken !== undefined) return taken !== 0 ? one : other;
    if (one && one.length === other?.length) return one.map((axis, at) => either(op, axis, other[at]));
    for (const axis of [...(one ?? []), ...(other ?? [])])
      op.freeze(axis, 'chooses between it and another shape');
    return op.declared(i);
  });
};

/** The axis of one branch or the other; lengths that only a run can tell need not be the same. */
function either(op: Operation, one: Axis, other: Axis): Axis {
  if (sameAxis(one, other)) return one;
  const sizes = [one, other].map(sizeOfAxis);
  if (sizes[0] !== undefined && sizes[0] === sizes[1]) {
    op.unify(one, other);
    return one;
  }
  for (const axis of [one, other]) op.freeze(axis, 'chooses between it and another size');
  return axis(undefined);
}

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

export const shape = known([any], (_, x) => [[axis(x.length)]]);
