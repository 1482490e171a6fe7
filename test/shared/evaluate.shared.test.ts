import { expect, test } from 'vitest';
import { accuracy } from '../../src/evaluate/metrics.ts';
import { evaluateFolder, trainedAs } from '../evaluate/whole.ts';

const minilm = '../shared/models/minilm-sst2';

test('MiniLM on SST-2 is as accurate as PyTorch measured before the export', async () => {
  const trained = trainedAs(minilm);
  const { predictions, labels } = await evaluateFolder(minilm, 'test.jsonl', { batchSize: 32 });
  expect(labels.length).toBe(trained.test_rows);
  expect(accuracy(predictions, labels, 2)).toBe(trained.test_accuracy);
});
