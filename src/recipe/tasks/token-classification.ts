/**
 * Token classification: a label for each word of a sentence, as for named entities. A word's first token speaks for it.
 * Candidates are judged by KL(dense model ‖ candidate) of the labels, over the words.
 * @module
 */
import { createHash } from 'node:crypto';
import { encodeSentences, readSentences, type TaggedRow } from '../../data/labelled/words.ts';
import { InputError } from '../../errors.ts';
import { toFloat } from '../../evaluate/classification.ts';
import { klDivergence } from '../../evaluate/losses.ts';
import type { MeasureName } from '../../evaluate/measures.ts';
import { compareRows, type RowMetric, scoreRows } from '../../evaluate/rows.ts';
import {
  type Agreement,
  agreement,
  entitiesOf,
  entityMetrics,
  strictEntitiesOf,
} from '../../evaluate/text/entities.ts';
import type { Model } from '../../onnx/model.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Dataset, Scoring, Task, TaskBatch } from './task.ts';
import { openText, textBatches } from './text.ts';

interface Tagged extends Dataset {
  readonly rows: readonly TaggedRow[];
  /** Names of the labels, by id. */
  readonly labels: readonly string[];
}

interface Tags {
  /** Of each row, the ids of its words' labels. */
  readonly tags: readonly (readonly number[])[];
}

const metrics = {
  f1: entityMetrics.f1,
  precision: entityMetrics.precision,
  recall: entityMetrics.recall,
  accuracy: entityMetrics.accuracy,
  'strict-f1': entityMetrics.f1,
} as const satisfies Record<string, RowMetric<Agreement>>;

export const tokenClassification: Task<Tagged, Tags> = {
  architectures: /ForTokenClassification$/,
  metrics: ['f1', 'precision', 'recall', 'accuracy', 'strict-f1'],

  async read(file, { model, config, limit, progress }) {
    const labels = model.folder.config?.labels;
    if (labels === undefined) {
      throw new InputError(
        `model: "${model.folder.folder}" has no config.json with id2label, which says what the labels of words are. Save the model's config.json there.`,
      );
    }
    const { words, tags } = config.data;
    const sentences = await readSentences(file, { words, tags }, labels, limit);
    const { tokenizer, longest, check } = await openText(model, config);
    const task = progress.task('tokenizing', sentences.length);
    const { rows, cutOff } = encodeSentences(sentences, tokenizer, longest, () => task.advance());
    task.done();
    check(rows);
    if (cutOff > 0) {
      progress.warn(
        `${file}: ${cutOff} words are beyond the ${longest} tokens that a row may have, and are left out`,
      );
    }
    if (rows.every(({ firsts }) => firsts.length === 0)) {
      throw new InputError(
        `data: "${file}" holds no word that the tokenizer knows, expected at least one. Correct the file, or raise max-length (now ${longest}).`,
      );
    }
    return {
      rows,
      labels,
      count: rows.length,
      batches: textBatches(rows, tokenizer.padId, model),
      sha256: createHash('sha256').update(JSON.stringify({ rows, labels })).digest('hex'),
    };
  },

  criterion({ model }, { rows }) {
    const output = logitsOf(model);
    return {
      fetches: [output],
      againstDense: true,
      loss(found, batch, dense) {
        const classes = found[output].shape[2];
        const [teacher, student] = [dense[output], found[output]].map(toFloat);
        let [sum, weight] = [0, 0];
        for (const [at, row] of batch.rows.entries()) {
          for (const first of rows[row].firsts) {
            const from = (at * batch.shape[1] + first) * classes;
            const own = (values: Float32Array) => values.subarray(from, from + classes);
            sum += klDivergence(own(teacher), own(student), classes);
            weight++;
          }
        }
        return { sum, weight };
      },
    };
  },

  async answer(runner, { rows, labels, batches }, { model, progress }) {
    const output = logitsOf(model.model);
    const tags = new Array<readonly number[]>(rows.length);
    const task = progress.task('evaluating', rows.length);
    for (const batch of batches) {
      const { [output]: found } = await runner.run(batch.feeds, [output]);
      const logits = perToken(found, output, batch, labels.length);
      for (const [at, row] of batch.rows.entries()) {
        tags[row] = rows[row].firsts.map((first) => {
          const from = (at * batch.shape[1] + first) * labels.length;
          return likeliest(logits.subarray(from, from + labels.length), row);
        });
      }
      task.advance(batch.rows.length);
    }
    task.done();
    return { tags };
  },

  score(answers, rows, { metric, seed }: Scoring) {
    return scoreRows(metric, agreements(answers, rows, metric), metrics[named(metric)], { seed });
  },

  compare(dense, other, rows, { metric, seed }) {
    const [before, after] = [dense, other].map((answers) => agreements(answers, rows, metric));
    return compareRows(before, after, metrics[named(metric)], { seed });
  },
};

function agreements({ tags }: Tags, { rows, labels }: Tagged, metric: MeasureName): Agreement[] {
  const names = (ids: readonly number[]) => ids.map((id) => labels[id]);
  const entities = metric === 'strict-f1' ? strictEntitiesOf : entitiesOf;
  return rows.map((row, k) => agreement(names(tags[k]), names(row.tags), entities));
}

function named(metric: MeasureName): keyof typeof metrics {
  if (Object.hasOwn(metrics, metric)) return metric as keyof typeof metrics;
  throw new RangeError(`token-classification: "${metric}" is no metric of words`);
}

/** The output with the logits: `logits`, or the first. */
function logitsOf({ graph }: Model): string {
  return (graph.outputs.find(({ name }) => name === 'logits') ?? graph.outputs[0]).name;
}

/** @throws InputError for logits that are not each token's, or of other labels than the configuration names */
function perToken(
  tensor: Tensor,
  output: string,
  { shape: [b, s] }: TaskBatch,
  labels: number,
): Float32Array {
  const { shape } = tensor;
  if (shape.length !== 3 || shape[0] !== b || shape[1] !== s) {
    throw new InputError(
      `evaluate: the output "${output}" is [${shape.join(', ')}], expected [${b}, ${s}, labels]: logits of every token. Export the model for token classification.`,
    );
  }
  if (shape[2] !== labels) {
    throw new InputError(
      `evaluate: the model tells ${shape[2]} labels apart, but its config.json names ${labels}. Correct id2label in config.json.`,
    );
  }
  return toFloat(tensor);
}

function likeliest(logits: Float32Array, row: number): number {
  let best = 0;
  for (const [k, value] of logits.entries()) {
    if (Number.isNaN(value)) {
      throw new InputError(
        `evaluate: the model answers NaN on row ${row + 1}. Check the model's weights and its precision.`,
      );
    }
    if (value > logits[best]) best = k;
  }
  return best;
}
