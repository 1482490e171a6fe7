import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evolve, fitted, mutated } from '../../src/prune/evolution.ts';
import { assign } from '../../src/prune/spdy.ts';
import { random } from '../../src/tensor/random.ts';
import { bruteForce } from '../reference/spdy.ts';

const LEVELS = 5;
const rising = fc
  .array(fc.integer({ min: 0, max: 300 }), { minLength: LEVELS - 1, maxLength: LEVELS - 1 })
  .map((steps) => [0, ...steps.map((_, i) => steps.slice(0, i + 1).reduce((a, b) => a + b))]);
/** Costs rise and times fall from dense to removed, and a removed block takes no time. */
const problem = fc.record({
  costs: fc.array(rising, { minLength: 4, maxLength: 4 }),
  times: fc.array(
    rising.map((row) => row.toReversed()),
    { minLength: 4, maxLength: 4 },
  ),
  share: fc.double({ min: 0.05, max: 0.95, noNaN: true }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

const total = (rows: readonly (readonly number[])[], assignment: readonly number[]) =>
  assignment.reduce((sum, s, l) => sum + rows[l][s], 0);
const budgetOf = (times: readonly (readonly number[])[], share: number) =>
  share *
  total(
    times,
    times.map(() => 0),
  );

describe('offspring', () => {
  test('fit the budget, and their blocks have levels that there are', () => {
    fc.assert(
      fc.property(problem, ({ times, share, seed }) => {
        const budget = budgetOf(times, share);
        const next = random(seed);
        let parent = fitted(
          times.map(() => 0),
          times,
          budget,
          new Set(),
          next,
        )!;
        for (let i = 0; i < 20; i++) {
          expect(total(times, parent)).toBeLessThanOrEqual(budget);
          for (const level of parent) expect(level).toBeOneOf([0, 1, 2, 3, 4]);
          parent = mutated(parent, times, budget, next) ?? parent;
        }
      }),
    );
  });

  test('what fits is pruned no further, and spared blocks are not pruned at all', () => {
    fc.assert(
      fc.property(problem, ({ times, share, seed }) => {
        const budget = budgetOf(times, share);
        const start = [2, 2, 2, 2];
        const found = fitted(start, times, budget, new Set([1, 3]), random(seed));
        if (found === undefined) expect(times[1][2] + times[3][2]).toBeGreaterThan(budget);
        else {
          expect(found[1]).toBeLessThanOrEqual(2);
          expect(found[3]).toBeLessThanOrEqual(2);
          if (total(times, start) <= budget) {
            for (const [b, level] of found.entries()) expect(level).toBeLessThanOrEqual(start[b]);
          }
        }
      }),
    );
  });
});

describe('the evolution', () => {
  test('finds what brute force finds on 4 blocks × 5 levels, from any start', async () => {
    await fc.assert(
      fc.asyncProperty(problem, async ({ costs, times, share, seed }) => {
        const budget = budgetOf(times, share);
        const found = await evolve(
          {
            starts: [times.map(() => LEVELS - 1)],
            times,
            budget,
            shares: [1],
            evaluate: async (assignment) => total(costs, assignment),
          },
          2000,
          random(seed),
        );
        expect(found!.loss).toBe(bruteForce(costs, times, budget)!.cost);
        expect(total(times, found!.assignment)).toBeLessThanOrEqual(budget);
      }),
      { numRuns: 60 },
    );
  });

  test('is a function of its seed, and never worse than a start that fits', async () => {
    const next = random(11);
    const times = Array.from({ length: 8 }, () => Array.from({ length: 12 }, (_, s) => 11 - s));
    const worth = Array.from({ length: 8 }, () => 0.2 + next());
    // Not separable: what one block loses weighs more when its neighbour has lost.
    const evaluate = async (assignment: readonly number[], samples: number) =>
      assignment.reduce(
        (sum, s, l) => sum + worth[l] * s * (1 + 0.3 * assignment[(l + 1) % 8]) * (samples === 1 ? 1.1 : 1),
        0,
      );
    const budget = 40;
    const costs = worth.map((w) => Array.from({ length: 12 }, (_, s) => w * s));
    const start = assign(costs, times, budget)!;
    const run = (seed: number, steps: number) =>
      evolve({ starts: [start], times, budget, shares: [0.25, 0.75], evaluate }, steps, random(seed));
    for (const seed of [0, 1, 2]) {
      const [first, second] = [await run(seed, 40), await run(seed, 40)];
      expect(second).toEqual(first);
      expect(first!.loss).toBeLessThanOrEqual(await evaluate(start, 2));
      expect(first!.loss).toBe(await evaluate(first!.assignment, 2));
    }
    expect(await run(1, 40)).not.toEqual(await run(2, 40));
    // The program, whose costs know no neighbours, is not the optimum here: there is something to find.
    expect((await run(0, 40))!.loss).toBeLessThan(0.98 * (await evaluate(start, 2)));
  });

  test('spends by rows: each sample of an assignment once, and little more than was given', async () => {
    const times = Array.from({ length: 6 }, () => Array.from({ length: 10 }, (_, s) => 9 - s));
    const shares = [0.125, 0.25, 0.625];
    const seen = new Map<string, number>();
    let spent = 0;
    const evaluate = async (assignment: readonly number[], samples: number) => {
      const key = assignment.join();
      for (let i = seen.get(key) ?? 0; i < samples; i++) spent += shares[i];
      seen.set(key, Math.max(samples, seen.get(key) ?? 0));
      return assignment.reduce((sum, s, l) => sum + s * (l + 1), 0);
    };
    const starts = [times.map(() => 5)];
    let reported = 0;
    const found = await evolve({ starts, times, budget: 24, shares, evaluate }, 30, random(3), (cost) => {
      reported = cost;
    });
    expect(found!.evaluations).toBe(seen.size);
    expect(spent).toBeGreaterThanOrEqual(30);
    // One generation at most is begun before the last step: 16 on the first sample, 4 on the second, 1 on the third.
    expect(spent).toBeLessThan(30 + 16 * 0.125 + 4 * 0.25 + 0.625);
    expect(reported).toBe(30);
    // Stages do what they are for: many are begun, few are finished.
    const whole = [...seen.values()].filter((samples) => samples === shares.length).length;
    expect(whole).toBeLessThan(0.15 * seen.size);
  });

  test('ends when there is nothing new to judge, and has no answer where nothing fits', async () => {
    const evaluate = async ([level]: readonly number[]) => level;
    const one = { starts: [[1]], times: [[2, 1]], shares: [1], evaluate };
    expect(await evolve({ ...one, budget: 3 }, 1e6, random(0))).toEqual({
      assignment: [0],
      loss: 0,
      evaluations: 1,
    });
    expect(await evolve({ ...one, budget: 0.5 }, 10, random(0))).toBeUndefined();
    expect(await evolve({ ...one, budget: 3, starts: [] }, 10, random(0))).toBeUndefined();
  });
});
