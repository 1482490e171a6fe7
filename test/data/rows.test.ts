import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRows } from '../../src/data/rows.ts';
import { InputError } from '../../src/errors.ts';

const labels = ['ham', 'spam'];
const columns = { text: 'sentence', label: 'label' };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rows-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The four rows of scripts/export-reference.py. */
const four = [
  { text: 'good, "very" good', label: 1 },
  { text: 'bad\nworse', label: 0 },
  { text: '', label: 0 },
  { text: 'naïve 😀', label: 1 },
];

describe('the same rows come from', () => {
  test.each(['plain', 'snappy', 'gzip', 'zstd', 'brotli'])('Parquet, %s', async (name) => {
    // Labels there: int64, int8, booleans, a dictionary of names, names in any case beside integers as text.
    expect(await readRows(`test/data/files/${name}.parquet`, columns, labels)).toEqual(four);
  });

  const jsonl = four.map(({ text, label }) => JSON.stringify({ extra: null, sentence: text, label }));

  test.each([
    ['rows.jsonl', jsonl.join('\n')],
    ['blank-lines.ndjson', `\uFEFF${jsonl.join('\r\n\r\n')}\r\n`],
    ['array.json', JSON.stringify(four.map(({ text, label }) => ({ sentence: text, label: labels[label] })))],
    ['lines.json', jsonl.join('\n')],
    [
      'quoted.csv',
      '\uFEFFlabel,sentence\r\n1,"good, ""very"" good"\r\nham,"bad\nworse"\r\n0,\r\n1.0,naïve 😀\r\n',
    ],
    ['tabs.tsv', 'sentence\tlabel\ngood, "very" good\t1\n"bad\nworse"\t0\n\t0\nnaïve 😀\tSPAM\n'],
  ])('%s', async (name, content) => {
    expect(await readRows(file(name, content), columns, labels)).toEqual(four);
  });

  test.each(['test/data/files/plain.parquet', 'jsonl', 'csv', 'json'])(
    'the first rows only: %s',
    async (kind) => {
      const paths: Record<string, () => string> = {
        jsonl: () => file('first.jsonl', [...jsonl.slice(0, 2), 'never read'].join('\n')),
        csv: () =>
          file(
            'first.csv',
            'sentence,label\n"good, ""very"" good",1\n"bad\nworse",0\nnever,read,as,it,breaks\n',
          ),
        json: () => file('first.json', `[${jsonl.join(',')}]`),
      };
      expect(await readRows(paths[kind]?.() ?? kind, { ...columns, limit: 2 }, labels)).toEqual(
        four.slice(0, 2),
      );
    },
  );
});

test('pairs keep both texts', async () => {
  const path = file('pairs.jsonl', '{"premise":"a","hypothesis":"b","label":"SPAM"}');
  expect(await readRows(path, { text: 'premise', pair: 'hypothesis', label: 'label' }, labels)).toEqual([
    { text: 'a', pair: 'b', label: 1 },
  ]);
});

describe('a label', () => {
  const labelled = (value: unknown, names: string[] | undefined) =>
    readRows(file('label.jsonl', JSON.stringify({ sentence: 'x', label: value })), columns, names).then(
      ([row]) => row.label,
    );

  test.each([
    ['an id', 1, labels, 1],
    ['an id as text', ' 1 ', labels, 1],
    ['a boolean', true, labels, 1],
    ['a name', 'spam', labels, 1],
    ['a name in another case', 'Spam', labels, 1],
    ['a name that is a number wins over an id', '1', ['1', '2', '3'], 0],
    ['a number is an id even so', 1, ['1', '2', '3'], 1],
    ['exact case decides between names alike', 'b', ['B', 'b'], 1],
    ['any id where the model names none', 7, undefined, 7],
  ])('%s', async (_, value, names, id) => {
    expect(await labelled(value, names)).toBe(id);
  });

  test.each([
    ['beyond the classes', 2, labels, 'label 2 is none of the model\'s (0 = "ham", 1 = "spam")'],
    ['negative, as in unlabelled test sets', -1, labels, 'label -1 is none'],
    ['a fraction', 0.5, labels, 'label 0.5 is none'],
    ['an unknown name', 'eggs', labels, 'label "eggs" is none'],
    ['a name of two classes but for case', 'b', ['B', 'B', 'c'], 'label "b" is none'],
    ['missing', null, labels, 'label null is none'],
    [
      'a name where the model names none',
      'spam',
      undefined,
      "is none of the model's ids 0, 1, … (its config.json names none)",
    ],
  ])('refused: %s', async (_, value, names, message) => {
    await expect(labelled(value, names)).rejects.toThrow(message);
    await expect(labelled(value, names)).rejects.toThrow('label.jsonl:1: ');
    await expect(labelled(value, names)).rejects.toBeInstanceOf(InputError);
  });
});

describe('what is refused, in one sentence', () => {
  test.each([
    ['a file that is not there', () => join(folder, 'none.jsonl'), /there is no file ".*none\.jsonl"/],
    ['a folder', () => folder, /there is no file/],
    ['an unknown extension', () => file('rows.xlsx', 'x'), /should end in one of \.jsonl, .*\.parquet/],
    ['an empty JSONL', () => file('empty.jsonl', '\n\n'), /holds no rows/],
    ['an empty array', () => file('empty.json', '[]'), /holds no rows/],
    ['a CSV of only names', () => file('empty.csv', 'sentence,label\n'), /holds no rows/],
    ['an empty file', () => file('empty2.csv', ''), /holds no rows/],
    [
      'a line that is not JSON',
      () => file('bad.jsonl', '{"sentence":"a","label":0}\n{"sentence": oops}\n'),
      /bad\.jsonl:2 is not JSON: .*Write one JSON object a line/,
    ],
    [
      'a line that is no object',
      () => file('list.jsonl', '["a", 0]'),
      /list\.jsonl:1 should be a JSON object, got \["a", 0\]/,
    ],
    ['JSON cut short', () => file('cut.json', '[{"sentence":'), /cut\.json is not JSON/],
    [
      'a row without the text',
      () => file('gap.jsonl', '{"sentence":"a","label":0}\n{"label":0}\n'),
      /gap\.jsonl:2 has no column "sentence"; it has "label"/,
    ],
    [
      'a text that is none',
      () => file('number.jsonl', '{"sentence":3,"label":0}'),
      /number\.jsonl:1: column "sentence" should hold text, got 3/,
    ],
    [
      'a CSV that is binary',
      () => file('zipped.csv', gzipSync('sentence,label\na,1\n'.repeat(9))),
      /zipped\.csv/,
    ],
    [
      'a CSV with a row too long',
      () => file('long.csv', 'sentence,label\na, b,1\n'),
      /long\.csv cannot be read as CSV: .*line 2/,
    ],
    [
      'a CSV with an open quote',
      () => file('quote.csv', 'sentence,label\n"a,1\n'),
      /quote\.csv cannot be read as CSV: .*[Qq]uote/,
    ],
    [
      'a Parquet file that is none',
      () => file('fake.parquet', '{"sentence":"a"}'),
      /fake\.parquet cannot be read as Parquet/,
    ],
    ['an empty Parquet file', () => file('void.parquet', ''), /void\.parquet cannot be read as Parquet/],
  ])('%s', async (_, path, message) => {
    const name = path();
    await expect(readRows(name, columns, labels)).rejects.toThrow(message);
    await expect(readRows(name, columns, labels)).rejects.toBeInstanceOf(InputError);
  });

  test.each(['jsonl', 'csv', 'parquet'])('a column that is not there, with the nearest: %s', async (kind) => {
    const path =
      kind === 'parquet'
        ? 'test/data/files/plain.parquet'
        : file(
            `columns.${kind}`,
            kind === 'csv' ? 'sentence,other,label\na,b,1' : '{"sentence":"a","other":"b","label":1}',
          );
    await expect(readRows(path, { text: 'sentense', label: 'label' }, labels)).rejects.toThrow(
      'has no column "sentense"; it has "sentence", "other", "label". Did you mean "sentence"? Name it in data.',
    );
    await expect(readRows(path, { text: 'q', label: 'label' }, labels)).rejects.toThrow(
      'Name one of these in data.',
    );
  });
});
