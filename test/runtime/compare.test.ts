import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge, type Round, type SpeedupSummary, summarise, twoStates } from '../../src/runtime/compare.ts';
import { type Random, random } from '../../src/tensor/random.ts';

/** A standard normal number (Box-Muller). */
function normal(next: Random): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** Rounds in which `pruned` is `speedup(i)` times as fast as `dense`, each latency off by `noise` of itself. */
function synthetic(count: number, speedup: (i: number) => number, noise: number, next: Random): Round[] {
  return Array.from({ length: count }, (_, at) => {
    const drift = 1 + 0.3 * Math.sin(at); // the machine as a whole speeds up and slows down; ratios do not mind
    const off = () => drift * (1 + noise * normal(next));
    return { at, medianMs: { dense: 110 * off(), pruned: (110 / speedup(at)) * off() } };
  });
}

const estimate = (low: number, high: number) => ({ median: (low + high) / 2, low, high });
const oneState = (low: number, high: number): SpeedupSummary => ({
  ...estimate(low, high),
  rounds: 8,
  groups: 1,
});

describe('summarise', () => {
  test('recovers the ratio exactly where there is no noise, however the machine drifts', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.5, max: 10, noNaN: true }),
        fc.integer({ min: 1, max: 30 }),
        (speedup, n) => {
          const { median, low, high, rounds, groups } = summarise(
            synthetic(n, () => speedup, 0, random(1)),
            'dense',
            'pruned',
          );
          expect([median / speedup, low / speedup, high / speedup]).toEqual([
            expect.closeTo(1, 9),
            expect.closeTo(1, 9),
            expect.closeTo(1, 9),
          ]);
          expect({ rounds, groups }).toEqual({ rounds: n, groups: 1 });
        },
      ),
    );
  });

  test.each([6, 8, 12, 20])('covers the true ratio in at least 95 %% of campaigns of %i rounds', (count) => {
    const next = random(count);
    const campaigns = 1500;
    let covered = 0;
    for (let i = 0; i < campaigns; i++) {
      const { low, high } = summarise(
        synthetic(count, () => 2, 0.01, next),
        'dense',
        'pruned',
      );
      if (low <= 2 && 2 <= high) covered++;
    }
    expect(covered / campaigns).toBeGreaterThan(0.95 - 3 * Math.sqrt((0.95 * 0.05) / campaigns));
  });

  test('counts only the rounds that measured both', () => {
    const rounds = [
      { at: 0, medianMs: { dense: 100, a: 50 } },
      { at: 1, medianMs: { dense: 100, b: 25 } },
    ];
    expect(summarise(rounds, 'dense', 'a')).toMatchObject({ median: 2, rounds: 1 });
    expect(summarise(rounds, 'dense', 'b')).toMatchObject({ median: 4, rounds: 1 });
  });
});

describe('two states of the machine', () => {
  test('are found where they were planted, with the speedup of each', () => {
    const next = random(7);
    const campaigns = 300;
    let found = 0;
    for (let i = 0; i < campaigns; i++) {
      // What was seen: 54 ms for minutes, then 63 ms, dense at 110 ms throughout.
      const rounds = synthetic(10, (at) => (at < 4 ? 2.03 : 1.74), 0.005, next);
      const summary = summarise(rounds, 'dense', 'pruned');
      if (summary.groups !== 2) continue;
      found++;
      expect(summary.slower?.median).toBeCloseTo(1.74, 1);
      expect(summary.faster?.median).toBeCloseTo(2.03, 1);
    }
    expect(found / campaigns).toBeGreaterThan(0.99);
  });

  test.each([6, 8, 12, 24])(
    'are not seen where there is one: at most 2 in 100 campaigns of %i rounds',
    (count) => {
      const next = random(100 + count);
      const campaigns = 2000;
      let seen = 0;
      for (let i = 0; i < campaigns; i++) {
        const ratios = Array.from({ length: count }, () => 2 * (1 + 0.05 * normal(next)));
        if (twoStates(ratios)) seen++;
      }
      expect(seen / campaigns).toBeLessThan(0.02);
    },
  );

  test('nor by a single outlier, nor by differences under 3 %, nor from five rounds', () => {
    const flat = [2, 2.001, 2.002, 1.999, 1.998, 2.0005, 2.0015];
    expect(twoStates([...flat, 1.4])).toBeUndefined();
    expect(twoStates([...flat, 2.05, 2.051, 2.052])).toBeUndefined();
    expect(twoStates([...flat, 2.07, 2.071, 2.072])).toBeDefined();
    expect(twoStates([1.7, 1.7, 2, 2, 2])).toBeUndefined();
  });

  test('divide the ratios: every one in one group, the slower below the faster', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.5, max: 4, noNaN: true }), { minLength: 6, maxLength: 20 }),
        (ratios) => {
          const states = twoStates(ratios);
          if (!states) return;
          expect([...states.slower, ...states.faster]).toEqual(ratios.toSorted((a, b) => a - b));
          expect(Math.min(states.slower.length, states.faster.length)).toBeGreaterThanOrEqual(2);
        },
      ),
    );
  });
});

describe('judge', () => {
  test('one state: met from the lower end on, missed below the upper end', () => {
    expect(judge(2, oneState(2, 2.1))).toBe('met');
    expect(judge(2, oneState(1.99, 2.1))).toBe('inconclusive');
    expect(judge(2, oneState(1.9, 2))).toBe('inconclusive');
    expect(judge(2, oneState(1.9, 1.99))).toBe('missed');
  });

  test('two states: met in the slower one, missed in the faster one', () => {
    const two = (slower: [number, number], faster: [number, number]): SpeedupSummary => ({
      ...oneState(slower[0], faster[1]),
      groups: 2,
      slower: estimate(...slower),
      faster: estimate(...faster),
    });
    expect(judge(1.7, two([1.73, 1.75], [2, 2.05]))).toBe('met');
    expect(judge(1.9, two([1.73, 1.75], [2, 2.05]))).toBe('inconclusive');
    expect(judge(2.1, two([1.73, 1.75], [2, 2.05]))).toBe('missed');
  });
});
