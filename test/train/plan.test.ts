import fc from 'fast-check';
import { expect, test } from 'vitest';
import { random } from '../../src/tensor/random.ts';
import { epochBatches, planTraining } from '../../src/train/plan.ts';

const lengthsOf = (count: number, seed: number) => {
  const next = random(seed);
  return Array.from({ length: count }, () => 3 + Math.floor(60 * next() ** 2));
};

test('an epoch holds each row once, in batches of no more than the size', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 700 }),
      fc.integer({ min: 1, max: 9 }),
      fc.nat(5),
      (count, size, epoch) => {
        const batches = epochBatches(lengthsOf(count, count), { size, seed: 3, epoch });
        expect(batches.flat().toSorted((a, b) => a - b)).toEqual([...Array(count).keys()]);
        for (const batch of batches) expect(batch.length).toBeLessThanOrEqual(size);
      },
    ),
  );
});

test('seed and epoch decide the batches', () => {
  const lengths = lengthsOf(200, 1);
  const drawn = (seed: number, epoch: number) =>
    JSON.stringify(epochBatches(lengths, { size: 8, seed, epoch }));
  expect(drawn(1, 0)).toBe(drawn(1, 0));
  expect(new Set([drawn(1, 0), drawn(1, 1), drawn(2, 0), drawn(0, 1)]).size).toBe(4);
});

test('batches hold rows of like length, in no order of length', () => {
  const lengths = lengthsOf(3200, 2);
  const batches = epochBatches(lengths, { size: 32, seed: 0, epoch: 0 });
  const longest = batches.map((batch) => Math.max(...batch.map((row) => lengths[row])));
  const padded = batches.reduce((sum, batch, i) => sum + batch.length * longest[i], 0);
  expect(padded / lengths.reduce((a, b) => a + b, 0)).toBeLessThan(1.15);
  const rises = longest.filter((length, i) => i > 0 && length > longest[i - 1]).length;
  expect(rises).toBeGreaterThan(batches.length / 4);
  expect(rises).toBeLessThan((3 * batches.length) / 4);
});

const inputs = [
  { name: 'input_ids', type: 'int64', shape: ['b', 's'] },
  { name: 'attention_mask', type: 'int64', shape: ['b', 's'] },
] as const;
const rows = lengthsOf(10, 5).map((length, i) => ({
  ids: Array.from({ length }, () => i + 1),
  typeIds: [],
  label: i % 2,
}));

test('batches that make no whole step go to the next epoch', () => {
  const plan = planTraining({ rows, padId: 0, inputs, epochs: 3, batch: 4, accumulate: 2, seed: 1 });
  expect(plan.steps).toBe(4); // 3 batches an epoch, 9 in all
  const seen = Array.from({ length: 9 }, (_, at) => plan.batch(at).rows);
  for (const epoch of [0, 1, 2]) {
    const rowsOf = seen.slice(3 * epoch, 3 * epoch + 3).flat();
    expect(rowsOf.toSorted((a, b) => a - b)).toEqual([...rows.keys()]);
  }
  expect(plan.batch(7).labels).toEqual(Int32Array.from(seen[7], (row) => rows[row].label));
  expect(plan.batch(0).rows).toEqual(seen[0]);
});

test('a plan without a step, and a graph of another batch, are the user’s mistakes', () => {
  expect(() =>
    planTraining({ rows, padId: 0, inputs, epochs: 1, batch: 16, accumulate: 2, seed: 1 }),
  ).toThrow('10 rows in batches of 16 for 1 epochs make no step of 2 batches');
  const fixed = inputs.map((input) => ({ ...input, shape: [2, 's'] }));
  expect(() =>
    planTraining({ rows, padId: 0, inputs: fixed, epochs: 1, batch: 4, accumulate: 1, seed: 1 }),
  ).toThrow('takes batches of 2 only, but the batch is 4');
});
