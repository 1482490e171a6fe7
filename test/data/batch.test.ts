import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Batch, batches, usableLength } from '../../src/data/batch.ts';
import type { EncodedRow, Tokenizer } from '../../src/data/tokenizer.ts';
import { InputError } from '../../src/errors.ts';
import type { ValueInfo } from '../../src/onnx/model.ts';

const PAD = 9;
const input = (
  name: string,
  shape: ValueInfo['shape'] = ['batch', 'sequence'],
  type: ValueInfo['type'] = 'int64',
) => ({ name, type, ...(shape && { shape }) }) as ValueInfo;
const bert = ['input_ids', 'attention_mask', 'token_type_ids', 'position_ids'].map((name) => input(name));

/** Rows whose ids tell row and position: never the padding's id. */
const row = (index: number, length: number): EncodedRow => ({
  ids: Array.from({ length }, (_, at) => 1000 * (index + 1) + at),
  typeIds: Array.from({ length }, (_, at) => at % 2),
  label: index % 3,
});
const rowsOf = (lengths: readonly number[]) => lengths.map((length, index) => row(index, length));
const numbers = (batch: Batch, name: string) => Array.from(batch.feeds[name].data as BigInt64Array, Number);

const lengths = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 40 });
const options = fc.record(
  {
    batchSize: fc.integer({ min: 1, max: 9 }),
    batchTokens: fc.integer({ min: 1, max: 90 }),
    padTo: fc.constantFrom(20, 25),
    sort: fc.boolean(),
  },
  { requiredKeys: [] },
);

test('every row is in one batch, whole, with its label, padding masked', () => {
  fc.assert(
    fc.property(lengths, options, (lengths, options) => {
      const rows = rowsOf(lengths);
      const seen: number[] = [];
      for (const batch of batches(rows, { inputs: bert, padId: PAD, ...options })) {
        const [b, s] = batch.shape;
        expect(b).toBe(batch.rows.length);
        expect(s).toBe(options.padTo ?? Math.max(...batch.rows.map((index) => lengths[index])));
        for (const [at, index] of batch.rows.entries()) {
          const { ids, typeIds, label } = rows[index];
          const cells = (name: string) => numbers(batch, name).slice(at * s, (at + 1) * s);
          const padded = (values: readonly number[], fill: number) => [
            ...values,
            ...Array(s - ids.length).fill(fill),
          ];
          expect(cells('input_ids')).toEqual(padded(ids, PAD));
          expect(cells('token_type_ids')).toEqual(padded(typeIds, 0));
          expect(cells('attention_mask')).toEqual(
            padded(
              ids.map(() => 1),
              0,
            ),
          );
          expect(cells('position_ids')).toEqual(Array.from({ length: s }, (_, i) => i));
          expect([...batch.mask.subarray(at * s, (at + 1) * s)]).toEqual(cells('attention_mask'));
          expect(batch.labels[at]).toBe(label);
        }
        expect(batch.tokens).toBe(batch.rows.reduce((sum, index) => sum + lengths[index], 0));
        if (options.batchSize !== undefined) expect(b).toBeLessThanOrEqual(options.batchSize);
        if (options.batchTokens !== undefined && b > 1)
          expect(b * s).toBeLessThanOrEqual(options.batchTokens);
        seen.push(...batch.rows);
      }
      if (options.sort === false) expect(seen).toEqual([...rows.keys()]);
      expect(seen.toSorted((a, b) => a - b)).toEqual([...rows.keys()]);
    }),
  );
});

test('sorting leaves no more padding than any other order of full batches', () => {
  fc.assert(
    fc.property(lengths, fc.integer({ min: 1, max: 9 }), (lengths, batchSize) => {
      const area = (sort: boolean) =>
        batches(rowsOf(lengths), { inputs: bert, padId: PAD, batchSize, sort }).reduce(
          (sum, { mask }) => sum + mask.length,
          0,
        );
      // A last, smaller batch holds the longest rows when sorted: at most one row's worth is lost to it.
      expect(area(true)).toBeLessThanOrEqual(area(false) + batchSize * 20);
      if (lengths.length % batchSize === 0) expect(area(true)).toBeLessThanOrEqual(area(false));
    }),
  );
});

describe('lengths that the graph fixes', () => {
  test('the sequence: every batch is padded to it', () => {
    const [batch] = batches(rowsOf([3, 2]), { inputs: [input('input_ids', ['b', 6])], padId: PAD });
    expect(batch.shape).toEqual([2, 6]);
    expect(numbers(batch, 'input_ids')).toEqual([
      2000,
      2001,
      PAD,
      PAD,
      PAD,
      PAD,
      1000,
      1001,
      1002,
      PAD,
      PAD,
      PAD,
    ]);
  });

  test('the batch: the last is filled with copies that count as padding', () => {
    const inputs = ['input_ids', 'attention_mask'].map((name) => input(name, [2, 's']));
    const [first, last] = batches(rowsOf([2, 2, 3]), { inputs, padId: PAD, batchTokens: 1 });
    expect(first.shape).toEqual([2, 2]);
    expect(last).toMatchObject({ shape: [2, 3], rows: [2], tokens: 3 });
    expect(numbers(last, 'input_ids')).toEqual([3000, 3001, 3002, 3000, 3001, 3002]);
    expect(numbers(last, 'attention_mask')).toEqual([1, 1, 1, 1, 1, 1]);
    expect([...last.mask]).toEqual([1, 1, 1, 0, 0, 0]);
    expect(last.labels).toEqual(Int32Array.of(2));
  });

  test('positions of one row serve the whole batch', () => {
    const inputs = [input('input_ids'), input('position_ids', [1, 's'])];
    const [batch] = batches(rowsOf([2, 2]), { inputs, padId: PAD });
    expect(batch.feeds.position_ids).toMatchObject({ shape: [1, 2], data: BigInt64Array.of(0n, 1n) });
    expect(batch.feeds.input_ids.shape).toEqual([2, 2]);
  });

  test('a longer row is refused', () => {
    expect(() => batches(rowsOf([7]), { inputs: [input('input_ids', ['b', 6])], padId: PAD })).toThrow(
      new InputError(
        'data: row 1 is 7 tokens long, but the batch is padded to 6. Set shape.sequence to 6 or less.',
      ),
    );
  });
});

test('inputs get the element type that the graph declares', () => {
  const inputs = [
    input('input_ids', ['b', 's'], 'int32'),
    input('attention_mask', ['b', 's'], 'float16'),
    input('input_mask:0', ['b', 's'], 'bool'),
    input('segment_ids:0', undefined, 'float32'),
  ];
  const [batch] = batches(rowsOf([2]), { inputs, padId: PAD, padTo: 3 });
  expect(batch.feeds.input_ids.data).toEqual(Int32Array.of(1000, 1001, PAD));
  expect(batch.feeds.attention_mask.data).toEqual(Uint16Array.of(0x3c00, 0x3c00, 0));
  expect(batch.feeds['input_mask:0'].data).toEqual(Uint8Array.of(1, 1, 0));
  expect(batch.feeds['segment_ids:0'].data).toEqual(Float32Array.of(0, 1, 0));
});

test.each([
  [
    'of no known name',
    [input('input_ids'), input('pixel_values', ['b', 3, 224, 224])],
    /"pixel_values" \[b, 3, 224, 224\] cannot be filled/,
  ],
  [
    'of another rank',
    [input('input_ids'), input('attention_mask', ['b', 1, 's', 's'])],
    /"attention_mask" \[b, 1, s, s\] cannot be filled/,
  ],
  ['missing', [input('attention_mask')], /no input is named input_ids/],
  [
    'of strings',
    [input('input_ids', ['b', 's'], 'string')],
    /"input_ids" holds string, where numbers are expected/,
  ],
])('an input %s is refused', (_, inputs, message) => {
  expect(() => batches(rowsOf([2]), { inputs, padId: PAD })).toThrow(message);
  expect(() => batches(rowsOf([2]), { inputs, padId: PAD })).toThrow(InputError);
});

test('the usable length is the least that anyone allows', () => {
  const tokenizer = { padId: 0, maxLength: 100 } as Tokenizer;
  expect(usableLength(128, {})).toBe(128);
  expect(usableLength(128, { config: { maxPositions: 64 }, tokenizer })).toBe(64);
  expect(usableLength(128, { config: { maxPositions: 512 }, tokenizer })).toBe(100);
  expect(usableLength(32, { config: { maxPositions: 512 }, tokenizer, inputs: bert })).toBe(32);
  expect(usableLength(32, { tokenizer, inputs: [input('input_ids', ['b', 16])] })).toBe(16);
});
