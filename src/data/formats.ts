/**
 * File formats to records, each with the place to name when the record is wrong.
 * @module
 */
import { createReadStream, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { InputError } from '../errors.ts';
import { isObject } from './folder.ts';

export interface RawRow {
  readonly values: Readonly<Record<string, unknown>>;
  /** Where the row stands: `file:line`, or the file and the row's number from 1. */
  readonly at: string;
}

/** One JSON object a line; blank lines are passed over. */
export async function readJsonLines(file: string, _columns: string[], limit: number): Promise<RawRow[]> {
  const rows: RawRow[] = [];
  const input = createReadStream(file, 'utf8');
  let line = 0;
  try {
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (rows.length >= limit) break;
      line++;
      const content = line === 1 ? text.replace(/^\uFEFF/, '') : text;
      if (content.trim() !== '') rows.push(objectAt(`${file}:${line}`, content));
    }
  } finally {
    input.destroy();
  }
  return rows;
}

function objectAt(at: string, content: string): RawRow {
  let values: unknown;
  try {
    values = JSON.parse(content);
  } catch (error) {
    throw new InputError(
      `data: ${at} is not JSON: ${(error as Error).message}. Write one JSON object a line.`,
    );
  }
  if (isObject(values)) return { values, at };
  throw new InputError(
    `data: ${at} should be a JSON object, got ${content.slice(0, 60)}. Write one JSON object a line.`,
  );
}

/** An array of objects, or JSON lines under the extension `.json`. */
export async function readJson(file: string, columns: string[], limit: number): Promise<RawRow[]> {
  const text = readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  if (!text.trimStart().startsWith('[')) return readJsonLines(file, columns, limit);
  let values: unknown[];
  try {
    values = JSON.parse(text);
  } catch (error) {
    throw new InputError(
      `data: ${file} is not JSON: ${(error as Error).message}. Write an array of objects.`,
    );
  }
  return values.slice(0, limit).map((value, index) => {
    const at = `${file}, row ${index + 1}`;
    if (isObject(value)) return { values: value, at };
    throw new InputError(`data: ${at} should be a JSON object. Write an array of objects.`);
  });
}

/** Comma-separated (tab-separated for `.tsv`) with a line of column names; quoted as RFC 4180 says. */
export async function readCsv(file: string, _columns: string[], limit: number): Promise<RawRow[]> {
  const bytes = readFileSync(file);
  if (bytes.subarray(0, 4096).includes(0)) {
    throw new InputError(
      `data: ${file} is binary, not ${extname(file).slice(1).toUpperCase()}. Give it the extension of its format.`,
    );
  }
  const tabs = extname(file).toLowerCase() === '.tsv';
  try {
    const records: Record<string, string>[] = parse(bytes, {
      columns: true,
      bom: true,
      delimiter: tabs ? '\t' : ',',
      relax_quotes: tabs,
      skip_empty_lines: true,
      ...(Number.isFinite(limit) && { to: limit }),
    });
    return records.map((values, index) => ({ values, at: `${file}, row ${index + 1}` }));
  } catch (error) {
    throw new InputError(
      `data: ${file} cannot be read as ${tabs ? 'TSV' : 'CSV'}: ${(error as Error).message}. Correct the line, or quote the field.`,
    );
  }
}

const decompressors = {
  GZIP: (bytes: Uint8Array) => gunzipSync(bytes),
  BROTLI: (bytes: Uint8Array) => brotliDecompressSync(bytes),
  ZSTD: (bytes: Uint8Array) => zstdDecompressSync(bytes),
};

/** Parquet, uncompressed or packed by Snappy, gzip, Brotli, or Zstandard; only the named columns are decoded. */
export async function readParquet(file: string, columns: string[], limit: number): Promise<RawRow[]> {
  try {
    const buffer = await asyncBufferFromFile(file);
    const metadata = await parquetMetadataAsync(buffer);
    const there = parquetSchema(metadata).children.map((child) => child.element.name);
    const rows = Math.min(limit, Number(metadata.num_rows));
    if (!columns.every((name) => there.includes(name)) || rows === 0) {
      // Nothing to decode: the caller says which column is missing.
      const values = Object.fromEntries(there.map((name) => [name, undefined]));
      return rows === 0 ? [] : [{ values, at: file }];
    }
    const read = await parquetReadObjects({
      file: buffer,
      metadata,
      columns,
      rowEnd: rows,
      compressors: decompressors,
    });
    return read.map((values, index) => ({ values, at: `${file}, row ${index + 1}` }));
  } catch (error) {
    throw new InputError(
      `data: ${file} cannot be read as Parquet: ${(error as Error).message}. Write it again, or convert it to JSONL.`,
    );
  }
}
