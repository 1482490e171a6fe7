import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bestOf, optimise, type Point, suggest } from '../../src/prune/parzen.ts';
import { random } from '../../src/tensor/random.ts';
import { mean } from '../../src/tensor/statistics.ts';

const bowl = (centre: Point) => async (at: Point) => at.reduce((sum, x, d) => sum + (x - centre[d]) ** 2, 0);

test('suggestions lie in the unit cube, whatever the losses', () => {
  const point = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 });
  const trials = fc.array(fc.record({ at: point, loss: fc.double({ noNaN: true }) }), { maxLength: 20 });
  fc.assert(
    fc.property(trials, fc.integer(), (known, seed) => {
      const found = suggest(known, 3, random(seed));
      expect(found).toHaveLength(3);
      for (const x of found) {
        expect(x).toBeGreaterThanOrEqual(0);
        expect(x).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test('comes nearer to a minimum than as many random points do, over 60 places of it', async () => {
  const regret = { guided: [] as number[], blind: [] as number[] };
  for (let seed = 0; seed < 60; seed++) {
    const place = random(1000 + seed);
    const loss = bowl([place(), place(), place()]);
    const trials = await optimise(loss, { given: [], count: 24, dimensions: 3 }, random(seed));
    regret.guided.push(bestOf(trials).loss);
    const next = random(seed);
    const points = Array.from({ length: 24 }, () => [next(), next(), next()]);
    regret.blind.push(Math.min(...(await Promise.all(points.map(loss)))));
  }
  expect(mean(regret.guided)).toBeLessThan(0.75 * mean(regret.blind));
});

test('tries what is given first, and is a function of its seed', async () => {
  const given = [
    [0.5, 0.5],
    [0, 1],
  ];
  const run = (seed: number) => optimise(bowl([0.2, 0.9]), { given, count: 12, dimensions: 2 }, random(seed));
  const trials = await run(1);
  expect(trials.slice(0, 2).map(({ at }) => at)).toEqual(given);
  expect(await run(1)).toEqual(trials);
  expect(await run(2)).not.toEqual(trials);
  expect(bestOf(trials).loss).toBe(Math.min(...trials.map(({ loss }) => loss)));
});
