import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cosine, pearson, ranks, spearman } from '../../../src/evaluate/text/correlation.ts';

const cases = readFileSync('test/evaluate/text/correlation.jsonl', 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const pairs = (x: readonly number[], y: readonly number[]) =>
  x.map((value, at): [number, number] => [value, y[at]]);

describe.each(cases.map((line) => [line.x.length, line]))('SciPy on %i pairs', (_, line) => {
  test.each([
    ['pearson', pearson],
    ['spearman', spearman],
  ] as const)('%s', (name, metric) => {
    expect(metric(pairs(line.x, line.y))).toBeCloseTo(line[name], 11);
  });
});

test('a constant series goes together with nothing', () => {
  expect(pearson(pairs([1, 2, 3], [5, 5, 5]))).toBeNaN();
  expect(spearman(pairs([0.1, 0.1, 0.1], [1, 2, 3]))).toBeNaN();
  expect(pearson(pairs([1], [2]))).toBeNaN();
});

test('ranks are a count of what is less, and half of what is equal', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 20 }), (values) => {
      const naive = values.map((value) => {
        const less = values.filter((other) => other < value).length;
        const equal = values.filter((other) => other === value).length;
        return less + (equal + 1) / 2;
      });
      expect(ranks(values)).toEqual(naive);
    }),
  );
});

test('the cosine knows direction, not length', () => {
  expect(cosine([1, 2, 2], [2, 4, 4])).toBeCloseTo(1, 15);
  expect(cosine([1, 0], [0, 3])).toBe(0);
  expect(cosine([1, 1], [-2, -2])).toBeCloseTo(-1, 15);
  expect(cosine([0, 0], [1, 1])).toBe(0);
});
