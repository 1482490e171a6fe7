import { describe, expect, test } from 'vitest';
import { confusion, type MetricName, metrics } from '../../src/evaluate/metrics.ts';
import { compareToDense, mcNemar, score } from '../../src/evaluate/score.ts';
import { integer, random } from '../../src/tensor/random.ts';

/** A model that is right with probability `skill`, on the rows' own seed. */
function model(labels: Int32Array, skill: number, seed: number): Int32Array {
  const next = random(seed);
  return labels.map((label) => (next() < skill ? label : 1 - label));
}

function labelsOf(rows: number, seed: number): Int32Array {
  const next = random(seed);
  return Int32Array.from({ length: rows }, () => integer(next, 2));
}

const names: readonly MetricName[] = ['accuracy', 'f1', 'matthews'];

describe.each(names)('the interval of %s', (metric) => {
  const labels = labelsOf(400, 1);
  const predictions = model(labels, 0.8, 2);
  const result = score(predictions, labels, metric, { classes: 2, seed: 3 });

  test('holds the value, and is reproducible', () => {
    expect(result.value).toBe(metrics[metric](confusion(predictions, labels, 2)));
    expect(result.low).toBeLessThan(result.value);
    expect(result.high).toBeGreaterThan(result.value);
    expect(score(predictions, labels, metric, { classes: 2, seed: 3 })).toEqual(result);
    expect(score(predictions, labels, metric, { classes: 2, seed: 4 })).not.toEqual(result);
  });

  test('halves with four times the rows', () => {
    const more = labelsOf(1600, 1);
    const wide = score(model(more, 0.8, 2), more, metric, { classes: 2 });
    expect((result.high - result.low) / (wide.high - wide.low)).toBeCloseTo(2, 0);
  });
});

test("accuracy's interval is the binomial's", () => {
  const labels = labelsOf(1000, 5);
  const { value, low, high } = score(model(labels, 0.9, 6), labels, 'accuracy', { classes: 2 });
  const halfWidth = 1.96 * Math.sqrt((value * (1 - value)) / 1000);
  expect(value - low).toBeCloseTo(halfWidth, 2);
  expect(high - value).toBeCloseTo(halfWidth, 2);
});

describe.each(names)('compared by %s', (metric) => {
  const labels = labelsOf(500, 7);
  const dense = model(labels, 0.9, 8);

  test('a model equals itself, surely', () => {
    expect(compareToDense(dense, dense, labels, metric, { classes: 2 })).toEqual({
      delta: 0,
      low: 0,
      high: 0,
      pValue: 1,
    });
  });

  test('a much worse one differs: the interval leaves out 0', () => {
    const result = compareToDense(dense, model(labels, 0.7, 9), labels, metric, { classes: 2 });
    expect(result.delta).toBeLessThan(-0.1);
    expect(result.high).toBeLessThan(0);
    expect(result.low).toBeLessThan(result.delta);
    expect(result.pValue).toBeLessThan(0.001);
  });

  test('one that differs in a few rows: pairing makes the interval far narrower than that of either', () => {
    const other = dense.with(3, 1 - dense[3]).with(4, 1 - dense[4]);
    const paired = compareToDense(dense, other, labels, metric, { classes: 2 });
    const alone = score(dense, labels, metric, { classes: 2 });
    expect(paired.low).toBeLessThanOrEqual(0);
    expect(paired.pValue).toBeGreaterThan(0.2);
    expect(paired.high - paired.low).toBeLessThan((alone.high - alone.low) / 3);
  });
});

test('the randomisation test agrees with every arrangement counted', () => {
  const labels = labelsOf(40, 10);
  const dense = model(labels, 0.6, 11);
  const other = dense.slice();
  const differing = [0, 4, 9, 13, 20, 22, 31, 37];
  for (const row of differing) other[row] = 1 - dense[row];
  const delta = (a: Int32Array, b: Int32Array) =>
    metrics.f1(confusion(b, labels, 2)) - metrics.f1(confusion(a, labels, 2));
  const observed = Math.abs(delta(dense, other));
  let asGreat = 0;
  for (let arrangement = 0; arrangement < 2 ** differing.length; arrangement++) {
    const [a, b] = [dense.slice(), other.slice()];
    for (const [bit, row] of differing.entries())
      if ((arrangement >> bit) & 1) [a[row], b[row]] = [b[row], a[row]];
    if (Math.abs(delta(a, b)) >= observed - 1e-12) asGreat++;
  }
  const exact = asGreat / 2 ** differing.length;
  expect(exact).toBeGreaterThan(0.1);
  expect(exact).toBeLessThan(0.9);
  expect(compareToDense(dense, other, labels, 'f1', { classes: 2 }).pValue).toBeCloseTo(exact, 1);
});

test("accuracy's p-value is McNemar's", () => {
  const labels = new Int32Array(20);
  // dense alone right in 8 rows, the other alone in 2: 2 · (1 + 10 + 45) / 2¹⁰
  const dense = labels.map((_, row) => (row < 8 ? 0 : row < 10 ? 1 : 0));
  const other = labels.map((_, row) => (row < 8 ? 1 : 0));
  expect(mcNemar(dense, other, labels)).toBeCloseTo(112 / 1024, 12);
  expect(compareToDense(dense, other, labels, 'accuracy', { classes: 2 }).pValue).toBeCloseTo(112 / 1024, 12);
});
