import { expect, test } from 'vitest';
import { accuracy } from '../../src/evaluate/metrics.ts';
import { evaluateFolder, trainedAs } from './whole.ts';

const example = 'examples/spam-filter';
const trained = trainedAs(example);

test('the accuracy on the test rows is the one that PyTorch measured before the export', async () => {
  const { predictions, labels } = await evaluateFolder(example, 'test.jsonl', { batchTokens: 4096 });
  expect(labels.length).toBe(trained.test_rows);
  expect(accuracy(predictions, labels, 2)).toBe(trained.test_accuracy);
});

test('batches and padding change nothing but time', async () => {
  const sorted = await evaluateFolder(example, 'validation.jsonl', { batchTokens: 4096 });
  const padded = await evaluateFolder(example, 'validation.jsonl', { batchSize: 7, padTo: 128, sort: false });
  expect(accuracy(sorted.predictions, sorted.labels, 2)).toBe(trained.validation_accuracy);
  expect(padded.predictions).toEqual(sorted.predictions);
  const differences = padded.logits.map((value, i) => Math.abs(value - sorted.logits[i]));
  expect(Math.max(...differences)).toBeLessThan(1e-4);
});
