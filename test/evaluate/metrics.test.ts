import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crossEntropy, klDivergence } from '../../src/evaluate/losses.ts';
import { accuracy, confusion, f1, matthews } from '../../src/evaluate/metrics.ts';
import { mcNemar } from '../../src/evaluate/score.ts';

const cases = readFileSync('test/evaluate/scikit-learn.jsonl', 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

describe.each(cases.map((c) => [`${c.labels.length} rows of ${c.classes} classes`, c]))(
  'scikit-learn and scipy on %s',
  (_, c) => {
    const labels = Int32Array.from(c.labels);
    const predictions = Int32Array.from(c.predictions);

    test.each([
      ['accuracy', accuracy],
      ['f1', f1],
      ['matthews', matthews],
    ] as const)('%s', (name, metric) => {
      expect(metric(predictions, labels, c.classes)).toBeCloseTo(c[name], 12);
    });

    test("McNemar's exact p-value", () => {
      expect(mcNemar(predictions, Int32Array.from(c.other), labels)).toBeCloseTo(c.mcNemar, 12);
    });

    test('cross-entropy and divergence', () => {
      const [logits, teacher] = [Float32Array.from(c.logits), Float32Array.from(c.teacher)];
      expect(crossEntropy(logits, labels) / c.crossEntropy).toBeCloseTo(1, 12);
      expect(klDivergence(teacher, logits, c.classes) / c.klDivergence).toBeCloseTo(1, 12);
    });
  },
);

describe('metrics by hand', () => {
  // 3 true positives, 1 false positive, 2 false negatives, 4 true negatives
  const labels = Int32Array.of(1, 1, 1, 0, 1, 1, 0, 0, 0, 0);
  const predictions = Int32Array.of(1, 1, 1, 1, 0, 0, 0, 0, 0, 0);

  test('two classes', () => {
    expect(accuracy(predictions, labels, 2)).toBe(0.7);
    expect(f1(predictions, labels, 2)).toBeCloseTo(6 / 9, 15);
    expect(matthews(predictions, labels, 2)).toBeCloseTo((3 * 4 - 1 * 2) / Math.sqrt(4 * 5 * 5 * 6), 15);
  });

  test('a third class that never occurs makes F1 the mean over the two that do', () => {
    expect(f1(predictions, labels, 3)).toBeCloseTo((6 / 9 + 8 / 11) / 2, 15);
  });

  test('constant predictions correlate with nothing, and have no F1 of a class never named', () => {
    const constant = new Int32Array(10);
    expect(matthews(constant, labels, 2)).toBe(0);
    expect(f1(constant, labels, 2)).toBe(0);
    expect(f1(new Int32Array(3), new Int32Array(3), 2)).toBe(0);
  });

  test('a resample counts its rows as often as they occur', () => {
    const { counts, rows } = confusion(predictions, labels, 2, Int32Array.of(0, 0, 3, 4));
    expect(rows).toBe(4);
    expect([...counts]).toEqual([0, 1, 1, 2]);
  });

  test('lengths that differ are a mistake of the caller', () => {
    expect(() => accuracy(new Int32Array(2), labels, 2)).toThrow('evaluate: 2 predictions for 10 labels');
  });
});

test('McNemar stays exact where 2^-n is no float', () => {
  const n = 3000;
  const labels = new Int32Array(n);
  const half = labels.map((_, row) => row % 2);
  const otherHalf = half.map((value) => 1 - value);
  expect(mcNemar(half, otherHalf, labels)).toBe(1);
  // 1,400 against 1,600: scipy.stats.binomtest(1400, 3000).pvalue
  const fewer = labels.map((_, row) => (row < 1400 ? 0 : 1));
  expect(
    mcNemar(
      fewer,
      fewer.map((value) => 1 - value),
      labels,
    ),
  ).toBeCloseTo(0.00027856396103923, 12);
});

describe('losses', () => {
  const logits = fc.array(fc.float({ min: -80, max: 80, noNaN: true }), { minLength: 3, maxLength: 3 });

  test('do not depend on a constant added to a row', () => {
    fc.assert(
      fc.property(logits, logits, fc.integer({ min: -500, max: 500 }), (teacher, student, shift) => {
        const [p, q] = [Float64Array.from(teacher), Float64Array.from(student)];
        const shifted = q.map((value) => value + shift);
        expect(klDivergence(p, shifted, 3)).toBeCloseTo(klDivergence(p, q, 3), 8);
        expect(crossEntropy(shifted, Int32Array.of(2))).toBeCloseTo(crossEntropy(q, Int32Array.of(2)), 8);
      }),
    );
  });

  test('the divergence is nothing from itself, and never negative', () => {
    fc.assert(
      fc.property(logits, logits, (teacher, student) => {
        const [p, q] = [Float32Array.from(teacher), Float32Array.from(student)];
        expect(klDivergence(p, p, 3)).toBe(0);
        expect(klDivergence(p, q, 3)).toBeGreaterThanOrEqual(-1e-12);
      }),
    );
  });

  test('logits at which exp overflows or vanishes', () => {
    expect(crossEntropy(Float32Array.of(1e4, -1e4), Int32Array.of(1))).toBe(2e4);
    expect(crossEntropy(Float32Array.of(1e4, -1e4), Int32Array.of(0))).toBe(0);
    expect(klDivergence(Float32Array.of(0, Number.NEGATIVE_INFINITY), Float32Array.of(0, 0), 2)).toBeCloseTo(
      Math.LN2,
      15,
    );
  });

  test('the mean over rows', () => {
    const uniform = new Float32Array(8);
    expect(crossEntropy(uniform, Int32Array.of(3, 1))).toBeCloseTo(Math.log(4), 15);
    const rows = Float32Array.of(0, 0, 3, 1);
    const one = klDivergence(Float32Array.of(3, 1), Float32Array.of(0, 0), 2);
    expect(klDivergence(rows, Float32Array.of(0, 0, 0, 0), 2)).toBeCloseTo(one / 2, 15);
  });
});
