/**
 * Sentences divided into words, each with a tag: lists in any of the table formats, or CoNLL's columns of text.
 * @module
 */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { InputError } from '../../errors.ts';
import type { LabelNames } from '../folder.ts';
import type { RawRow } from '../formats.ts';
import { brief, cellOf, labelParser, readRecords, requireFile } from '../rows.ts';
import type { EncodedRow, Tokenizer } from '../tokenizer.ts';

export interface Sentence {
  readonly words: readonly string[];
  /** Ids of the words' tags. */
  readonly tags: readonly number[];
}

export interface WordColumns {
  readonly words: string;
  readonly tags: string;
}

const COLUMNS = ['.conll', '.conllu', '.bio', '.txt'];

/**
 * Reads the first `limit` sentences. Tags are names of the model's labels, or their ids.
 *
 * CoNLL: a word a line, its columns divided by white space (by tabs in `.conllu`), the first the word and the last the tag; in
 * `.conllu` the second and the fourth. An empty line ends a sentence; `-DOCSTART-` and comments are passed over.
 * @throws InputError when the file is missing, empty, not of its format, lacks a column, or holds a tag that the model does
 *   not have or other than one for each word
 */
export async function readSentences(
  file: string,
  columns: WordColumns,
  labels: LabelNames | undefined,
  limit: number = Number.POSITIVE_INFINITY,
): Promise<Sentence[]> {
  const toTag = labelParser(labels);
  const isColumns = COLUMNS.includes(extname(file).toLowerCase());
  const raw = isColumns
    ? columnRows(file, columns).slice(0, limit)
    : await readRecords(file, [columns.words, columns.tags], limit, COLUMNS);
  return raw.map(({ values, at }) => {
    const words = listOf(values, columns.words, at);
    const tags = listOf(values, columns.tags, at);
    const odd = words.find((word) => typeof word !== 'string');
    if (odd !== undefined) {
      throw new InputError(
        `data: ${at}: column "${columns.words}" should hold a list of words, got ${brief(odd)} among them. Correct the row, or name another column in data.`,
      );
    }
    if (words.length !== tags.length) {
      throw new InputError(
        `data: ${at} holds ${words.length} words and ${tags.length} tags, expected a tag for each word. Correct the row.`,
      );
    }
    return { words: words as string[], tags: tags.map((tag, k) => toTag(tag, `${at}, word ${k + 1}`)) };
  });
}

function listOf(values: RawRow['values'], column: string, at: string): readonly unknown[] {
  const value = cellOf(values, column, at);
  if (Array.isArray(value)) return value;
  throw new InputError(
    `data: ${at}: column "${column}" should hold a list, one entry a word, got ${brief(value)}. Correct the row, or name another column in data.`,
  );
}

function columnRows(file: string, columns: WordColumns): RawRow[] {
  requireFile(file);
  const universal = extname(file).toLowerCase() === '.conllu';
  const rows: RawRow[] = [];
  let words: string[] = [];
  let tags: string[] = [];
  let began = 0;
  const end = () => {
    if (words.length > 0)
      rows.push({ values: { [columns.words]: words, [columns.tags]: tags }, at: `${file}:${began}` });
    [words, tags] = [[], []];
  };
  const lines = readFileSync(file, 'utf8')
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') end();
    // Elsewhere "#" may be a word; `# id` is how sentences are named.
    if (line.trim() === '' || /^-DOCSTART-(\s|$)/.test(line) || (universal ? /^#/ : /^# id\s/).test(line))
      continue;
    const cells = universal ? line.split('\t') : line.trim().split(/\s+/);
    // Words that are several, and words that are not written, have numbers of their own.
    if (universal && /^\d+[-.]/.test(cells[0])) continue;
    const [word, tag] = universal ? [cells[1], cells[3]] : [cells[0], cells.at(-1)];
    if (cells.length < 2 || word === undefined || tag === undefined) {
      throw new InputError(
        `data: ${file}:${index + 1} should hold a word and its tag, in columns, got ${brief(line)}. Correct the line.`,
      );
    }
    if (words.length === 0) began = index + 1;
    words.push(word);
    tags.push(tag);
  }
  end();
  if (rows.length > 0) return rows;
  throw new InputError(`data: "${file}" holds no sentences. Give it at least one.`);
}

export interface TaggedRow extends EncodedRow {
  /** Of each word that is there, where its first token stands; it speaks for the word. */
  readonly firsts: readonly number[];
  /** The tags of these words. */
  readonly tags: readonly number[];
}

/** Encodes sentences in order, each at most `maxLength` ids long; what is beyond has no token to speak for it. */
export function encodeSentences(
  sentences: readonly Sentence[],
  tokenizer: Tokenizer,
  maxLength: number,
  advance: () => void = () => {},
): { readonly rows: readonly TaggedRow[]; readonly cutOff: number } {
  const room = Math.max(0, maxLength - tokenizer.wrap([]).ids.length);
  let cutOff = 0;
  const rows = sentences.map(({ words, tags }): TaggedRow => {
    const ids: number[] = [];
    const firsts: number[] = [];
    const own: number[] = [];
    for (const [k, pieces] of tokenizer.words(words).entries()) {
      // A word of nothing that the tokenizer knows (a control character) has no token either.
      if (pieces.length === 0) continue;
      if (ids.length >= room) {
        cutOff++;
        continue;
      }
      firsts.push(ids.length);
      own.push(tags[k]);
      ids.push(...pieces);
    }
    advance();
    const { starts, ...encoding } = tokenizer.wrap(ids.slice(0, room));
    return { ...encoding, label: 0, firsts: firsts.map((at) => at + starts[0]), tags: own };
  });
  return { rows, cutOff };
}
