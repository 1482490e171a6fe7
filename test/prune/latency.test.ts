import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type LatencyTable, mixTables, predictedSpeedup } from '../../src/prune/latency.ts';

const ms = fc.double({ min: 0.01, max: 100, noNaN: true });
const blocks = [{ id: 'attention.0' }, { id: 'mlp.0' }, { id: 'mlp.1' }];

/** A table of two heads and three widths, with times of its own. */
const table = fc
  .record({ heads: fc.tuple(ms, ms), neurons: fc.tuple(ms, ms), fixed: ms })
  .map(({ heads, neurons, fixed }): LatencyTable => {
    const row = (kept: number, medianMs: number) => ({
      kept,
      medianMs,
      low: medianMs * 0.9,
      high: medianMs * 1.2,
    });
    return {
      entries: [
        {
          signature: 'a',
          kind: 'attention',
          blocks: ['attention.0'],
          rows: [row(2, heads[0]), row(1, heads[1]), row(0, 0)],
        },
        {
          signature: 'm',
          kind: 'mlp',
          blocks: ['mlp.0', 'mlp.1'],
          rows: [row(8, neurons[0]), row(4, neurons[1]), row(0, 0)],
        },
      ],
      fixedMs: fixed,
      modelMs: fixed + heads[0] + 2 * neurons[0],
    };
  });
const kept = fc.tuple(fc.constantFrom(2, 1, 0), fc.constantFrom(8, 4, 0), fc.constantFrom(8, 4, 0));

test('a mix of one regime is that regime, whatever its weight promises', () => {
  fc.assert(
    fc.property(table, kept, ms, (one, choice, weight) => {
      expect(mixTables([{ weight: 1, table: one }])).toEqual(one);
      const mixed = mixTables([{ weight, table: one }]);
      expect(predictedSpeedup(mixed, blocks, choice)).toBeCloseTo(predictedSpeedup(one, blocks, choice), 9);
    }),
  );
});

test('a mix promises the ratio of the requests’ times, between what its regimes promise', () => {
  fc.assert(
    fc.property(table, table, kept, ms, ms, (prompt, decode, choice, often, seldom) => {
      const promise = (of: LatencyTable) => predictedSpeedup(of, blocks, choice);
      const mixed = mixTables([
        { weight: often, table: prompt },
        { weight: seldom, table: decode },
      ]);
      const dense = often * prompt.modelMs + seldom * decode.modelMs;
      const pruned = (often * prompt.modelMs) / promise(prompt) + (seldom * decode.modelMs) / promise(decode);
      expect(promise(mixed) / (dense / pruned)).toBeCloseTo(1, 9);
      const [low, high] = [promise(prompt), promise(decode)].toSorted((a, b) => a - b);
      expect(promise(mixed)).toBeGreaterThanOrEqual(low * (1 - 1e-9));
      expect(promise(mixed)).toBeLessThanOrEqual(high * (1 + 1e-9));
    }),
  );
});

test('a mix of equal weights is the same whatever they are, and whatever comes first', () => {
  fc.assert(
    fc.property(table, table, kept, ms, (a, b, choice, weight) => {
      const promise = (...tables: LatencyTable[]) =>
        predictedSpeedup(mixTables(tables.map((one) => ({ weight, table: one }))), blocks, choice);
      const even = mixTables([
        { weight: 1, table: a },
        { weight: 1, table: b },
      ]);
      expect(promise(a, b)).toBeCloseTo(predictedSpeedup(even, blocks, choice), 9);
      expect(promise(b, a)).toBeCloseTo(promise(a, b), 9);
      expect(promise(a, a)).toBeCloseTo(promise(a), 9);
    }),
  );
});

test('intervals hold the sum of what they are made of', () => {
  fc.assert(
    fc.property(table, table, ms, ms, (a, b, one, other) => {
      const mixed = mixTables([
        { weight: one, table: a },
        { weight: other, table: b },
      ]);
      mixed.entries.forEach(({ rows }, e) => {
        rows.forEach(({ low, medianMs, high }, r) => {
          const times = [a, b].map(({ entries }) => entries[e].rows[r].medianMs);
          expect(medianMs).toBeCloseTo(one * times[0] + other * times[1], 9);
          expect(low).toBeLessThanOrEqual(medianMs);
          expect(high).toBeGreaterThanOrEqual(medianMs);
        });
      });
    }),
  );
});

test('tables of different models do not mix', () => {
  const [a, b] = fc.sample(table, { numRuns: 2, seed: 1 });
  const other = { ...b, entries: b.entries.map((entry) => ({ ...entry, signature: `${entry.signature}'` })) };
  expect(() =>
    mixTables([
      { weight: 1, table: a },
      { weight: 1, table: other },
    ]),
  ).toThrow('of different models');
});
