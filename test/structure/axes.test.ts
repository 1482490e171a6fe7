/** The algebra against arrays: an axis is right when its slices are those of a real tensor. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Atom,
  type Axes,
  type Axis,
  axis,
  concatenate,
  extentOf,
  factors,
  freeze,
  keptSlices,
  leaves,
  matchEnds,
  measure,
  partition,
  regroup,
  sameAxis,
  sizeOfAxis,
  unify,
} from '../../src/structure/axes.ts';
import { take } from '../../src/tensor/slice.ts';
import { sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { range } from './running.ts';

const counted = (shape: readonly number[]) => tensor('int32', shape, Int32Array.from(range(sizeOf(shape))));

const number = (times: number) => ({ times, symbols: [] });

/** Takes from every axis of a tensor the slices that stay. */
function cutTo(shape: readonly number[], axes: Axes, kept: (atom: Atom) => readonly number[] | undefined) {
  return axes.reduce((now, one, i) => take(now, i, keptSlices(one, kept)), counted(shape));
}

/** Two ways to group the same factors: [2·3, 4] and [2, 3·4]. */
const twoGroupings = fc
  .array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 })
  .chain((sizes) => {
    const cuts = fc.subarray(range(sizes.length - 1).map((i) => i + 1));
    return fc.tuple(fc.constant(sizes), cuts, cuts);
  });

const groupsOf = (sizes: readonly number[], cuts: readonly number[]) =>
  [0, ...cuts].map((from, i) => sizeOf(sizes.slice(from, [...cuts, sizes.length][i])));

describe('regroup', () => {
  test('cutting and then reshaping is reshaping and then cutting', () => {
    fc.assert(
      fc.property(twoGroupings, fc.nat(), fc.nat(), ([sizes, one, other], pick, drop) => {
        const [from, to] = [groupsOf(sizes, one), groupsOf(sizes, other)];
        const before = from.map(axis);
        const after = regroup(before, to.map(number));
        // Boundaries that do not nest are refused; all others are exact.
        if (!after) return;
        expect(after.map(sizeOfAxis)).toEqual(to);
        const atoms = before.flatMap(factors);
        if (atoms.length === 0) return;
        const cut = atoms[pick % atoms.length];
        const kept = range(cut.size!).filter((i) => i !== drop % cut.size!);
        const stay = (atom: Atom) => (atom === cut ? kept : undefined);
        expect([...cutTo(to, after, stay).data]).toEqual([...cutTo(from, before, stay).data]);
      }),
    );
  });

  test('nested boundaries are never refused', () => {
    fc.assert(
      fc.property(twoGroupings, ([sizes, cuts]) => {
        const joined = groupsOf(sizes, cuts);
        expect(regroup(sizes.map(axis), joined.map(number))).toBeDefined();
        expect(regroup(joined.map(axis), sizes.map(number))).toBeDefined();
      }),
    );
  });

  test('finds heads beside dimensions without a number', () => {
    const [batch, sequence, width] = [axis(undefined), axis(undefined), axis(48)];
    const split = regroup([batch, sequence, width], [extentOf(batch), undefined, number(4), number(12)])!;
    expect(split.map(sizeOfAxis)).toEqual([undefined, undefined, 4, 12]);
    expect(sameAxis(split[1], sequence)).toBe(true);
    expect(factors(width)).toEqual([...factors(split[2]), ...factors(split[3])]);
    const merged = regroup(
      [split[0], split[1], split[2], split[3]],
      [extentOf(batch), extentOf(sequence), number(48)],
    )!;
    expect(sameAxis(merged[2], width)).toBe(true);
  });

  test('what matches at the ends is kept, whatever lies between', () => {
    const [batch, height, width, features] = [axis(undefined), axis(undefined), axis(undefined), axis(48)];
    const dims = [extentOf(batch), undefined, undefined, undefined, number(4), number(12)];
    const { matched, rest } = matchEnds([batch, height, width, features], dims);
    expect(matched.map((one) => one && sizeOfAxis(one))).toEqual(dims.map((_, i) => [4, 12][i - 4]));
    expect(sameAxis(matched[0]!, batch)).toBe(true);
    expect(sameAxis([...matched[4]!, ...matched[5]!], features)).toBe(true);
    expect(sameAxis(rest, [...height, ...width])).toBe(true);
    expect(regroup([batch, height, width, features], dims)).toBeUndefined();
  });

  test('merges batch and heads, and splits them again', () => {
    const [batch, heads, length, width] = [axis(undefined), axis(4), axis(undefined), axis(8)];
    const both = { times: 4, symbols: factors(batch) };
    const flat = regroup([batch, heads, length, width], [both, extentOf(length), number(8)])!;
    expect(factors(flat[0])).toEqual([...factors(batch), ...factors(heads)]);
    const back = regroup(flat, [extentOf(batch), number(4), undefined, number(8)])!;
    expect(back.map((one, i) => sameAxis(one, [batch, heads, length, width][i]))).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  test('refuses what it cannot prove', () => {
    const [a, b] = [axis(undefined), axis(undefined)];
    expect(regroup([a, b, axis(6)], [undefined, undefined, number(6)])).toBeUndefined();
    expect(regroup([axis(6), axis(2)], [number(4), number(3)])).toBeUndefined();
    expect(regroup([axis(6)], [number(3)])).toBeUndefined();
  });
});

describe('unify', () => {
  test('makes one cut of two axes', () => {
    fc.assert(
      fc.property(twoGroupings, fc.nat(), ([sizes, one, other], pick) => {
        const [left, right] = [groupsOf(sizes, one).flatMap(axis), groupsOf(sizes, other).flatMap(axis)];
        if (!unify(left, right)) return;
        expect(sameAxis(left, right)).toBe(true);
        const atoms = factors(left);
        if (atoms.length === 0) return;
        const stay = (atom: Atom) => (atom === atoms[pick % atoms.length] ? [0] : undefined);
        expect(keptSlices(left, stay)).toEqual(keptSlices(right, stay));
      }),
    );
  });

  test('refuses boundaries that do not nest, and other sizes', () => {
    expect(unify([...axis(4), ...axis(3)], [...axis(6), ...axis(2)])).toBe(false);
    expect(unify(axis(4), axis(6))).toBe(false);
    expect(unify(axis(4), axis(4))).toBe(true);
  });

  test('a reason goes with the atom, through unions and later refinements', () => {
    const [a, b] = [axis(12), axis(12)];
    const reason = { at: 'norm', what: 'normalises over it' };
    freeze(a, reason);
    unify(a, b);
    const split = regroup([b], [number(3), number(4)])!;
    expect(split.flatMap(leaves).every(({ frozen }) => frozen === reason)).toBe(true);
  });

  test('sums pair term by term', () => {
    const [a, b] = [axis(5), axis(5)];
    const [x, y] = partition(a, [2, 3])!;
    const [u, v] = partition(b, [2, 3])!;
    expect(unify(a, b)).toBe(true);
    expect(sameAxis(x, u) && sameAxis(y, v)).toBe(true);
    const [c, d] = [axis(5), axis(5)];
    partition(c, [2, 3]);
    partition(d, [3, 2]);
    expect(unify(c, d)).toBe(false);
  });
});

describe('partition and concatenate', () => {
  const pieces = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 });

  test('pieces are the slices between their bounds', () => {
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 3 }), fc.nat(), (sizes, inner, pick) => {
        const total = sizes.reduce((sum, size) => sum + size, 0);
        const whole: Axis = [...axis(total), ...axis(inner)];
        const parts = partition(
          whole,
          sizes.map((size) => size * inner),
        )!;
        const atoms = leaves(whole);
        if (atoms.length === 0) return;
        const stay = (atom: Atom) => (atom === atoms[pick % atoms.length] ? [0] : undefined);
        let offset = 0;
        const joined = parts.flatMap((part) => {
          const here = keptSlices(part, stay).map((i) => i + offset);
          offset += sizeOfAxis(part)!;
          return here;
        });
        expect(keptSlices(whole, stay)).toEqual(joined);
      }),
    );
  });

  test('dividing twice at other places keeps both divisions', () => {
    const packed = axis(96);
    const [query, rest] = partition(packed, [32, 64])!;
    const [first, key, value] = partition(packed, [32, 32, 32])!;
    expect(sameAxis(query, first)).toBe(true);
    unify(first, key);
    const stay = (atom: Atom) => (factors(first)[0] === atom ? [0, 5] : undefined);
    expect(keptSlices(rest, stay)).toEqual([0, 5, ...range(32).map((i) => i + 32)].slice(0, 34));
    expect(keptSlices(packed, stay)).toEqual([0, 5, 32, 37, ...range(32).map((i) => i + 64)]);
    expect(sizeOfAxis(value)).toBe(32);
  });

  test('equal terms that are one axis are a product: gate and up, packed, may be reshaped', () => {
    const packed = axis(8);
    const [gate, up] = partition(packed, [4, 4])!;
    unify(gate, up);
    const [two, width] = regroup([packed], [number(2), number(4)])!;
    expect([sizeOfAxis(two), sameAxis(width, gate)]).toEqual([2, true]);
  });

  test('concatenation is measured term by term', () => {
    const [a, b] = [axis(3), axis(5)];
    const whole = [...axis(2), ...concatenate([a, b, a])];
    const ring = {
      one: 1,
      times: (x: number, y: number) => x * y,
      plus: (x: number, y: number) => x + y,
      number: (size: number) => size,
      of: (atom: Atom) => (atom === factors(a)[0] ? 1 : undefined),
    };
    expect(measure(whole, ring)).toBe(2 * (1 + 5 + 1));
  });
});
