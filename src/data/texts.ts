/**
 * Running text: a plain text file, which is one document, or a column of texts, each a document.
 * @module
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { InputError } from '../errors.ts';
import { readRecords, requireFile, textOf } from './rows.ts';

const PLAIN = ['.txt', '.text', '.md'];

export interface Documents {
  readonly texts: readonly string[];
  /** Whether that is all of the file; else a plain text's last words are cut off. */
  readonly isWhole: boolean;
}

/** How much to read, of a file of either kind. */
export interface Amount {
  readonly rows: number;
  readonly bytes: number;
}

/** Longer texts are beyond what one string holds. */
const MOST_BYTES = 2 ** 29 - 2 ** 16;

/**
 * Reads the beginning of a file.
 * @param column with the text, where the file has columns
 * @throws InputError when the file is missing, empty, not of its format, or lacks the column
 */
export async function readTexts(file: string, column: string, { rows, bytes }: Amount): Promise<Documents> {
  if (!PLAIN.includes(extname(file).toLowerCase())) {
    const records = await readRecords(file, [column], rows, PLAIN);
    const texts = records.map(({ values, at }) => textOf(values, column, at));
    return { texts, isWhole: records.length < rows };
  }
  requireFile(file);
  const size = statSync(file).size;
  const wanted = Math.min(size, bytes);
  if (wanted > MOST_BYTES) {
    throw new InputError(
      `data: "${file}" has ${size} bytes, expected at most ${MOST_BYTES} of plain text. Split it, or give it as JSONL with a document a line.`,
    );
  }
  return { texts: [beginning(file, wanted)], isWhole: wanted === size };
}

/** @throws InputError when it is not UTF-8 */
function beginning(file: string, bytes: number): string {
  const buffer = new Uint8Array(bytes);
  const handle = openSync(file, 'r');
  try {
    for (let at = 0; at < bytes; ) {
      const read = readSync(handle, buffer, at, bytes - at, at);
      if (read === 0) break;
      at += read;
    }
  } finally {
    closeSync(handle);
  }
  try {
    // A character that the end cuts through is left for the next reading.
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer, { stream: true });
  } catch {
    throw new InputError(`data: "${file}" is not UTF-8 text. Convert it.`);
  }
}
