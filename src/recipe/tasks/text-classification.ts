/**
 * Text classification: a class for each text, or pair of texts. Candidates are judged by KL(dense model ‖ candidate) of
 * the classes.
 * @module
 */
import { createHash } from 'node:crypto';
import { type Batch, batches } from '../../data/batch.ts';
import { readRows } from '../../data/rows.ts';
import { type EncodedRow, encodeRows } from '../../data/tokenizer.ts';
import { evaluateClassification } from '../../evaluate/classification.ts';
import { crossEntropy, klDivergence } from '../../evaluate/losses.ts';
import type { MeasureName } from '../../evaluate/measures.ts';
import { type MetricName, metrics } from '../../evaluate/metrics.ts';
import { compareToDense, score } from '../../evaluate/score.ts';
import type { Dataset, Task, TaskModel } from './task.ts';
import { BATCH_TOKENS, openText } from './text.ts';

interface Texts extends Dataset {
  readonly rows: readonly EncodedRow[];
  readonly batches: readonly Batch[];
  readonly labels: Int32Array;
  readonly padId: number;
}

interface Classes {
  /** [count · classes] */
  readonly logits: readonly number[];
  readonly predictions: readonly number[];
  readonly classes: number;
}

export const textClassification: Task<Texts, Classes> = {
  architectures: /ForSequenceClassification$/,
  metrics: ['accuracy', 'f1', 'matthews'],

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

  criterion({ model }) {
    const output = model.graph.outputs[0].name;
    return {
      fetches: [output],
      againstDense: true,
      loss(found, { rows }, dense) {
        const { data, shape } = found[output];
        const classes = shape[1];
        const size = rows.length * classes; // without filler rows
        const [teacher, student] = [dense[output].data, data].map((all) =>
          (all as Float32Array).subarray(0, size),
        );
        return { sum: klDivergence(teacher, student, classes) * rows.length, weight: rows.length };
      },
    };
  },

  async answer(runner, { batches }, { model, progress }) {
    const named = model.folder.config?.labels?.length;
    const found = await evaluateClassification(runner, batches, { classes: named, progress });
    return { logits: [...found.logits], predictions: [...found.predictions], classes: found.classes };
  },

  score({ predictions, classes }, { labels }, { metric, seed }) {
    return score(Int32Array.from(predictions), labels, named(metric), { classes, seed });
  },

  compare(dense, other, { labels }, { metric, seed }) {
    const [before, after] = [dense, other].map(({ predictions }) => Int32Array.from(predictions));
    return compareToDense(before, after, labels, named(metric), { classes: dense.classes, seed });
  },

  training: {
    lessons: ({ rows, padId }) => ({ rows, padId }),
    part: ({ rows, padId }, isIn, model) =>
      textsOf(
        rows.filter((_, row) => isIn(row)),
        padId,
        model,
      ),
    // With a teacher, the divergence moves with every improvement, where an accuracy of some hundred rows stands still.
    loss({ logits, classes }, { labels }, teacher) {
      const own = Float32Array.from(logits);
      if (teacher === undefined) return crossEntropy(own, labels);
      return klDivergence(Float32Array.from(teacher.logits), own, classes);
    },
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

function named(metric: MeasureName): MetricName {
  if (Object.hasOwn(metrics, metric)) return metric as MetricName;
  throw new RangeError(`text-classification: "${metric}" is no metric of classes`);
}
