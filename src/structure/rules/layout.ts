/**
 * Operators that lay the same slices out anew: under other boundaries, in another order, beside others, again and again.
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
  sameAxis,
  sizeOfAxis,
} from '../axes.ts';
import { type Item, numberOf } from '../shape-values.ts';
import {
  along,
  any,
  broadcast,
  computed,
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

export const shape = known([any], (_, x) => [[axis(x.length)]]);
