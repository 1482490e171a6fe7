/**
 * What both kinds of language model share: rows of tokens, some of which are asked for. Candidates are judged by the cross-entropy
 * of the tokens asked for, computed in the graph.
 * @module
 */
import { createHash } from 'node:crypto';
import { batches } from '../../data/batch.ts';
import { emptyCache, readsTokens } from '../../data/decoder.ts';
import { type Amount, readTexts } from '../../data/texts.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { InputError } from '../../errors.ts';
import { type LanguageMetric, languageMetrics, type TextLoss, textsOf } from '../../evaluate/language.ts';
import type { MeasureName } from '../../evaluate/measures.ts';
import { compareRows, scoreRows } from '../../evaluate/rows.ts';
import { appendTokenLoss, tokenLoss, tokenLossModel } from '../../evaluate/token-loss.ts';
import { encodeModel } from '../../onnx/encode.ts';
import type { Model } from '../../onnx/model.ts';
import { openSession, type Session } from '../../runtime/session.ts';
import { type Tensor, tensor } from '../../tensor/tensor.ts';
import type { Answering, Criterion, Dataset, Reading, Runner, Task, TaskBatch, TaskModel } from './task.ts';
import { BATCH_TOKENS, embeddingRows } from './text.ts';

/** A row of tokens with what is asked. */
export interface AskedRow extends Encoding {
  /** Index of the document that it is of. */
  readonly document: number;
  /** At each position the token that the logits there are to give, −1 where nothing is asked. */
  readonly targets: readonly number[];
}

export interface AskedRows extends Dataset {
  readonly rows: readonly AskedRow[];
  readonly padId: number;
}

/** Of each row, over the tokens asked for. */
export interface TokenAnswers {
  readonly loss: readonly number[];
  readonly right: readonly number[];
}

/** Logits of a batch are at most so many numbers: 256 MiB. */
const BATCH_LOGITS = 2 ** 26;

/**
 * Rows as a data set, with empty caches where the model reads any.
 * @throws InputError when nothing is asked, and for inputs that text does not fill
 */
export function askedRows(rows: readonly AskedRow[], padId: number, model: TaskModel): AskedRows {
  const { inputs, folder } = model;
  const vocabulary = embeddingRows(model.model) ?? folder.config?.vocabularySize ?? 1;
  const batchTokens = Math.min(BATCH_TOKENS, Math.floor(BATCH_LOGITS / vocabulary));
  const labelled = rows.map((row) => ({ ...row, label: 0 }));
  const made = batches(labelled, { inputs: inputs.filter(readsTokens), padId, batchTokens });
  return {
    rows,
    count: rows.length,
    batches: made.map((batch) => ({
      ...batch,
      feeds: { ...batch.feeds, ...emptyCache(inputs, batch.shape) },
    })),
    padId,
    sha256: createHash('sha256').update(JSON.stringify(rows)).digest('hex'),
  };
}

/**
 * Reads documents until there are as many rows as wanted, so that of a long file only the beginning is tokenized.
 * @param rowsOf the rows of some documents; of more documents, or a longer last one, the same and then more
 * @param size tokens of a row
 */
export async function readRows(
  file: string,
  { config, limit = Number.POSITIVE_INFINITY }: Reading,
  size: number,
  rowsOf: (texts: readonly string[]) => readonly AskedRow[],
): Promise<readonly AskedRow[]> {
  for (let rows = limit; ; rows *= 4) {
    const amount: Amount = { rows, bytes: rows * size * 8 };
    const { texts, isWhole } = await readTexts(file, config.data.text, amount);
    const found = rowsOf(texts);
    // Where a text was cut off, its last row may be other than it is in the whole.
    if (!isWhole && found.length <= limit) continue;
    if (found.length > 0) return found.slice(0, limit);
    throw new InputError(
      `data: "${file}" has no text of two tokens or more, so there is nothing to predict. Give it some.`,
    );
  }
}

/** The output with the logits: `logits`, or the first. */
function logitsOf({ graph }: Model): string {
  return (graph.outputs.find(({ name }) => name === 'logits') ?? graph.outputs[0]).name;
}

function labelsOf({ rows }: AskedRows, { shape: [b, s], rows: members }: TaskBatch): Tensor<'int64'> {
  const labels = new BigInt64Array(b * s);
  for (const [at, row] of members.entries()) {
    for (const [position, target] of rows[row].targets.entries()) {
      if (target >= 0) labels[at * s + position] = BigInt(target);
    }
  }
  return tensor('int64', [b, s], labels);
}

/** Σ over the positions of a row where something is asked. */
function sumOf({ targets }: AskedRow, value: (position: number, target: number) => number): number {
  let sum = 0;
  for (const [position, target] of targets.entries()) if (target >= 0) sum += value(position, target);
  return sum;
}

/** All but what is read and asked. */
export const languageTask = {
  criterion({ model }: TaskModel, data: AskedRows): Criterion {
    const logits = logitsOf(model);
    return {
      fetches: [tokenLoss.loss],
      againstDense: false,
      append: (given) => appendTokenLoss(given, logits),
      feeds: (batch) => ({ [tokenLoss.labels]: labelsOf(data, batch) }),
      loss(found, { rows, shape: [, s] }) {
        const losses = found[tokenLoss.loss].data as Float32Array;
        let [sum, weight] = [0, 0];
        for (const [at, row] of rows.entries()) {
          sum += sumOf(data.rows[row], (position) => losses[at * s + position]);
          weight += sumOf(data.rows[row], () => 1);
        }
        return { sum, weight };
      },
    };
  },

  async answer(
    runner: Runner,
    data: AskedRows,
    { model, session, progress }: Answering,
  ): Promise<TokenAnswers> {
    const output = logitsOf(model.model);
    const answers = { loss: new Array<number>(data.count), right: new Array<number>(data.count) };
    // The file runs as it is; what its logits are worth is a graph of its own, on the processor that they are handed to.
    const threads = session.threads === undefined ? {} : { threads: session.threads };
    let judge: Session | undefined;
    const task = progress.task('evaluating', data.count);
    try {
      for (const batch of data.batches) {
        const { [output]: logits } = await runner.run(batch.feeds, [output]);
        requireLogits(logits, output, batch);
        judge ??= await openSession(encodeModel(tokenLossModel(logits.type)), threads);
        const labels = labelsOf(data, batch);
        const found = await judge.run({ logits, [tokenLoss.labels]: labels });
        const losses = found[tokenLoss.loss].data as Float32Array;
        const best = found[tokenLoss.best].data as BigInt64Array;
        const s = batch.shape[1];
        for (const [at, row] of batch.rows.entries()) {
          const loss = sumOf(data.rows[row], (position) => losses[at * s + position]);
          if (Number.isNaN(loss)) {
            throw new InputError(
              `evaluate: the model answers NaN on row ${row + 1}. Check the model's weights and its precision.`,
            );
          }
          answers.loss[row] = loss;
          answers.right[row] = sumOf(data.rows[row], (position, target) =>
            Number(best[at * s + position] === BigInt(target)),
          );
        }
        task.advance(batch.rows.length);
      }
    } finally {
      await judge?.[Symbol.asyncDispose]();
    }
    task.done();
    return answers;
  },

  score(answers: TokenAnswers, rows: AskedRows, { metric, seed }: { metric: MeasureName; seed: number }) {
    return scoreRows(metric, lossesOf(answers, rows), languageMetrics[named(metric)], { seed });
  },

  compare(
    dense: TokenAnswers,
    other: TokenAnswers,
    rows: AskedRows,
    { metric, seed }: { metric: MeasureName; seed: number },
  ) {
    const [before, after] = [dense, other].map((answers) => lossesOf(answers, rows));
    return compareRows(before, after, languageMetrics[named(metric)], { seed });
  },
} satisfies Pick<Task<AskedRows, TokenAnswers>, 'criterion' | 'answer' | 'score' | 'compare'>;

/** Sums over texts, as metrics take them. */
export function lossesOf({ loss, right }: TokenAnswers, { rows }: AskedRows): TextLoss[] {
  return textsOf(
    rows.map((row, i) => ({
      document: row.document,
      loss: loss[i],
      right: right[i],
      tokens: sumOf(row, () => 1),
    })),
  );
}

function named(metric: MeasureName): LanguageMetric {
  if (Object.hasOwn(languageMetrics, metric)) return metric as LanguageMetric;
  throw new RangeError(`language: "${metric}" is no metric of tokens`);
}

/** @throws InputError for logits that are not each token's */
function requireLogits({ type, shape }: Tensor, output: string, { shape: [b, s] }: TaskBatch): void {
  const isFloat = type === 'float32' || type === 'float16' || type === 'bfloat16' || type === 'float64';
  if (isFloat && shape.length === 3 && shape[0] === b && shape[1] === s) return;
  throw new InputError(
    `evaluate: the output "${output}" is ${type} [${shape.join(', ')}], expected floats [${b}, ${s}, vocabulary]: logits of every token. Export the model for language modelling.`,
  );
}
