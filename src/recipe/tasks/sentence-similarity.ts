/**
 * Sentence similarity: how alike two texts are, as the cosine of their embeddings. Candidates are judged by 1 − the cosine of a
 * text's embedding and the dense model's.
 * @module
 */
import { createHash } from 'node:crypto';
import { readPairs } from '../../data/labelled/pairs.ts';
import { poolingOf } from '../../data/pooling.ts';
import type { EncodedRow } from '../../data/tokenizer.ts';
import { InputError } from '../../errors.ts';
import { toFloat } from '../../evaluate/classification.ts';
import type { MeasureName } from '../../evaluate/measures.ts';
import { compareRows, type RowMetric, scoreRows } from '../../evaluate/rows.ts';
import { cosine, pearson, spearman } from '../../evaluate/text/correlation.ts';
import {
  appendPooling,
  type EmbeddingOutput,
  embeddingOutput,
  pool,
  type Pooling,
  pooled,
  poolingMask,
} from '../../evaluate/text/embeddings.ts';
import type { Model } from '../../onnx/model.ts';
import { type Tensor, tensor } from '../../tensor/tensor.ts';
import type { Dataset, Task, TaskBatch } from './task.ts';
import { openText, textBatches } from './text.ts';

/** The rows of the data set are texts: of pair k those at 2k and 2k+1. */
interface Pairs extends Dataset {
  readonly rows: readonly EncodedRow[];
  /** How alike the texts of each pair are said to be. */
  readonly scores: readonly number[];
  readonly pooling: Pooling;
}

interface Likenesses {
  /** The cosine of each pair. */
  readonly cosines: readonly number[];
}

type Likeness = readonly [found: number, said: number];

/** 0 where either side is the same for all pairs, as for a resample of few. */
const metrics = {
  spearman: (pairs) => spearman(pairs) || 0,
  pearson: (pairs) => pearson(pairs) || 0,
} as const satisfies Record<string, RowMetric<Likeness>>;

export const sentenceSimilarity: Task<Pairs, Likenesses> = {
  // A model that was saved without a head.
  architectures: /(?<!LMHead|Heads)Model$/,
  metrics: ['spearman', 'pearson'],

  async read(file, { model, config, limit, progress }) {
    const { text, pair, label } = config.data;
    if (pair === undefined) {
      throw new InputError(
        'config: data.pair names no column, expected that of the second text. Set it in ziplm.yml or with --data-pair.',
      );
    }
    const pooling = poolingOf(model.folder.folder);
    const pairs = await readPairs(file, { text, pair, score: label }, limit);
    const { tokenizer, longest, check } = await openText(model, config);
    const task = progress.task('tokenizing', pairs.length);
    const rows = pairs.flatMap(({ texts }) => {
      task.advance();
      return texts.map((one) => ({ ...tokenizer.encode(one, undefined, longest), label: 0 }));
    });
    task.done();
    check(rows);
    return {
      rows,
      scores: pairs.map(({ score }) => score),
      pooling,
      count: rows.length,
      scored: pairs.length,
      batches: textBatches(rows, tokenizer.padId, model),
      sha256: createHash('sha256').update(JSON.stringify({ pairs, rows, pooling })).digest('hex'),
    };
  },

  criterion({ model }, { pooling }) {
    const output = embeddingOutput(model);
    const embedding = output.perToken ? pooled.embedding : output.name;
    return {
      fetches: [embedding],
      againstDense: true,
      ...(output.perToken && {
        append: (given: Model) => appendPooling(given, output.name),
        feeds: ({ mask, shape }: TaskBatch) => ({
          [pooled.mask]: tensor('float32', [...shape, 1], poolingMask(mask, shape, pooling)),
        }),
      }),
      loss(found, { rows }, dense) {
        const [teacher, student] = [dense[embedding], found[embedding]];
        const [before, after] = [teacher, student].map(toFloat);
        const width = student.shape[1];
        let sum = 0;
        for (const at of rows.keys()) {
          const own = (values: Float32Array) => values.subarray(at * width, (at + 1) * width);
          // Rounding may take the cosine beyond 1; a loss is never negative.
          sum += Math.max(0, 1 - cosine(own(before), own(after)));
        }
        return { sum, weight: rows.length };
      },
    };
  },

  async answer(runner, { rows, scores, batches, pooling }, { model, progress }) {
    const output = embeddingOutput(model.model);
    const embeddings = new Array<Float32Array>(rows.length);
    const task = progress.task('evaluating', rows.length);
    for (const batch of batches) {
      const { [output.name]: found } = await runner.run(batch.feeds, [output.name]);
      const own = embeddingsOf(found, output, batch, pooling);
      for (const [at, row] of batch.rows.entries()) embeddings[row] = own[at];
      task.advance(batch.rows.length);
    }
    task.done();
    const cosines = scores.map((_, k) => {
      const likeness = cosine(embeddings[2 * k], embeddings[2 * k + 1]);
      if (!Number.isNaN(likeness)) return likeness;
      throw new InputError(
        `evaluate: the model answers NaN on row ${k + 1}. Check the model's weights and its precision.`,
      );
    });
    return { cosines };
  },

  score({ cosines }, { scores }, { metric, seed }) {
    return scoreRows(metric, likenesses(cosines, scores), metrics[named(metric)], { seed });
  },

  compare(dense, other, { scores }, { metric, seed }) {
    const [before, after] = [dense, other].map(({ cosines }) => likenesses(cosines, scores));
    return compareRows(before, after, metrics[named(metric)], { seed });
  },
};

function likenesses(cosines: readonly number[], scores: readonly number[]): Likeness[] {
  return cosines.map((found, k) => [found, scores[k]]);
}

function named(metric: MeasureName): keyof typeof metrics {
  if (Object.hasOwn(metrics, metric)) return metric as keyof typeof metrics;
  throw new RangeError(`sentence-similarity: "${metric}" is no metric of pairs`);
}

/** @throws InputError for an output that holds no vector for each text, or for each token */
function embeddingsOf(
  found: Tensor,
  { name, perToken }: EmbeddingOutput,
  { shape: [b, s], mask }: TaskBatch,
  pooling: Pooling,
): Float32Array[] {
  const { shape } = found;
  const fits = perToken ? shape.length === 3 && shape[1] === s : shape.length === 2;
  if (!fits || shape[0] !== b) {
    throw new InputError(
      `evaluate: the output "${name}" is [${shape.join(', ')}], expected [${[b, ...(perToken ? [s] : []), 'width'].join(', ')}]. Export the model for feature extraction.`,
    );
  }
  const width = shape.at(-1)!;
  const values = toFloat(found);
  const vectors = perToken ? pool(values, poolingMask(mask, [b, s], pooling), [b, s, width]) : values;
  return Array.from({ length: b }, (_, at) => vectors.slice(at * width, (at + 1) * width));
}
