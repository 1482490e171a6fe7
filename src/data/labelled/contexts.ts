/**
 * Questions with their contexts as a model reads them: a context that is too long in windows that overlap, each behind the
 * question.
 * @module
 */
import { InputError } from '../../errors.ts';
import type { Span } from '../spans/normalised.ts';
import type { Piece } from '../spans/pieces.ts';
import type { EncodedRow, Tokenizer } from '../tokenizer.ts';
import type { Question } from './questions.ts';

export interface ContextWindow extends EncodedRow {
  /** Index of the question. */
  readonly question: number;
  /** Where the first token of the context stands among the ids. */
  readonly first: number;
  /** Of each token of the context that is in the window, its letters in the context. */
  readonly spans: readonly Span[];
}

/** Tokens of question and context that a window holds, at least. */
const LEAST = 8;

export interface WindowOptions {
  /** Tokens of a window, question and special tokens included. */
  readonly length: number;
  /** Tokens of the context that a window shares with the one before; at most half of what it holds. */
  readonly stride: number;
}

/**
 * The windows of all questions, in order. The question is whole in each, unless it took more than half of the room.
 * @throws InputError where a window is too short, or the tokens of a context cannot be told
 */
export function contextWindows(
  questions: readonly Question[],
  tokenizer: Tokenizer,
  { length, stride }: WindowOptions,
  advance: () => void = () => {},
): ContextWindow[] {
  const windows: ContextWindow[] = [];
  const special = tokenizer.wrap([], []).ids.length;
  // Contexts are asked several questions each, one after the other.
  let context: { readonly text: string; readonly pieces: readonly Piece[] } | undefined;
  for (const [question, asked] of questions.entries()) {
    if (context?.text !== asked.context) {
      context = { text: asked.context, pieces: tokenizer.locate(asked.context) };
    }
    const room = length - special;
    if (room < LEAST) {
      throw new InputError(
        `config: a window of ${length} tokens has room for ${Math.max(0, room)} beside the special ones, expected ${LEAST} for a question and its context. Raise max-length.`,
      );
    }
    const A = tokenizer.locate(asked.question.trimStart()).slice(0, Math.floor(room / 2));
    const ids = A.map(({ id }) => id);
    for (const [from, to] of overlapping(context.pieces.length, room - A.length, stride)) {
      const inside = context.pieces.slice(from, to);
      const { starts, ...encoding } = tokenizer.wrap(
        ids,
        inside.map(({ id }) => id),
      );
      const spans = inside.map(({ span }) => span);
      windows.push({ ...encoding, label: 0, question, first: starts[1], spans });
    }
    advance();
  }
  return windows;
}

/** Ranges of at most `size` that cover 0 … count, each `stride` before the end of the one before; one at least. */
export function overlapping(count: number, size: number, stride: number): Span[] {
  const step = Math.max(1, size - Math.min(stride, Math.floor(size / 2)));
  const ranges: Span[] = [[0, Math.min(size, count)]];
  while (ranges.at(-1)![1] < count) {
    const from = ranges.at(-1)![0] + step;
    ranges.push([from, Math.min(from + size, count)]);
  }
  return ranges;
}
