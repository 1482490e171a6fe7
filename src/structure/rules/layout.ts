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
  partition,
  regroup,
  sizeOfAxis,
} from '../axes.ts';
import { type Item, numberOf, numbersOf } from '../shape-values.ts';
import { at, broadcast, known, type Operation, opaque, type Rule, sized } from './operation.ts';

export const transpose = known(1, (op, x) => {
  const order = op.ints('perm') ?? x.map((_, i) => x.length - 1 - i);
  return [order.map((i) => x[i])];
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

export const reshape = known(1, (op, x) => {
  const target = op.value(1);
  if (!target) return opaque(op);
  const copies = op.int('allowzero', 0) === 0;
  const dims = target.items.map((item, i): Extent | undefined => {
    const size = numberOf(item);
    if (size === 0 && copies) return extentOf(x[i] ?? []);
    return size !== undefined && size <= 0 ? undefined : item;
  });
  const out = regroup(x, dims);
  if (out) {
    aim(op, 1, out, target.items);
    return [out];
  }
  const unproven = dims.map((dim) => (dim ? [...axis(dim.times), ...dim.symbols] : axis(undefined)));
  for (const one of [...x, ...unproven]) op.freeze(one, 'regroups it in a way that is not proven');
  return [unproven];
});

export const flatten = known(1, (op, x) => {
  const split = at(op.int('axis', 1), x.length);
  return [[x.slice(0, split).flat(), x.slice(split).flat()]];
});

export const squeeze = known(1, (op, x) => {
  const listed = op.ints('axes') ?? (op.node.inputs[1] ? numbersOf(op.value(1)) : undefined);
  if (!listed && (op.node.inputs[1] || x.some((one) => !sized(one) && !isUnit(one)))) return opaque(op);
  const gone = new Set(listed?.map((one) => at(one, x.length)));
  return [x.filter((one, i) => (listed ? !gone.has(i) : !isUnit(one)))];
});

export const unsqueeze = known(1, (op, x) => {
  const listed = op.ints('axes') ?? numbersOf(op.value(1));
  if (!listed) return opaque(op);
  const rank = x.length + listed.length;
  const inserted = new Set(listed.map((one) => at(one, rank)));
  const rest = x[Symbol.iterator]();
  return [Array.from({ length: rank }, (_, i) => (inserted.has(i) ? [] : rest.next().value!))];
});

export const expand = known(1, (op, x) => {
  const target = op.value(1);
  if (!target) return opaque(op);
  const rank = Math.max(x.length, target.items.length);
  const out = Array.from({ length: rank }, (_, i): Axis => {
    const own = x[i - rank + x.length] ?? [];
    const item = target.items[i - rank + target.items.length];
    if (!isUnit(own) || i < rank - target.items.length) return own;
    return item ? [...axis(item.times), ...item.symbols] : axis(undefined);
  });
  const aligned = out.slice(rank - target.items.length);
  op.target(
    1,
    aligned.map((one, i) => (numberOf(target.items[i]) === 1 ? undefined : [one])),
  );
  return [out];
});

export const tile = known(1, (op, x) => {
  const repeats = op.value(1)?.items;
  if (repeats?.length !== x.length) return opaque(op);
  const copies = repeats.map((item) => (item ? [...axis(item.times), ...item.symbols] : axis(undefined)));
  x.forEach((one, i) => {
    if (repeats[i] === undefined) op.freeze(one, 'repeats it a computed number of times');
  });
  op.target(
    1,
    copies.map((one) => (isUnit(one) ? undefined : [one])),
  );
  return [x.map((one, i) => [...copies[i], ...one])];
});

export const concat: Rule = (op) => {
  const parts = op.node.inputs.map((_, input) => op.axes(input));
  if (parts.some((part) => part === undefined) || parts.length === 0) return opaque(op);
  const all = parts as Axes[];
  const along = at(op.int('axis', 0), all[0].length);
  const others = broadcast(
    op,
    all.map((axes) => axes.with(along, [])),
  );
  const terms = all.map((axes) => axes[along]);
  if (terms.length > 1 && terms.some((term) => sizeOfAxis(term) === undefined)) {
    for (const term of terms) op.freeze(term, 'joins it to a dimension of unknown size');
  }
  return [others.with(along, concatenate(terms))];
};

/** Pieces of one axis, or frozen pieces where the boundaries fall inside a slice. */
export function pieces(op: Operation, of: Axis, sizes: readonly number[]): readonly Axis[] {
  const parts = partition(of, sizes);
  if (parts) return parts;
  const apart = sizes.map(axis);
  for (const one of [of, ...apart])
    op.freeze(one, 'divides it at places that do not fall between its structures');
  return apart;
}

export const split = known(1, (op, x) => {
  const along = at(op.int('axis', 0), x.length);
  const size = sizeOfAxis(x[along]);
  const count = op.node.outputs.length;
  if (size === undefined) return op.node.outputs.map(() => x.with(along, axis(undefined)));
  const listed = op.ints('split') ?? (op.node.inputs[1] ? numbersOf(op.value(1)) : undefined);
  if (!listed && op.node.inputs[1]) return opaque(op);
  const each = Math.ceil(size / count);
  const sizes = listed ?? Array.from({ length: count }, (_, i) => Math.min(each, size - i * each));
  if (sizes.some((one) => one < 1)) return opaque(op);
  const parts = pieces(op, x[along], sizes);
  if (listed)
    op.target(
      op.ints('split') ? 'split' : 1,
      parts.map((part) => [part]),
    );
  // Parts that nothing names are equal: they must stay so.
  else for (const part of parts.slice(1)) op.unify(parts[0], part);
  return parts.map((part) => x.with(along, part));
});

export const slice = known(1, (op, x) => {
  const [starts, ends] = [op.value(1)?.items, op.value(2)?.items];
  const along = op.node.inputs[3] ? numbersOf(op.value(3)) : starts?.map((_, i) => i);
  const steps = op.node.inputs[4] ? numbersOf(op.value(4)) : starts?.map(() => 1);
  if (!along) return opaque(op);
  let out: Axes = x;
  const bounds: [from: (readonly Axis[] | undefined)[], to: (readonly Axis[] | undefined)[]] = [[], []];
  along.forEach((listed, i) => {
    const where = at(listed, x.length);
    const size = sizeOfAxis(x[where]);
    const [start, end] = [numberOf(starts?.[i]), numberOf(ends?.[i])];
    const whole = start === 0 && end !== undefined && end >= (size ?? 2 ** 31 - 1) && steps?.[i] === 1;
    if (whole) return;
    if (size === undefined) out = out.with(where, axis(undefined));
    else if (start === undefined || end === undefined || steps?.[i] !== 1) {
      op.freeze(x[where], 'takes a part of it that is computed, or in steps');
      out = out.with(where, axis(undefined));
    } else {
      const from = Math.min(Math.max(at(start, size), 0), size);
      const to = Math.min(Math.max(at(end, size), from), size);
      const sizes = [from, to - from, size - to];
      const parts = pieces(
        op,
        x[where],
        sizes.filter((one) => one > 0),
      );
      const before = from > 0 ? [parts[0]] : [];
      const part = to > from ? parts[before.length] : [{ size: 0 }];
      out = out.with(where, part);
      bounds[0][i] = before;
      bounds[1][i] = [...before, part];
    }
  });
  for (const [j, listed] of bounds.entries()) {
    op.target(
      j + 1,
      along.map((_, i) => listed[i]),
    );
  }
  return [out];
});

export const gather = known(2, (op, data, indices) => {
  const along = at(op.int('axis', 0), data.length);
  op.freeze(data[along], 'picks slices of it by index');
  return [data.toSpliced(along, 1, ...indices)];
});

/** Writes slices at computed places: the result lies as the data does, but no slice keeps to its own. */
export const scatter = known(1, (op, data) => {
  op.node.inputs.forEach((_, input) => {
    for (const one of op.axes(input) ?? []) op.freeze(one, 'writes into it by index');
  });
  return [data];
});

export const gatherND = known(2, (op, data, indices) => {
  const depth = sizeOfAxis(indices.at(-1) ?? []);
  const batches = op.int('batch_dims', 0);
  if (depth === undefined) return opaque(op);
  for (const one of data.slice(0, batches + depth)) op.freeze(one, 'picks slices of it by index');
  return [[...indices.slice(0, -1), ...data.slice(batches + depth)]];
});

export const gatherElements = known(2, (op, data, indices) => {
  for (const one of [...data, ...indices]) op.freeze(one, 'picks elements of it by index');
  return [indices];
});

export const pad = known(1, (op, x) => {
  const pads = op.node.inputs[3] ? undefined : numbersOf(op.value(1));
  return [
    x.map((one, i) => {
      if (pads?.[i] === 0 && pads[i + x.length] === 0) return one;
      op.freeze(one, 'pads it');
      return axis(undefined);
    }),
  ];
});

export const constantOfShape: Rule = (op) => {
  const target = op.value(0);
  if (!target) return [op.declared(0)];
  const out = target.items.map((item) => (item ? [...axis(item.times), ...item.symbols] : axis(undefined)));
  op.target(
    0,
    out.map((one) => [one]),
  );
  return [out];
};

export const vector: Rule = (op) => op.node.outputs.map(() => [axis(undefined)]);

export const shape = known(1, (_, x) => [[axis(x.length)]]);
