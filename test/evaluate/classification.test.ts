import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batches } from '../../src/data/batch.ts';
import type { EncodedRow } from '../../src/data/tokenizer.ts';
import { InputError } from '../../src/errors.ts';
import { evaluateClassification, type Runner } from '../../src/evaluate/classification.ts';
import type { ValueInfo } from '../../src/onnx/model.ts';
import { type ArrayOf, type DataType, type Tensor, tensor } from '../../src/tensor/tensor.ts';

const inputs = ['input_ids', 'attention_mask'].map(
  (name): ValueInfo => ({ name, type: 'int64', shape: ['b', 's'] }),
);
const CLASSES = 3;

/** Logits of a row of ids, padding left out. */
const logitsOf = (ids: readonly number[]) => {
  const sum = ids.reduce((total, id) => total + id, 0);
  return Array.from({ length: CLASSES }, (_, k) => ((sum * (k + 1)) % 7) - 3);
};

/** A model that computes `logitsOf` by the mask. */
const model = (make: (b: number, logits: number[]) => Record<string, Tensor>): Runner => ({
  async run(feeds, fetches) {
    const { shape, data } = feeds.input_ids as Tensor<'int64'>;
    const mask = feeds.attention_mask.data as BigInt64Array;
    const [b, s] = shape;
    const logits = Array.from({ length: b }, (_, row) =>
      logitsOf([...data.subarray(row * s, (row + 1) * s)].map((id, at) => Number(id * mask[row * s + at]))),
    );
    const outputs = make(b, logits.flat());
    return fetches ? Object.fromEntries(fetches.map((name) => [name, outputs[name]])) : outputs;
  },
});

const float = (name: string) =>
  model((b, logits) => ({ [name]: tensor('float32', [b, CLASSES], Float32Array.from(logits)) }));

const rowsOf = (lengths: readonly number[]): EncodedRow[] =>
  lengths.map((length, row) => ({
    ids: Array.from({ length }, (_, at) => 1 + ((row * 31 + at * 17) % 50)),
    typeIds: Array(length).fill(0),
    label: row % CLASSES,
  }));

test('whatever the batches, the results are in the rows’ order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 7 }),
      async (lengths, batchSize) => {
        const rows = rowsOf(lengths);
        const made = batches(rows, { inputs, padId: 50, batchSize });
        const { logits, predictions, labels, classes } = await evaluateClassification(float('logits'), made);
        expect(classes).toBe(CLASSES);
        expect([...labels]).toEqual(rows.map(({ label }) => label));
        expect([...logits]).toEqual(rows.flatMap(({ ids }) => logitsOf(ids)));
        expect([...predictions]).toEqual(
          rows.map(({ ids }) =>
            logitsOf(ids).reduce((best, value, k, all) => (value > all[best] ? k : best), 0),
          ),
        );
      },
    ),
  );
});

test('filler rows of a fixed batch are not counted', async () => {
  const fixed = inputs.map((input): ValueInfo => ({ ...input, shape: [4, 's'] }));
  const rows = rowsOf([3, 1, 4, 1, 5]);
  const { logits } = await evaluateClassification(
    float('logits'),
    batches(rows, { inputs: fixed, padId: 0 }),
  );
  expect([...logits]).toEqual(rows.flatMap(({ ids }) => logitsOf(ids)));
});

describe('the logits are', () => {
  const rows = rowsOf([2, 3, 4]);
  const made = batches(rows, { inputs, padId: 0 });
  const expected = rows.flatMap(({ ids }) => logitsOf(ids));
  const hidden = (b: number) => tensor('float32', [b, 4], new Float32Array(4 * b));

  test('the only output of two axes, whatever its name', async () => {
    const runner = model((b, logits) => ({
      hidden: tensor('float32', [b, 2, 2], new Float32Array(4 * b)),
      output_0: tensor('float32', [b, CLASSES], Float32Array.from(logits)),
    }));
    expect([...(await evaluateClassification(runner, made)).logits]).toEqual(expected);
  });

  test('the output named logits among others, or the one asked for', async () => {
    const among = model((b, logits) => ({
      pooled: hidden(b),
      logits: tensor('float32', [b, CLASSES], Float32Array.from(logits)),
    }));
    expect([...(await evaluateClassification(among, made)).logits]).toEqual(expected);
    expect((await evaluateClassification(among, made, { output: 'pooled' })).classes).toBe(4);
  });

  test.each<[DataType, (values: number[]) => ArrayOf[DataType]]>([
    ['float64', (values) => Float64Array.from(values)],
    ['float16', (values) => new Uint16Array(Float16Array.from(values).buffer)],
    [
      'bfloat16',
      (values) => Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16),
    ],
  ])('as well in %s', async (type, encode) => {
    const runner = model((b, logits) => ({ logits: tensor(type, [b, CLASSES], encode(logits)) }));
    expect([...(await evaluateClassification(runner, made)).logits]).toEqual(expected);
  });
});

describe('what is refused', () => {
  const made = batches(rowsOf([2, 3]), { inputs, padId: 0 });
  const output = (name: string, type: DataType, width: number, fill = 0) =>
    model((b) => ({
      [name]: {
        type,
        shape: [b, width],
        data: type === 'int32' ? new Int32Array(b * width) : new Float32Array(b * width).fill(fill),
      },
    }));

  test.each([
    [
      'a model without a classifier',
      model((b) => ({ last_hidden_state: tensor('float32', [b, 3, 8], new Float32Array(b * 24)) })),
      {},
      /no output named logits is \[2, classes\]; the model's outputs are last_hidden_state \[2, 3, 8\]/,
    ],
    ['a single score', output('logits', 'float32', 1), {}, /"logits" holds 1 value a row/],
    [
      'other classes than config.json names',
      output('logits', 'float32', 3),
      { classes: 2 },
      /tells 3 classes apart, but its config\.json names 2/,
    ],
    ['a label beyond the logits', output('logits', 'float32', 2), {}, undefined],
    ['integers', output('logits', 'int32', 3), {}, /the logits are int32/],
    ['NaN', output('logits', 'float32', 3, Number.NaN), {}, /answers NaN on row 1/],
  ])('%s', async (_, runner, options, message) => {
    // The third row's label is 2.
    const some = message ? made : batches(rowsOf([1, 2, 3]), { inputs, padId: 0 });
    const wanted = message ?? /row 3: label 2 is none of the model's \(0 to 1\)/;
    await expect(evaluateClassification(runner, some, options)).rejects.toThrow(wanted);
    await expect(evaluateClassification(runner, some, options)).rejects.toBeInstanceOf(InputError);
  });
});
