/**
 * Pairs of texts with a number that says how alike they are.
 * @module
 */
import { InputError } from '../../errors.ts';
import { brief, cellOf, readRecords, textOf } from '../rows.ts';

export interface ScoredPair {
  readonly texts: readonly [string, string];
  /** On any scale: only ranks and proportions count. */
  readonly score: number;
}

export interface PairColumns {
  readonly text: string;
  readonly pair: string;
  readonly score: string;
}

/**
 * Reads the first `limit` pairs.
 * @throws InputError when the file is missing, empty, not of its format, lacks a column, or holds a score that is no number
 */
export async function readPairs(
  file: string,
  columns: PairColumns,
  limit: number = Number.POSITIVE_INFINITY,
): Promise<ScoredPair[]> {
  const raw = await readRecords(file, [columns.text, columns.pair, columns.score], limit);
  return raw.map(({ values, at }) => ({
    texts: [textOf(values, columns.text, at), textOf(values, columns.pair, at)],
    score: numberOf(cellOf(values, columns.score, at), columns.score, at),
  }));
}

function numberOf(value: unknown, column: string, at: string): number {
  // A CSV knows texts only; Parquet's whole numbers may be wider than ours.
  const isNumber = typeof value === 'number' || typeof value === 'bigint';
  const number = isNumber || (typeof value === 'string' && value.trim() !== '') ? Number(value) : Number.NaN;
  if (Number.isFinite(number)) return number;
  throw new InputError(
    `data: ${at}: column "${column}" should hold a number, how alike the texts are, got ${brief(value)}. Correct the row, or name another column in data.`,
  );
}
