import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BatchOptions, batches, usableLength } from '../../src/data/batch.ts';
import { openFolder } from '../../src/data/folder.ts';
import { readRows } from '../../src/data/rows.ts';
import { checkTokens, encodeRows, openTokenizer } from '../../src/data/tokenizer.ts';
import { type Classified, evaluateClassification } from '../../src/evaluate/classification.ts';
import { openModel } from '../../src/onnx/load.ts';
import { silent } from '../../src/progress.ts';
import { openSession } from '../../src/runtime/session.ts';

/** What training wrote down about its model. */
export interface Trained {
  readonly max_length: number;
  readonly test_accuracy: number;
  readonly test_rows: number;
  readonly validation_accuracy: number;
}

export function trainedAs(path: string): Trained {
  return JSON.parse(readFileSync(join(path, 'metrics.json'), 'utf8'));
}

/** The whole way from a model's folder and a file in it to predictions, at the length of training. */
export async function evaluateFolder(
  path: string,
  file: string,
  options: Partial<BatchOptions>,
): Promise<Classified> {
  const { modelFile, folder, config } = openFolder(path);
  const { graph } = await openModel(modelFile);
  const tokenizer = await openTokenizer(folder);
  const rows = await readRows(join(folder, file), { text: 'text', label: 'label' }, config?.labels);
  const length = usableLength(trainedAs(path).max_length, { config, tokenizer, inputs: graph.inputs });
  const encoded = encodeRows(rows, tokenizer, length, silent);
  checkTokens(encoded, config?.vocabularySize ?? 0);
  const made = batches(encoded, { inputs: graph.inputs, padId: tokenizer.padId, ...options });
  await using session = await openSession(modelFile);
  return await evaluateClassification(session, made, { classes: config?.labels?.length });
}
