/**
 * A tokenizer of letters, for models of few tokens: ids 0 to 3 are `<unk>`, `<s>`, `</s>` and `<mask>`, then come the space, the
 * line's end, small letters, digits and signs. Capitals are small letters; all else is unknown.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const special = ['<unk>', '<s>', '</s>', '<mask>'];
export const letters = [' ', '\n', ...'abcdefghijklmnopqrstuvwxyz0123456789.,;:!?\'"()-@=<>/'];
export const lettersVocabulary = special.length + letters.length;

/** The ids of a text, by hand. */
export function letterIds(text: string): number[] {
  return [...text.toLowerCase()].map((letter) => {
    const at = letters.indexOf(letter);
    return at < 0 ? 0 : special.length + at;
  });
}

/**
 * Writes `tokenizer.json` and its configuration.
 * @param around the special tokens that it puts around a text: `<s>` before it, `</s>` behind it
 */
export function writeLetters(
  folder: string,
  { begin = false, end = false }: { readonly begin?: boolean; readonly end?: boolean } = {},
): void {
  const tokens = [...special, ...letters];
  const around = (part: object) => [
    ...(begin ? [{ SpecialToken: { id: '<s>', type_id: 0 } }] : []),
    part,
    ...(end ? [{ SpecialToken: { id: '</s>', type_id: 0 } }] : []),
  ];
  const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const definition = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false },
    post_processor: {
      type: 'TemplateProcessing',
      single: around(sequence('A')),
      pair: [...around(sequence('A')), ...around(sequence('B'))],
      special_tokens: Object.fromEntries(
        special.map((token, id) => [token, { id: token, ids: [id], tokens: [token] }]),
      ),
    },
    decoder: null,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: [],
    },
  };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(definition));
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: '<s>',
    eos_token: '</s>',
    unk_token: '<unk>',
    pad_token: '<unk>',
    mask_token: '<mask>',
    model_max_length: 1e30,
  };
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
}
