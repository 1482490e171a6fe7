import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { languageMetrics, type TextLoss, textsOf } from '../../src/evaluate/language.ts';
import { dropOf, measureOf } from '../../src/evaluate/measures.ts';
import { compareRows, scoreRows } from '../../src/evaluate/rows.ts';
import { compareToDense, score } from '../../src/evaluate/score.ts';
import { random } from '../../src/tensor/random.ts';

const share = (rows: readonly boolean[]) => rows.filter(Boolean).length / rows.length;
const some = (seed: number, probability: number, count = 60) => {
  const next = random(seed);
  return Array.from({ length: count }, () => next() < probability);
};
const classes = (rows: readonly boolean[]) => Int32Array.from(rows, Number);

describe('a metric of rows', () => {
  const dense = some(1, 0.8);
  const other = some(2, 0.6);
  const labels = new Int32Array(dense.length).fill(1);

  test('has the interval of the bootstrap that classification has', () => {
    const { value, low, high } = scoreRows('accuracy', dense, share, { seed: 3 });
    expect({ name: 'accuracy', value, low, high }).toEqual(
      score(classes(dense), labels, 'accuracy', { classes: 2, seed: 3 }),
    );
  });

  test('is compared on the same rows, as classification is', () => {
    const mine = compareRows(dense, other, share, { seed: 3 });
    const theirs = compareToDense(classes(dense), classes(other), labels, 'accuracy', { classes: 2, seed: 3 });
    expect([mine.delta, mine.low, mine.high]).toEqual([theirs.delta, theirs.low, theirs.high]);
    // The exact test of theirs, by draws.
    expect(Math.abs(mine.pValue - theirs.pValue)).toBeLessThan(0.03);
  });

  test('does not differ from itself', () => {
    expect(compareRows(dense, dense, share)).toEqual({ delta: 0, low: 0, high: 0, pValue: 1 });
  });

  test('of rows that do not go together is a bug', () => {
    expect(() => compareRows(dense, other.slice(1), share)).toThrow('60 rows of the dense model against 59');
  });
});

describe('the perplexity of texts', () => {
  const text = fc.record({
    loss: fc.double({ min: 0, max: 50, noNaN: true }),
    right: fc.nat(5),
    tokens: fc.integer({ min: 5, max: 9 }),
    document: fc.nat(40),
  });

  test('is that of all their tokens, however they are put together', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 60 }), (windows) => {
        const tokens = windows.reduce((sum, one) => sum + one.tokens, 0);
        const loss = windows.reduce((sum, one) => sum + one.loss, 0);
        for (const texts of [windows, textsOf(windows)]) {
          expect(languageMetrics.perplexity(texts) / Math.exp(loss / tokens)).toBeCloseTo(1, 9);
          const right = windows.reduce((sum, one) => sum + one.right, 0);
          expect(languageMetrics.accuracy(texts)).toBeCloseTo(right / tokens, 12);
        }
      }),
    );
  });

  test('has its interval over documents, or over windows where documents are few', () => {
    const windows = (documents: number) =>
      Array.from({ length: 100 }, (_, i) => ({ loss: i, right: 1, tokens: 2, document: i % documents }));
    expect(textsOf(windows(1))).toHaveLength(100);
    expect(textsOf(windows(19))).toHaveLength(100);
    expect(textsOf(windows(20))).toHaveLength(20);
    expect(textsOf(windows(20))[3]).toEqual({ loss: 3 + 23 + 43 + 63 + 83, right: 5, tokens: 10 });
  });

  test('stays a number that JSON has, whatever a model says', () => {
    const broken: TextLoss = { loss: 1e9, right: 0, tokens: 10 };
    expect(Number.isFinite(languageMetrics.perplexity([broken]))).toBe(true);
  });
});

test('a drop is what a metric fell by, and of perplexity the share that it rose by', () => {
  expect(dropOf({ name: 'accuracy', value: 0.8, delta: -0.05 })).toBe(0.05);
  expect(dropOf({ name: 'perplexity', value: 22, delta: 2 })).toBeCloseTo(0.1, 12);
  expect(dropOf({ name: 'perplexity', value: 18, delta: -2 })).toBeCloseTo(-0.1, 12);
  expect(dropOf({ name: 'something', value: 1, delta: -0.5 })).toBe(0.5);
  expect(measureOf('toString')).toBeUndefined();
});
