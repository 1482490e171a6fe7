/**
 * Question answering: the span of a context that answers a question, or that there is none. Candidates are judged by KL(dense
 * model ‖ candidate) of where the answer starts and of where it ends, over the tokens of each window.
 * @module
 */
import { createHash } from 'node:crypto';
import { type ContextWindow, contextWindows } from '../../data/labelled/contexts.ts';
import { type Question, readQuestions } from '../../data/labelled/questions.ts';
import { InputError } from '../../errors.ts';
import { toFloat } from '../../evaluate/classification.ts';
import { klDivergence } from '../../evaluate/losses.ts';
import type { MeasureName } from '../../evaluate/measures.ts';
import { compareRows, scoreRows } from '../../evaluate/rows.ts';
import { bestSpan, exactMatch, type SpanScores, wordF1 } from '../../evaluate/text/answers.ts';
import type { Model } from '../../onnx/model.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Dataset, Task, TaskBatch } from './task.ts';
import { openText, textBatches } from './text.ts';

/** The rows of the data set are windows: a context that is too long for one has several. */
interface Asked extends Dataset {
  readonly windows: readonly ContextWindow[];
  readonly questions: readonly Question[];
  /** Tokens of an answer, at most. */
  readonly longest: number;
  /** Whether there are questions without an answer, so that a model may say so. */
  readonly mayBeNone: boolean;
}

interface Answered {
  /** Of each question; '' for none. */
  readonly texts: readonly string[];
}

/** The longest window that is taken unasked: the field's. */
const WINDOW = 384;

/** What a question's answer is worth, by each metric. */
const worth = {
  f1: wordF1,
  'exact-match': exactMatch,
} as const satisfies Record<string, (prediction: string, answers: readonly string[]) => number>;

export const questionAnswering: Task<Asked, Answered> = {
  architectures: /ForQuestionAnswering(Simple)?$/,
  metrics: ['f1', 'exact-match'],

  async read(file, { model, config, limit, progress }) {
    const { question, context, answers } = config.data;
    const questions = await readQuestions(file, { question, context, answers }, limit);
    const { tokenizer, longest, check } = await openText(model, config);
    const length = config.maxLength === undefined ? Math.min(longest, WINDOW) : longest;
    const task = progress.task('tokenizing', questions.length);
    const options = { length, stride: config.docStride };
    const windows = contextWindows(questions, tokenizer, options, () => task.advance());
    task.done();
    check(windows);
    const answering = {
      longest: config.maxAnswerLength,
      mayBeNone: questions.some((asked) => asked.answers.length === 0),
    };
    return {
      windows,
      questions,
      ...answering,
      count: windows.length,
      scored: questions.length,
      batches: textBatches(windows, tokenizer.padId, model),
      sha256: createHash('sha256').update(JSON.stringify({ windows, questions, answering })).digest('hex'),
    };
  },

  criterion({ model }, { windows }) {
    const outputs = outputsOf(model);
    return {
      fetches: outputs,
      againstDense: true,
      loss(found, { rows, shape: [, s] }, dense) {
        let sum = 0;
        for (const output of outputs) {
          const [teacher, student] = [dense[output], found[output]].map(toFloat);
          for (const [at, row] of rows.entries()) {
            const length = windows[row].ids.length;
            const own = (values: Float32Array) => values.subarray(at * s, at * s + length);
            sum += klDivergence(own(teacher), own(student), length);
          }
        }
        return { sum, weight: rows.length };
      },
    };
  },

  async answer(runner, { windows, questions, batches, longest, mayBeNone }, { model, progress }) {
    const [startOutput, endOutput] = outputsOf(model.model);
    const scores = new Array<SpanScores>(windows.length);
    const task = progress.task('evaluating', windows.length);
    for (const batch of batches) {
      const found = await runner.run(batch.feeds, [startOutput, endOutput]);
      const [starts, ends] = [startOutput, endOutput].map((name) => positions(found[name], name, batch));
      const s = batch.shape[1];
      for (const [at, row] of batch.rows.entries()) {
        const { ids, first, spans, question } = windows[row];
        const own = (values: Float32Array) => values.slice(at * s, at * s + ids.length);
        const scored = { start: own(starts), end: own(ends), first, spans };
        if (scored.start.some(Number.isNaN) || scored.end.some(Number.isNaN)) {
          throw new InputError(
            `evaluate: the model answers NaN on question ${question + 1}. Check the model's weights and its precision.`,
          );
        }
        scores[row] = scored;
      }
      task.advance(batch.rows.length);
    }
    task.done();
    const own = Map.groupBy(scores, (_, row) => windows[row].question);
    const texts = questions.map(({ context }, k) => bestSpan(own.get(k)!, context, { longest, mayBeNone }));
    return { texts };
  },

  score(answers, rows, { metric, seed }) {
    return scoreRows(metric, worths(answers, rows, metric), mean, { seed });
  },

  compare(dense, other, rows, { metric, seed }) {
    const [before, after] = [dense, other].map((answers) => worths(answers, rows, metric));
    return compareRows(before, after, mean, { seed });
  },
};

function worths({ texts }: Answered, { questions }: Asked, metric: MeasureName): number[] {
  if (!Object.hasOwn(worth, metric)) {
    throw new RangeError(`question-answering: "${metric}" is no metric of answers`);
  }
  return questions.map(({ answers }, k) => worth[metric as keyof typeof worth](texts[k], answers));
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * The outputs with the scores of starts and of ends: by their usual names, else the only two that there are, in their order.
 * @throws InputError for other outputs
 */
function outputsOf({ graph }: Model): readonly [start: string, end: string] {
  const names = graph.outputs.map(({ name }) => name);
  if (names.includes('start_logits') && names.includes('end_logits')) return ['start_logits', 'end_logits'];
  if (names.length === 2 && graph.outputs.every(({ shape }) => shape?.length === 2)) return [names[0], names[1]];
  throw new InputError(
    `evaluate: the model's outputs are ${names.join(', ')}, expected start_logits and end_logits, each [batch, sequence]. Export the model for question answering.`,
  );
}

/** @throws InputError for scores that are not each token's */
function positions(tensor: Tensor, output: string, { shape: [b, s] }: TaskBatch): Float32Array {
  const { shape } = tensor;
  if (shape.length === 2 && shape[0] === b && shape[1] === s) return toFloat(tensor);
  throw new InputError(
    `evaluate: the output "${output}" is [${shape.join(', ')}], expected [${b}, ${s}]: a score for each token. Export the model for question answering.`,
  );
}
