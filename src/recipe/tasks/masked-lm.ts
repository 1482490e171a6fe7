/**
 * Language models that fill gaps, on stretches of running text with seeded gaps: of the tokens asked for, the accuracy, and the
 * perplexity that is called pseudo-perplexity, since these probabilities are not those of a text.
 * @module
 */
import { maskTokens } from '../../data/masking.ts';
import { windowsOf } from '../../data/windows.ts';
import { InputError } from '../../errors.ts';
import { random } from '../../tensor/random.ts';
import { type AskedRows, askedRows, languageTask, readRows, type TokenAnswers } from './language.ts';
import type { Task } from './task.ts';
import { embeddingRows, openText } from './text.ts';

/** The longest stretch that is taken unasked. */
const STRETCH = 512;

export const maskedLm: Task<AskedRows, TokenAnswers> = {
  ...languageTask,
  architectures: /ForMaskedLM$/,
  metrics: ['perplexity', 'accuracy'],

  async read(file, reading) {
    const { model, config } = reading;
    const { tokenizer, longest, check } = await openText(model, config);
    const { maskId } = tokenizer;
    if (maskId === undefined) {
      throw new InputError(
        `tokenizer: "${model.folder.folder}" names no mask_token in tokenizer_config.json, which masked-lm needs. Save the model's tokenizer again.`,
      );
    }
    const size = config.maxLength === undefined ? Math.min(longest, STRETCH) : longest;
    const room = size - tokenizer.wrap([]).ids.length;
    if (room < 2) {
      throw new InputError(
        `config: ${size} tokens leave room for ${Math.max(0, room)} of the text, expected at least 2. Raise max-length.`,
      );
    }
    const vocabulary = embeddingRows(model.model) ?? model.folder.config?.vocabularySize ?? maskId + 1;
    const rows = await readRows(file, reading, size, (texts) => {
      // The same gaps whatever is read beyond them: each row's follow from those of the rows before.
      const next = random(config.search.seed);
      const documents = texts.map((text) => tokenizer.ids(text));
      return windowsOf(documents, { size: room, stride: room }).map(({ ids, document }) => {
        const { ids: whole, typeIds, starts } = tokenizer.wrap(ids);
        const text = [starts[0], starts[0] + ids.length] as const;
        return { ...maskTokens(whole, text, { maskId, vocabulary }, next), typeIds, document };
      });
    });
    check(rows);
    return askedRows(rows, tokenizer.padId, model);
  },
};
