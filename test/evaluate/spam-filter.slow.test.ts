import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BatchOptions, batches, usableLength } from '../../src/data/batch.ts';
import { openFolder } from '../../src/data/folder.ts';
import { readRows } from '../../src/data/rows.ts';
import { checkTokens, encodeRows, openTokenizer } from '../../src/data/tokenizer.ts';
import { evaluateClassification } from '../../src/evaluate/classification.ts';
import { accuracy } from '../../src/evaluate/metrics.ts';
import { openModel } from '../../src/onnx/load.ts';
import { silent } from '../../src/progress.ts';
import { openSession, type Session } from '../../src/runtime/session.ts';

const folder = openFolder('examples/spam-filter');
const trained = JSON.parse(readFileSync(join(folder.folder, 'metrics.json'), 'utf8'));
const { graph } = await openModel(folder.modelFile);

let session: Session;
beforeAll(async () => {
  session = await openSession(folder.modelFile);
});
afterAll(() => session[Symbol.asyncDispose]());

async function evaluate(file: string, options: Partial<BatchOptions>) {
  const tokenizer = await openTokenizer(folder.folder);
  const rows = await readRows(
    join(folder.folder, file),
    { text: 'text', label: 'label' },
    folder.config?.labels,
  );
  const length = usableLength(512, { config: folder.config, tokenizer, inputs: graph.inputs });
  expect(length).toBe(trained.max_length);
  const encoded = encodeRows(rows, tokenizer, length, silent);
  checkTokens(encoded, folder.config?.vocabularySize ?? 0);
  const made = batches(encoded, { inputs: graph.inputs, padId: tokenizer.padId, ...options });
  return evaluateClassification(session, made, { classes: folder.config?.labels?.length });
}

test('the accuracy on the test rows is the one that PyTorch measured before the export', async () => {
  const { predictions, labels } = await evaluate('test.jsonl', { batchTokens: 4096 });
  expect(labels.length).toBe(trained.test_rows);
  expect(accuracy(predictions, labels, 2)).toBe(trained.test_accuracy);
});

test('batches and padding change nothing but time', async () => {
  const sorted = await evaluate('validation.jsonl', { batchTokens: 4096 });
  const padded = await evaluate('validation.jsonl', { batchSize: 7, padTo: 128, sort: false });
  expect(accuracy(sorted.predictions, sorted.labels, 2)).toBe(trained.validation_accuracy);
  expect(padded.predictions).toEqual(sorted.predictions);
  const difference = padded.logits.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - sorted.logits[i])),
    0,
  );
  expect(difference).toBeLessThan(1e-4);
});
