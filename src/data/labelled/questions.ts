/**
 * Questions about a text that may hold the answer, in SQuAD's own JSON or a row each in any of the table formats.
 * @module
 */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { InputError } from '../../errors.ts';
import { isObject } from '../folder.ts';
import type { RawRow } from '../formats.ts';
import { brief, cellOf, readRecords, requireFile, textOf } from '../rows.ts';

export interface Question {
  readonly question: string;
  readonly context: string;
  /** Each of them is right; none where the context does not hold the answer. */
  readonly answers: readonly string[];
}

export interface QuestionColumns {
  readonly question: string;
  readonly context: string;
  readonly answers: string;
}

/**
 * Reads the first `limit` questions.
 *
 * Answers are `{text, answer_start}` with one text or a list of them, a list of such or of texts, or a text. Where an answer stands
 * is not read: predictions are compared by their text.
 * @throws InputError when the file is missing, empty, not of its format, lacks a column, or holds something else in it
 */
export async function readQuestions(
  file: string,
  columns: QuestionColumns,
  limit: number = Number.POSITIVE_INFINITY,
): Promise<Question[]> {
  const names = [columns.question, columns.context, columns.answers];
  const squad = squadRows(file, columns);
  const raw = squad?.slice(0, limit) ?? (await readRecords(file, names, limit));
  return raw.map(({ values, at }) => ({
    question: textOf(values, columns.question, at),
    context: textOf(values, columns.context, at),
    answers: answersOf(cellOf(values, columns.answers, at), `${at}: column "${columns.answers}"`),
  }));
}

/** The questions of a file whose `data` are articles of paragraphs; undefined for files of another form. */
function squadRows(file: string, columns: QuestionColumns): RawRow[] | undefined {
  if (extname(file).toLowerCase() !== '.json') return undefined;
  requireFile(file);
  let whole: unknown;
  try {
    whole = JSON.parse(readFileSync(file, 'utf8').replace(/^\uFEFF/, ''));
  } catch {
    return undefined; // lines of JSON, or none: whoever reads those says so
  }
  if (!isObject(whole) || !Array.isArray(whole.data)) return undefined;
  const rows: RawRow[] = [];
  for (const [a, article] of whole.data.entries()) {
    for (const [p, paragraph] of listOf(article, 'paragraphs', `${file}, data[${a}]`).entries()) {
      const at = `${file}, data[${a}].paragraphs[${p}]`;
      for (const [q, asked] of listOf(paragraph, 'qas', at).entries()) {
        const { question, answers = [] } = isObject(asked) ? asked : {};
        rows.push({
          values: {
            [columns.question]: question,
            [columns.context]: (paragraph as Record<string, unknown>).context,
            [columns.answers]: answers,
          },
          at: `${at}.qas[${q}]`,
        });
      }
    }
  }
  if (rows.length > 0) return rows;
  throw new InputError(`data: "${file}" holds no questions. Give it at least one.`);
}

function listOf(value: unknown, key: string, at: string): readonly unknown[] {
  if (isObject(value) && Array.isArray(value[key])) return value[key];
  throw new InputError(
    `data: ${at} should be an object with a list "${key}", as SQuAD has it, got ${brief(value)}. Correct the file, or give it as JSONL with a question a line.`,
  );
}

function answersOf(value: unknown, at: string): string[] {
  if (value === null || value === undefined) return [];
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap((one) => answersOf(one, at));
  if (isObject(value) && Object.hasOwn(value, 'text')) return answersOf(value.text, at);
  throw new InputError(
    `data: ${at} should hold answers, as {"text": ["…"]} or a list of texts, got ${brief(value)}. Correct the row, or name another column in data.`,
  );
}
