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
  /**
   * Encodes with special tokens, truncated on the right to `maxLength` ids: of a pair, the longer text gives way
   * first (`longest_first`).
   * @throws InputError when `maxLength` does not even hold the special tokens.
   */
  encode(text: string, pair: string | undefined, maxLength: number): Encoding;
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
  const idsOf = (text: string) =>
    tokenizer.encode(lowers ? text.replaceAll('Σ', 'σ') : text, { add_special_tokens: false }).ids;
  return {
    padId: padIdOf(tokenizer, definition, config),
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
      const ids: number[] = [];
      const typeIds: number[] = [];
      for (const part of template) {
        const these = 'id' in part ? [part.id] : part.text === 'A' ? A : B;
        for (const id of these) {
          ids.push(id);
          typeIds.push(part.typeId);
        }
      }
      return { ids, typeIds };
    },
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
  const named = isObject(config.pad_token) ? config.pad_token.content : config.pad_token;
  const byName = typeof named === 'string' ? tokenizer.token_to_id(named) : undefined;
  const saved = isObject(definition.padding) ? definition.padding.pad_id : undefined;
  return byName ?? (typeof saved === 'number' ? saved : 0);
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
