/**
 * Text classification: a class for each text, or pair of texts.
 * @module
 */
import { createHash } from 'node:crypto';
import { type Batch, batches } from '../../data/batch.ts';
import { readRows } from '../../data/rows.ts';
import { type EncodedRow, encodeRows } from '../../data/tokenizer.ts';
import { type Classes, classes, type Labelled, lossOfClasses } from './classes.ts';
import type { Task, TaskModel } from './task.ts';
import { BATCH_TOKENS, openText } from './text.ts';

interface Texts extends Labelled {
  readonly rows: readonly EncodedRow[];
  readonly batches: readonly Batch[];
  readonly padId: number;
}

export const textClassification: Task<Texts, Classes> = {
  ...classes,
  architectures: /ForSequenceClassification$/,

  async read(file, { model, config, limit, progress }) {
    const { folder } = model;
    const { text, pair, label } = config.data;
    const columns = {
      text,
      label,
      ...(pair !== undefined && { pair }),
      ...(limit !== undefined && { limit }),
    };
    const read = await readRows(file, columns, folder.config?.labels);
    const { tokenizer, longest, check } = await openText(model, config);
    const rows = encodeRows(read, tokenizer, longest, progress);
    check(rows);
    return textsOf(rows, tokenizer.padId, model);
  },

  training: {
    lessons: ({ rows, padId }) => ({ rows, padId }),
    part: ({ rows, padId }, isIn, model) =>
      textsOf(
        rows.filter((_, row) => isIn(row)),
        padId,
        model,
      ),
    loss: lossOfClasses,
  },
};

function textsOf(rows: readonly EncodedRow[], padId: number, { inputs }: TaskModel): Texts {
  return {
    rows,
    count: rows.length,
    batches: batches(rows, { inputs, padId, batchTokens: BATCH_TOKENS }),
    labels: Int32Array.from(rows, (row) => row.label),
    padId,
    sha256: createHash('sha256').update(JSON.stringify(rows)).digest('hex'),
  };
}
