import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { agreement, entitiesOf, entityMetrics, strictEntitiesOf } from '../../../src/evaluate/text/entities.ts';

const cases = readFileSync('test/evaluate/text/seqeval.jsonl', 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

describe.each(cases.map((line) => [line.actual.flat().slice(0, 6).join(' '), line]))(
  'seqeval on %s …',
  (_, line) => {
    const rows = (entities = entitiesOf) =>
      line.actual.map((actual: string[], k: number) => agreement(line.predicted[k], actual, entities));

    test.each(['f1', 'precision', 'recall', 'accuracy'] as const)('%s', (name) => {
      expect(entityMetrics[name](rows())).toBeCloseTo(line[name], 12);
    });

    if (line.strict === undefined) return;
    test('in its strict mode', () => {
      for (const name of ['f1', 'precision', 'recall'] as const) {
        expect(entityMetrics[name](rows(strictEntitiesOf)), name).toBeCloseTo(line.strict[name], 12);
      }
    });
  },
);

test('an entity that goes on without a beginning is one, unless beginnings are asked for', () => {
  const labels = ['I-PER', 'I-PER', 'O', 'B-LOC', 'I-PER'];
  expect(entitiesOf(labels)).toEqual([
    { type: 'PER', from: 0, to: 1 },
    { type: 'LOC', from: 3, to: 3 },
    { type: 'PER', from: 4, to: 4 },
  ]);
  expect(strictEntitiesOf(labels)).toEqual([{ type: 'LOC', from: 3, to: 3 }]);
});

test('without entities every metric of them is 0, and no sentence is no accuracy', () => {
  const { f1, precision, recall, accuracy } = entityMetrics;
  const nothing = [agreement(['O'], ['O'])];
  expect([f1, precision, recall].map((metric) => metric(nothing))).toEqual([0, 0, 0]);
  expect([accuracy(nothing), accuracy([])]).toEqual([1, 0]);
});
