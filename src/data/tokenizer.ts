/**
 * Text to token ids, by the `tokenizer.json` of the model's folder.
 *
 * A saved tokenizer carries the truncation and padding of its training. Neither is used: length is the caller's
 * decision, and padding the batch's.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { InputError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import { isObject, readJsonObject } from './folder.ts';
import type { Row } from './rows.ts';
import { openPieces, type Piece, type PieceOptions, type Pieces } from './spans/pieces.ts';

/** One text (or pair) as the model reads it, special tokens included, unpadded. */
export interface Encoding {
  readonly ids: readonly number[];
  /** 0 for the first text, 1 for the second, where the tokenizer tells them apart. */
  readonly typeIds: readonly number[];
}

/** A row's encoding with its label. */
export interface EncodedRow extends Encoding {
  readonly label: number;
}

export interface Tokenizer {
  /** The id that fills a batch's shorter rows. */
  readonly padId: number;
  /** The longest input that the tokenizer declares; Infinity where it declares none. */
  readonly maxLength: number;
  /** The id that stands for a masked token; none where the tokenizer has no such token. */
  readonly maskId: number | undefined;
  /**
   * Encodes with special tokens, truncated on the right to `maxLength` ids: of a pair, the longer text gives way
   * first (`longest_first`).
   * @throws InputError when `maxLength` does not even hold the special tokens.
   */
  encode(text: string, pair: string | undefined, maxLength: number): Encoding;
  /** The ids of a text without special ones, all of them. */
  ids(text: string): readonly number[];
  /**
   * The tokens of a text without special ones, all of them, each with where its letters stand in it.
   * @throws InputError where that cannot be told
   */
  locate(text: string): readonly Piece[];
  /** The ids of each word of a sentence that is divided already, without special ones. */
  words(words: readonly string[]): readonly (readonly number[])[];
  /** Puts the special tokens around ids: those of one text, or of a pair. */
  wrap(A: readonly number[], B?: readonly number[]): Wrapped;
}

export interface Wrapped extends Encoding {
  /** Where the first id of A, and that of B, has come to stand. */
  readonly starts: readonly [A: number, B: number];
}

/** What the post-processor puts around the texts: special ids, and places for text A and B. */
type Template = readonly (
  | { readonly id: number; readonly typeId: number }
  | { readonly text: 'A' | 'B'; readonly typeId: number }
)[];

/**
 * Opens the tokenizer of a folder.
 * @throws InputError when `tokenizer.json` is missing, is not JSON, or holds a part that is not supported.
 */
export async function openTokenizer(folder: string): Promise<Tokenizer> {
  const file = join(folder, 'tokenizer.json');
  if (!existsSync(file)) {
    throw new InputError(
      `tokenizer: "${folder}" holds no tokenizer.json, which the task needs to read text. Save the model's fast tokenizer there.`,
    );
  }
  const definition = readJsonObject(file);
  const configFile = join(folder, 'tokenizer_config.json');
  const config = existsSync(configFile) ? readJsonObject(configFile) : {};
  let tokenizer: HuggingFaceTokenizer;
  try {
    tokenizer = new HuggingFaceTokenizer(definition, config);
  } catch (error) {
    throw new InputError(
      `tokenizer: ${file} cannot be used: ${(error as Error).message}. Save the model's fast tokenizer again.`,
    );
  }
  const single = templateOf(tokenizer, definition, false);
  const double = templateOf(tokenizer, definition, true);
  // JavaScript lowers a final Σ to ς; the tokenizers that models were trained with go by the letter, to σ.
  const lowers = partsOf(definition.normalizer, 'normalizers').some(
    (part) => part.type === 'Lowercase' || (part.type === 'BertNormalizer' && part.lowercase !== false),
  );
  const lowered = (text: string) => (lowers ? text.replaceAll('Σ', 'σ') : text);
  const idsOf = (text: string) => tokenizer.encode(lowered(text), { add_special_tokens: false }).ids;
  const options = pieceOptions(definition, config, lowered);
  const { byteLevel } = options;
  const pieces = openPieces(tokenizer, options);
  const wrap = (A: readonly number[], B?: readonly number[]): Wrapped => {
    const ids: number[] = [];
    const typeIds: number[] = [];
    const starts: [number, number] = [0, 0];
    for (const part of B === undefined ? single : double) {
      const these = 'id' in part ? [part.id] : part.text === 'A' ? A : B!;
      if ('text' in part) starts[part.text === 'A' ? 0 : 1] = ids.length;
      for (const id of these) {
        ids.push(id);
        typeIds.push(part.typeId);
      }
    }
    return { ids, typeIds, starts };
  };
  return {
    padId: padIdOf(tokenizer, definition, config),
    maskId: namedId(tokenizer, config.mask_token),
    maxLength:
      typeof config.model_max_length === 'number' ? config.model_max_length : Number.POSITIVE_INFINITY,
    encode(text, pair, maxLength) {
      const template = pair === undefined ? single : double;
      const room = maxLength - template.filter((part) => 'id' in part).length;
      if (room < 0) {
        throw new InputError(
          `tokenizer: a length of ${maxLength} does not hold the ${maxLength - room} special tokens. Raise shape.sequence.`,
        );
      }
      const [A, B] = truncateLongestFirst(idsOf(text), pair === undefined ? [] : idsOf(pair), room);
      const { ids, typeIds } = wrap(A, pair === undefined ? undefined : B);
      return { ids, typeIds };
    },
    ids: idsOf,
    locate: (text) => located(text, pieces, idsOf(text), file),
    // To byte-level tokens, a word without a space before it is the rest of another.
    words: (words) => words.map((word) => idsOf(byteLevel && !/^\s/.test(word) ? ` ${word}` : word)),
    wrap,
  };
}

/** @throws InputError where the pieces found in a text are not the library's tokens */
function located(text: string, pieces: Pieces, ids: readonly number[], file: string): readonly Piece[] {
  let found: readonly Piece[] = [];
  let why = 'other tokens were found';
  try {
    found = pieces.locate(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    why = error.message;
  }
  if (found.length === ids.length && found.every(({ id }, at) => id === ids[at])) return found;
  throw new InputError(
    `tokenizer: where the tokens of "${text.slice(0, 40)}…" stand cannot be told by ${file}: ${why}. Save the model's fast tokenizer again, or leave the row out.`,
  );
}

/** What `openPieces` needs beside the library's own parts. */
function pieceOptions(
  definition: Record<string, unknown>,
  config: Record<string, unknown>,
  lowered: (text: string) => string,
): PieceOptions {
  const model = isObject(definition.model) ? definition.model : {};
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  // The two that the library takes from tokenizer_config.json.
  const joined = (whole: string) => whole.trim().split(/\s+/).join(' ');
  const bared = (whole: string) => whole.toLowerCase().replace(/\p{M}/gu, '');
  return {
    first: [
      lowered,
      ...(config.remove_space === true ? [joined] : []),
      ...(config.do_lowercase_and_remove_accent === true ? [bared] : []),
    ],
    byteLevel: partsOf(definition.pre_tokenizer, 'pretokenizers').some((part) => part.type === 'ByteLevel'),
    continuing: text(model.continuing_subword_prefix),
    continued: text(model.continuing_subword_suffix),
  };
}

/**
 * Lets the post-processor wrap one stand-in token per text, and reads off what it put where. The library has no
 * truncation of its own, and after wrapping it would cut the closing token.
 */
function templateOf(
  tokenizer: HuggingFaceTokenizer,
  definition: Record<string, unknown>,
  isPair: boolean,
): Template {
  const [A, B] = ['\u0000A', '\u0000B'];
  const processor = tokenizer.post_processor;
  const wrapped = processor?.post_process([A], isPair ? [B] : null, true);
  const tokens: string[] = wrapped?.tokens ?? [A];
  // A byte-level post-processor adds nothing and leaves the second text apart.
  if (isPair && !tokens.includes(B)) tokens.push(B);
  // RoBERTa has one token type only; the library counts two.
  const oneType = partsOf(definition.post_processor, 'processors').some(
    (part) => part.type === 'RobertaProcessing',
  );
  return tokens.map((token, at) => {
    const typeId = oneType ? 0 : (wrapped?.token_type_ids?.[at] ?? 0);
    if (token === A) return { text: 'A', typeId };
    if (token === B) return { text: 'B', typeId };
    const id = tokenizer.token_to_id(token);
    if (id !== undefined) return { id, typeId };
    throw new InputError(
      `tokenizer: the special token "${token}" is not in the vocabulary. Save the model's fast tokenizer again.`,
    );
  });
}

/** A component, and those that it is a sequence of. */
function partsOf(component: unknown, children: string): Record<string, unknown>[] {
  if (!isObject(component)) return [];
  const inner = component[children];
  return [component, ...(Array.isArray(inner) ? inner.flatMap((part) => partsOf(part, children)) : [])];
}

/** `pad_token` of the configuration, else the padding that was saved with the tokenizer, else 0. */
function padIdOf(
  tokenizer: HuggingFaceTokenizer,
  definition: Record<string, unknown>,
  config: Record<string, unknown>,
): number {
  const saved = isObject(definition.padding) ? definition.padding.pad_id : undefined;
  return namedId(tokenizer, config.pad_token) ?? (typeof saved === 'number' ? saved : 0);
}

/** The id of a special token of `tokenizer_config.json`: a text, or an object with one. */
function namedId(tokenizer: HuggingFaceTokenizer, token: unknown): number | undefined {
  const content = isObject(token) ? token.content : token;
  return typeof content === 'string' ? tokenizer.token_to_id(content) : undefined;
}

/**
 * Drops ids from the right of the longer text until both fit in `room`. Two long texts get half each; an odd id
 * goes to the longer, the second on a tie.
 */
export function truncateLongestFirst(
  A: readonly number[],
  B: readonly number[],
  room: number,
): [readonly number[], readonly number[]] {
  if (A.length + B.length <= room) return [A, B];
  const shorter = Math.min(A.length, B.length, Math.floor(room / 2));
  const keptA = A.length <= B.length ? shorter : room - shorter;
  return [A.slice(0, keptA), B.slice(0, room - keptA)];
}

/** Encodes rows in order, each at most `maxLength` ids long. */
export function encodeRows(
  rows: readonly Row[],
  tokenizer: Tokenizer,
  maxLength: number,
  progress: Progress,
): EncodedRow[] {
  const task = progress.task('tokenizing', rows.length);
  const encoded = rows.map(({ text, pair, label }) => {
    task.advance();
    return { ...tokenizer.encode(text, pair, maxLength), label };
  });
  task.done();
  return encoded;
}

/**
 * Makes sure that every id has a row in the embedding. A graph run with others reads beside its table, or fails
 * with a message that names no text.
 * @throws InputError naming the id and the table's size.
 */
export function checkTokens(rows: readonly Encoding[], vocabularySize: number): void {
  for (const [index, { ids }] of rows.entries()) {
    const stray = ids.find((id) => id >= vocabularySize);
    if (stray !== undefined) {
      throw new InputError(
        `tokenizer: row ${index + 1} holds the token id ${stray}, but the model's embedding has only ${vocabularySize} rows (ids 0 to ${vocabularySize - 1}). Use the tokenizer that the model was trained with.`,
      );
    }
  }
}
