/**
 * Labelled rows of text from JSONL, JSON, CSV, TSV, or Parquet.
 * @module
 */
import { existsSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { InputError } from '../errors.ts';
import { nearest } from '../nearest.ts';
import type { LabelNames } from './folder.ts';
import { type RawRow, readCsv, readJson, readJsonLines, readParquet } from './formats.ts';

export interface Row {
  readonly text: string;
  readonly pair?: string;
  /** The class's id. */
  readonly label: number;
}

export interface Columns {
  readonly text: string;
  /** The second text of pair tasks (entailment, paraphrase). */
  readonly pair?: string;
  readonly label: string;
}

const readers: Readonly<
  Record<string, (file: string, columns: string[], limit: number) => Promise<RawRow[]>>
> = {
  '.jsonl': readJsonLines,
  '.ndjson': readJsonLines,
  '.json': readJson,
  '.csv': readCsv,
  '.tsv': readCsv,
  '.parquet': readParquet,
};

/**
 * Reads the first `limit` rows (all by default), in the file's order. The format is the extension's.
 *
 * A label is a class's id as an integer (`1`, `"1"`, `1.0`, a boolean), or its name in `labels`. A string is tried as a
 * name first, exactly and then without regard to case where that is unambiguous, and as an integer after that: a model
 * whose classes are *named* "1" … "5" is labelled by those names.
 * @throws InputError when the file is missing, empty, not of its format, lacks a column, or holds a label that the
 *   model does not have.
 */
export async function readRows(
  file: string,
  { limit = Number.POSITIVE_INFINITY, ...columns }: Columns & { readonly limit?: number },
  labels: LabelNames | undefined,
): Promise<Row[]> {
  if (!existsSync(file) || statSync(file).isDirectory()) {
    throw new InputError(`data: there is no file "${file}". Correct the path in data.`);
  }
  const read = readers[extname(file).toLowerCase()];
  if (!read) {
    throw new InputError(
      `data: "${file}" should end in one of ${Object.keys(readers).join(', ')}. Convert it, or give it the extension of its format.`,
    );
  }
  const names = [columns.text, columns.label, ...(columns.pair === undefined ? [] : [columns.pair])];
  const raw = await read(file, names, limit);
  if (raw.length === 0)
    throw new InputError(`data: "${file}" holds no rows. Give it at least one labelled text.`);
  const toLabel = labelParser(labels);
  return raw.map(({ values, at }) => ({
    text: textOf(values, columns.text, at),
    ...(columns.pair !== undefined && { pair: textOf(values, columns.pair, at) }),
    label: toLabel(cellOf(values, columns.label, at), at),
  }));
}

function cellOf(values: RawRow['values'], column: string, at: string): unknown {
  if (Object.hasOwn(values, column)) return values[column];
  const there = Object.keys(values);
  const near = nearest(column, there);
  throw new InputError(
    `data: ${at} has no column "${column}"; it has ${there.map((name) => `"${name}"`).join(', ') || 'none'}. ${
      near === undefined ? 'Name one of these' : `Did you mean "${near}"? Name it`
    } in data.`,
  );
}

function textOf(values: RawRow['values'], column: string, at: string): string {
  const value = cellOf(values, column, at);
  if (typeof value === 'string') return value;
  throw new InputError(
    `data: ${at}: column "${column}" should hold text, got ${brief(value)}. Correct the row, or name another column in data.`,
  );
}

function labelParser(labels: LabelNames | undefined): (value: unknown, at: string) => number {
  const exact = new Map(labels?.map((name, id) => [name, id]));
  const folded = Map.groupBy(labels?.keys() ?? [], (id) => labels![id].toLowerCase());
  const named = (name: string) => {
    const alike = folded.get(name.toLowerCase());
    return exact.get(name) ?? (alike?.length === 1 ? alike[0] : undefined);
  };
  return (value, at) => {
    const id = (typeof value === 'string' ? named(value.trim()) : undefined) ?? integerOf(value);
    if (id !== undefined && id >= 0 && (labels === undefined || id < labels.length)) return id;
    throw new InputError(
      `data: ${at}: label ${brief(value)} is none of the model's ${
        labels
          ? `(${labels.map((name, id) => `${id} = "${name}"`).join(', ')})`
          : 'ids 0, 1, … (its config.json names none)'
      }. Correct the row, or name another label column in data.`,
    );
  };
}

function integerOf(value: unknown): number | undefined {
  if (typeof value === 'boolean' || typeof value === 'bigint') return Number(value);
  if (typeof value === 'string' && /^\s*-?\d+(\.0+)?\s*$/.test(value)) return Number(value);
  return Number.isInteger(value) ? (value as number) : undefined;
}

function brief(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? 'nothing');
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
