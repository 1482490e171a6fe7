import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTexts } from '../../src/data/texts.ts';
import { InputError } from '../../src/errors.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-texts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

const all = { rows: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };

describe('running text', () => {
  test('of a plain file is one document', async () => {
    const text = 'One line.\n\nAnother, with ümlaut.\n';
    expect(await readTexts(file('a.txt', text), 'text', all)).toEqual({ texts: [text], isWhole: true });
    expect(await readTexts(file('A.TXT', ''), 'text', all)).toEqual({ texts: [''], isWhole: true });
  });

  test('begins where the file begins, and a letter that is cut through is left out', async () => {
    const path = file('b.txt', 'aü€😀z');
    const beginnings = await Promise.all(
      [0, 1, 2, 3, 5, 6, 9, 10, 11].map((bytes) => readTexts(path, 'text', { rows: 1, bytes })),
    );
    expect(beginnings.map(({ texts: [text] }) => text)).toEqual([
      '',
      'a',
      'a',
      'aü',
      'aü',
      'aü€',
      'aü€',
      'aü€😀',
      'aü€😀z',
    ]);
    expect(beginnings.map(({ isWhole }) => isWhole)).toEqual([...Array(8).fill(false), true]);
  });

  test('in columns is a document a row, labels or not', async () => {
    const path = file('c.jsonl', '{"text": "one"}\n{"text": "", "label": 3}\n{"text": "three"}\n');
    expect(await readTexts(path, 'text', all)).toEqual({ texts: ['one', '', 'three'], isWhole: true });
    expect(await readTexts(path, 'text', { rows: 2, bytes: 1 })).toEqual({
      texts: ['one', ''],
      isWhole: false,
    });
    const table = file('d.csv', 'body\n"a, b"\nc\n');
    expect(await readTexts(table, 'body', all)).toEqual({ texts: ['a, b', 'c'], isWhole: true });
  });

  test.each<[string, () => string, RegExp]>([
    ['no file', () => join(folder, 'none.txt'), /there is no file/],
    ['Latin-1', () => file('e.txt', Uint8Array.of(0x67, 0xfc, 0x6e)), /is not UTF-8 text\. Convert it/],
    ['another format', () => file('f.pdf', 'x'), /should end in one of \.txt, .*\.jsonl/],
    ['no such column', () => file('g.jsonl', '{"body": "x"}'), /has no column "text"/],
    ['a number', () => file('h.jsonl', '{"text": 7}'), /should hold text, got 7/],
  ])('%s is the reader’s to mend', async (_, path, message) => {
    const reading = readTexts(path(), 'text', all);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toBeInstanceOf(InputError);
  });
});
