import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { otherRows, randomRows, similarRows, tiltedRows, weightedRows } from '../../src/data/select.ts';
import { integer, random } from '../../src/tensor/random.ts';
import { mean } from '../../src/tensor/statistics.ts';

const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const rows = fc.array(fc.array(fc.nat(50), { maxLength: 12 }), { minLength: 1, maxLength: 30 });

describe('whatever the way', () => {
  const ways = {
    random: (pool: number[][], n: number, s: number) => randomRows(pool.length, n, random(s)),
    tilted: (pool: number[][], n: number, s: number) =>
      tiltedRows(
        pool.map(({ length }) => length),
        1.5,
        n,
        random(s),
      ),
    similar: (pool: number[][], n: number, s: number) => similarRows(pool, pool.slice(0, 3), n, random(s)),
  };
  for (const [name, way] of Object.entries(ways)) {
    test(`${name}: as many distinct rows as asked for or as there are, ascending, the same for the same seed`, () => {
      fc.assert(
        fc.property(rows, fc.nat(40), seed, (pool, count, s) => {
          const found = way(pool, count, s);
          expect(found).toHaveLength(Math.min(count, pool.length));
          expect(found).toEqual([...new Set(found)].sort((a, b) => a - b));
          for (const row of found) expect(pool[row]).toBeDefined();
          expect(way(pool, count, s)).toEqual(found);
          expect([...found, ...otherRows(pool.length, found)].sort((a, b) => a - b)).toEqual([
            ...pool.keys(),
          ]);
        }),
      );
    });
  }
});

test('a row of weight w is drawn first as often as its share of all weights', () => {
  const weights = [1, 2, 5];
  const drawn = [0, 0, 0];
  const next = random(5);
  const draws = 20_000;
  for (let i = 0; i < draws; i++) {
    drawn[weightedRows(weights.map(Math.log), 1, next)[0]]++;
  }
  // Four standard deviations of a share.
  for (const [row, weight] of weights.entries()) {
    expect(Math.abs(drawn[row] / draws - weight / 8)).toBeLessThan(4 * Math.sqrt(0.25 / draws));
  }
});

test('a positive tilt draws longer rows than none, a negative one shorter, and equal lengths know no tilt', () => {
  const next = random(3);
  const lengths = Array.from({ length: 400 }, () => 1 + integer(next, 60));
  const meanOf = (tilt: number) => mean(tiltedRows(lengths, tilt, 80, random(1)).map((row) => lengths[row]));
  expect(meanOf(1)).toBeGreaterThan(1.2 * meanOf(0));
  expect(meanOf(-1)).toBeLessThan(0.8 * meanOf(0));
  const equal = lengths.map(() => 7);
  expect(tiltedRows(equal, 2, 50, random(1))).toEqual(tiltedRows(equal, 0, 50, random(1)));
});

describe('similar rows', () => {
  const next = random(9);
  const from = (low: number) => Array.from({ length: 12 }, () => low + integer(next, 40));
  const pool = Array.from({ length: 300 }, (_, row) => from(row % 3 === 0 ? 1000 : 0));

  test('are those whose tokens the target has', () => {
    const target = Array.from({ length: 30 }, () => from(1000));
    const found = similarRows(pool, target, 100, random(0));
    expect(found.filter((row) => row % 3 === 0).length).toBeGreaterThan(90);
  });

  test('are a fair sample when the target is the pool itself', () => {
    expect(similarRows(pool, pool, 90, random(4))).toEqual(randomRows(pool.length, 90, random(4)));
  });
});
