/**
 * Language models that predict the next token, on windows of running text.
 * @module
 */
import { windowsOf } from '../../data/windows.ts';
import { InputError } from '../../errors.ts';
import { languageMetrics } from '../../evaluate/language.ts';
import {
  type AskedRows,
  askedRows,
  languageTask,
  lossesOf,
  readRows,
  type TokenAnswers,
} from './language.ts';
import type { Task, TaskConfig } from './task.ts';
import { openText } from './text.ts';

/** The longest window that is taken unasked: what perplexities of large models are told for. */
const WINDOW = 2048;

export const causalLm: Task<AskedRows, TokenAnswers> = {
  ...languageTask,
  architectures: /(ForCausalLM|LMHeadModel)$/,
  metrics: ['perplexity', 'accuracy'],

  async read(file, reading) {
    const { model, which, config } = reading;
    const { tokenizer, longest, check } = await openText(model, config);
    const size = config.maxLength === undefined ? Math.min(longest, WINDOW) : longest;
    requireWindow(size);
    const stride = which === 'evaluation' ? strideOf(config, size) : size;
    const rows = await readRows(file, reading, size, (texts) => {
      const documents = texts.map((text) => tokenizer.wrap(tokenizer.ids(text)).ids);
      return windowsOf(documents, { size, stride }).map(({ ids, document, from }) => ({
        ids,
        typeIds: ids.map(() => 0),
        document,
        targets: ids.map((_, at) => (at + 1 >= from && at + 1 < ids.length ? ids[at + 1] : -1)),
      }));
    });
    check(rows);
    return askedRows(rows, tokenizer.padId, model);
  },

  training: {
    lessons: ({ rows, padId }) => ({
      rows: rows.map(({ ids, typeIds }) => ({ ids, typeIds, label: 0 })),
      padId,
    }),
    part: ({ rows, padId }, isIn, model) =>
      askedRows(
        rows.filter((_, row) => isIn(row)),
        padId,
        model,
      ),
    // What a teacher says of tokens is too large to keep; the text itself tells as much.
    loss: (answers, rows) => Math.log(languageMetrics.perplexity(lossesOf(answers, rows))),
  },
};

/** @throws InputError for windows in which nothing comes before anything */
function requireWindow(size: number): void {
  if (size >= 2) return;
  throw new InputError(
    `config: a window of ${size} token has nothing to predict, expected at least 2. Raise max-length.`,
  );
}

/** @throws InputError for a stride that would leave tokens out */
function strideOf({ stride }: TaskConfig, size: number): number {
  if (stride === undefined || stride <= size) return stride ?? size;
  throw new InputError(
    `config: a stride of ${stride} leaves tokens out between windows of ${size}, expected at most ${size}. Lower stride, or raise max-length.`,
  );
}
