import { describe, expect, test } from 'vitest';
import { syntheticFeeds } from '../../src/data/synthetic.ts';
import { InputError } from '../../src/errors.ts';
import type { Dim, ValueInfo } from '../../src/onnx/model.ts';

const input = (name: string, type: ValueInfo['type'], ...shape: Dim[]) =>
  ({ name, type, shape }) as ValueInfo;
const shape = { batch: 3, sequence: 5 };
const make = (inputs: ValueInfo[], seed = 1) => syntheticFeeds(inputs, shape, { vocabulary: 11, seed });

test('a text model gets ids of the whole vocabulary, all attended to, of one type', () => {
  const names = ['input_ids', 'attention_mask', 'token_type_ids', 'position_ids'];
  const feeds = syntheticFeeds(
    names.map((name) => input(name, 'int64', 'batch_size', 'sequence_length')),
    { batch: 40, sequence: 5 },
    { vocabulary: 11, seed: 1 },
  );
  expect(Object.keys(feeds)).toEqual(names);
  for (const name of names) expect(feeds[name]).toMatchObject({ type: 'int64', shape: [40, 5] });
  const values = (name: string) =>
    [...new Set(feeds[name].data as BigInt64Array)].map(Number).sort((a, b) => a - b);
  expect(values('input_ids')).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(values('attention_mask')).toEqual([1]);
  expect(values('token_type_ids')).toEqual([0]);
  expect([...(feeds.position_ids.data as BigInt64Array).subarray(0, 6)].map(Number)).toEqual([
    0, 1, 2, 3, 4, 0,
  ]);
});

test('the seed decides the content', () => {
  const inputs = [input('input_ids', 'int64', 'b', 's')];
  expect(make(inputs, 1)).toEqual(make(inputs, 1));
  expect(make(inputs, 1)).not.toEqual(make(inputs, 2));
});

describe('free dimensions', () => {
  test.each<[string, ValueInfo, number[]]>([
    ['by position', input('input_ids', 'int64', undefined, undefined), [3, 5]],
    ['by name, in any order', input('x', 'float32', 'seq_len', 'batch', 8), [5, 3, 8]],
    ['fixed ones stay', input('input_ids', 'int64', 2, 7), [2, 7]],
    ['an image', input('pixel_values', 'float32', 'batch', 3, 16, 16), [3, 3, 16, 16]],
    [
      'a cache is empty',
      input('past_key_values.0.key', 'float32', 'batch', 4, 'past_sequence_length', 8),
      [3, 4, 0, 8],
    ],
    [
      'a sequence with its past',
      input('attention_mask', 'int64', 'batch', 'past_sequence_length + sequence_length'),
      [3, 5],
    ],
    ['a scalar', input('scale', 'float32'), []],
  ])('%s', (_, info, expected) => {
    expect(make([info])[info.name].shape).toEqual(expected);
  });

  test('a shape that is not declared is a text input’s, or refused', () => {
    expect(make([{ name: 'input_ids', type: 'int64' }]).input_ids.shape).toEqual([3, 5]);
    expect(() => make([{ name: 'x', type: 'float32' }])).toThrow(/"x" declares no shape/);
  });

  test('one that is neither batch nor sequence is refused by name', () => {
    const image = input('pixel_values', 'float32', 'batch', 3, 'height', 'width');
    expect(() => make([image])).toThrow(/dimension 2 \("height"\) of the input "pixel_values" is free/);
    expect(() => make([image])).toThrow(InputError);
  });
});

test('other inputs: floats in [−1, 1), booleans true, integers 0, half floats as bits', () => {
  const feeds = make([
    input('x', 'float32', 'b', 's', 50),
    input('half', 'float16', 'b', 's', 50),
    input('flag', 'bool', 'b'),
    input('count', 'int64', 'b'),
  ]);
  const bits = feeds.half.data as Uint16Array<ArrayBuffer>;
  for (const data of [feeds.x.data as Float32Array, new Float16Array(bits.buffer)]) {
    expect(Math.min(...data)).toBeLessThan(-0.9);
    expect(Math.min(...data)).toBeGreaterThanOrEqual(-1);
    expect(Math.max(...data)).toBeGreaterThan(0.9);
    expect(Math.max(...data)).toBeLessThanOrEqual(1);
  }
  expect(feeds.flag.data).toEqual(Uint8Array.of(1, 1, 1));
  expect(feeds.count.data).toEqual(BigInt64Array.of(0n, 0n, 0n));
});
