import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRows } from '../../src/data/rows.ts';
import { checkTokens, openTokenizer, truncateLongestFirst } from '../../src/data/tokenizer.ts';
import { InputError } from '../../src/errors.ts';

const example = 'examples/spam-filter';
const reference = readFileSync('test/data/tokens.jsonl', 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tokenizer-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** RoBERTa's shape in six tokens. */
const roberta = {
  version: '1.0',
  truncation: { direction: 'Right', max_length: 3, strategy: 'LongestFirst', stride: 0 },
  padding: { strategy: { Fixed: 9 }, direction: 'Right', pad_id: 1, pad_type_id: 0, pad_token: '<pad>' },
  added_tokens: ['<s>', '<pad>', '</s>'].map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: {
    type: 'RobertaProcessing',
    sep: ['</s>', 2],
    cls: ['<s>', 0],
    trim_offsets: true,
    add_prefix_space: false,
  },
  decoder: null,
  model: { type: 'BPE', vocab: { '<s>': 0, '<pad>': 1, '</s>': 2, a: 3, b: 4, Ġ: 5 }, merges: [] },
};

describe('a WordPiece tokenizer', async () => {
  const tokenizer = await openTokenizer(example);

  test('encodes and truncates awkward texts and pairs as the library that trained it', () => {
    const cases = reference.filter((line) => 'text' in line);
    expect(cases.length).toBeGreaterThan(200);
    for (const { text, pair, length, ids, typeIds } of cases) {
      expect(
        tokenizer.encode(text, pair ?? undefined, length),
        JSON.stringify({ text, pair, length }),
      ).toEqual({
        ids,
        typeIds,
      });
    }
  });

  test('encodes every row of the test set as the library that trained it', async () => {
    const rows = await readRows(join(example, 'test.jsonl'), { text: 'text', label: 'label' }, undefined);
    const ids = rows.map(({ text }) => tokenizer.encode(text, undefined, 128).ids);
    const digest = createHash('sha256').update(JSON.stringify(ids)).digest('hex');
    expect(digest).toBe(reference.find((line) => line.file === 'test.jsonl').sha256);
  });

  test('pads with [PAD], and knows the length that it was saved with', () => {
    expect(tokenizer.padId).toBe(0);
    expect(tokenizer.maxLength).toBe(128);
  });

  test('refuses a length that does not hold the special tokens', () => {
    expect(tokenizer.encode('words', undefined, 2).ids).toHaveLength(2);
    expect(() => tokenizer.encode('words', undefined, 1)).toThrow(
      new InputError('tokenizer: a length of 1 does not hold the 2 special tokens. Raise shape.sequence.'),
    );
  });
});

describe("RoBERTa's tokenizer", () => {
  test('has one token type, two separators between texts, and ignores the saved truncation and padding', async () => {
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(roberta));
    const tokenizer = await openTokenizer(folder);
    expect(tokenizer.encode('a b', undefined, 8).ids).toEqual([0, 3, 5, 4, 2]);
    expect(tokenizer.encode('ab', 'b', 8)).toEqual({
      ids: [0, 3, 4, 2, 2, 4, 2],
      typeIds: [0, 0, 0, 0, 0, 0, 0],
    });
    expect(tokenizer.encode('', '', 8).ids).toEqual([0, 2, 2, 2]);
    expect(tokenizer.padId).toBe(1);
    expect(tokenizer.maxLength).toBe(Number.POSITIVE_INFINITY);
  });
});

test('truncation takes one token at a time from the longer text', () => {
  fc.assert(
    fc.property(fc.nat(12), fc.nat(12), fc.nat(20), (a, b, room) => {
      const A = Array.from({ length: a }, (_, i) => i);
      const B = Array.from({ length: b }, (_, i) => 100 + i);
      const longerIsA = a > b;
      const [keptA, keptB] = [A.slice(), B.slice()];
      while (keptA.length + keptB.length > room) {
        const fromA = keptA.length > keptB.length || (keptA.length === keptB.length && !longerIsA);
        (fromA ? keptA : keptB).pop();
      }
      expect(truncateLongestFirst(A, B, room)).toEqual([keptA, keptB]);
    }),
  );
});

describe('what is refused', () => {
  test('a folder without tokenizer.json', async () => {
    const empty = mkdtempSync(join(folder, 'empty-'));
    await expect(openTokenizer(empty)).rejects.toThrow(
      /holds no tokenizer\.json.*Save the model's fast tokenizer there/,
    );
    await expect(openTokenizer(empty)).rejects.toBeInstanceOf(InputError);
  });

  test.each([
    ['not JSON', '{"model":', /is not JSON/],
    ['not an object', '[]', /should hold a JSON object/],
    [
      'of an unknown kind',
      JSON.stringify({ ...roberta, model: { type: 'Neural' } }),
      /cannot be used: .*Neural/,
    ],
    [
      'with an unknown part',
      JSON.stringify({ ...roberta, pre_tokenizer: { type: 'Magic' } }),
      /cannot be used: .*Magic/,
    ],
  ])('a tokenizer.json that is %s', async (_, text, message) => {
    const broken = mkdtempSync(join(folder, 'broken-'));
    cpSync(join(example, 'tokenizer_config.json'), join(broken, 'tokenizer_config.json'));
    writeFileSync(join(broken, 'tokenizer.json'), text);
    await expect(openTokenizer(broken)).rejects.toThrow(message);
    await expect(openTokenizer(broken)).rejects.toBeInstanceOf(InputError);
  });

  test('a token beyond the embedding, by id and size', () => {
    const rows = [
      { ids: [1, 99], typeIds: [0, 0] },
      { ids: [1, 100], typeIds: [0, 0] },
    ];
    expect(() => checkTokens(rows, 101)).not.toThrow();
    expect(() => checkTokens(rows, 100)).toThrow(
      new InputError(
        "tokenizer: row 2 holds the token id 100, but the model's embedding has only 100 rows (ids 0 to 99). Use the tokenizer that the model was trained with.",
      ),
    );
  });
});
