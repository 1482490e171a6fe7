import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assign, search } from '../../src/prune/spdy.ts';
import { random } from '../../src/tensor/random.ts';
import { bruteForce } from '../reference/spdy.ts';

/** Times in whole buckets, so that rounding plays no part and brute force must agree exactly. */
const problem = fc.record({
  costs: fc.array(fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 5, maxLength: 5 }), {
    minLength: 4,
    maxLength: 4,
  }),
  times: fc.array(fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 5, maxLength: 5 }), {
    minLength: 4,
    maxLength: 4,
  }),
});

const total = (rows: readonly (readonly number[])[], assignment: readonly number[]) =>
  assignment.reduce((sum, s, l) => sum + rows[l][s], 0);

test('the dynamic program equals brute force on 4 blocks × 5 levels', () => {
  fc.assert(
    fc.property(problem, ({ costs, times }) => {
      const budget = 100;
      const found = assign(costs, times, budget, budget);
      const best = bruteForce(costs, times, budget);
      if (best === undefined) expect(found).toBeUndefined();
      else {
        expect(found).toBeDefined();
        expect(total(costs, found!)).toBe(best.cost);
        expect(total(times, found!)).toBeLessThanOrEqual(budget);
      }
    }),
  );
});

test('a block whose every level exceeds the whole budget makes the problem infeasible, not an index error', () => {
  expect(assign([[0, 1]], [[20, 11]], 10)).toBeUndefined();
  expect(assign([[0]], [[1]], 0)).toBeUndefined();
  expect(assign([[0]], [[1]], -5)).toBeUndefined();
});

test('the search finds coefficients that lead to an assignment that the plain prior misses', async () => {
  // The prior says that both blocks cost the same; in truth the first is worth ten times the second.
  const priors = [
    [0, 1],
    [0, 0.9],
  ];
  const times = [
    [2, 1],
    [2, 1],
  ];
  const truth = async (assignment: readonly number[]) => assignment[0] + 10 * assignment[1];
  const problem = { priors: [priors], times, budget: 3, evaluate: truth };
  const plain = await search(problem, { inits: 1, steps: 0 }, random(0));
  expect(plain?.assignment).toEqual([0, 1]);
  const found = await search(problem, { inits: 20, steps: 20 }, random(0));
  expect(found?.assignment).toEqual([1, 0]);
  expect(found?.evaluations).toBe(2);
});

test('the search is a function of its seed, and never returns a loss above that of its starts', async () => {
  const next = random(7);
  const priors = Array.from({ length: 6 }, () => Array.from({ length: 8 }, (_, s) => s * next()));
  const times = Array.from({ length: 6 }, () => Array.from({ length: 8 }, (_, s) => 8 - s));
  const evaluate = async (assignment: readonly number[]) =>
    assignment.reduce((sum, s, l) => sum + (s * ((l * 7) % 5)) / (1 + s), 0);
  const run = () =>
    search({ priors: [priors], times, budget: 30, evaluate }, { inits: 10, steps: 50 }, random(3));
  const [first, second] = [await run(), await run()];
  expect(second).toEqual(first);
  const plain = await search(
    { priors: [priors], times, budget: 30, evaluate },
    { inits: 1, steps: 0 },
    random(3),
  );
  expect(first!.loss).toBeLessThanOrEqual(plain!.loss);
});
