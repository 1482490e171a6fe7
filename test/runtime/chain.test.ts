/** Parts in a row, and graphs that go through a file: what runs is the model, however it got there. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { segmentsOf } from '../../src/onnx/segments.ts';
import { openChain, type Values } from '../../src/runtime/chain.ts';
import { openGraph } from '../../src/runtime/graph.ts';
import { temporaryPrefix } from '../../src/runtime/owner.ts';
import { openSession } from '../../src/runtime/session.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { encoder } from '../models/encoder.ts';

const model = encoder({ layers: 3, hidden: 64, heads: 4, headDim: 16, intermediate: 96, vocabulary: 60 });
const ids = Array.from({ length: 12 }, (_, i) => BigInt((7 * i) % 60));
const feeds: Values = {
  input_ids: tensor('int64', [2, 6], BigInt64Array.from(ids)),
  attention_mask: tensor('int64', [2, 6], BigInt64Array.from(ids, (_, i) => (i < 10 ? 1n : 0n))),
};
const options = { threads: 1 };

async function whole() {
  await using session = await openSession(encodeModel(model), options);
  return (await session.run(feeds)).logits.data as Float32Array;
}

function expectClose(got: ArrayLike<number>, want: Float32Array) {
  expect(got).toHaveLength(want.length);
  for (const [i, value] of want.entries()) expect(Math.abs(got[i] - value)).toBeLessThan(1e-5);
}

describe('a chain', () => {
  const segments = segmentsOf(model, { limit: 1 });

  test('gives what the model gives, and tells what crosses', async () => {
    await using chain = await openChain(segments, options);
    expect(chain.parts).toBeGreaterThan(5);
    const seen: number[] = [];
    const onPlace = (part: number, values: Values) => {
      seen.push(part);
      for (const { takes } of segments.slice(part))
        for (const name of takes.filter((one) => segments.slice(0, part).some(({ gives }) => gives.includes(one))))
          expect(values).toHaveProperty([name]);
    };
    const { logits } = await chain.run(feeds, ['logits'], { onPlace });
    expectClose(logits.data as Float32Array, await whole());
    expect(seen).toEqual(Array.from({ length: chain.parts - 1 }, (_, i) => i + 1));
  });

  test('from any place on it is the same to the last bit, and what lies before is not read', async () => {
    await using chain = await openChain(segments, options);
    const places = new Map<number, Values>();
    const from0 = await chain.run(feeds, ['logits'], { onPlace: (part, values) => places.set(part, values) });
    const { attention_mask } = feeds; // no word is looked up again
    for (const [from, values] of places) {
      if (from === 1) continue;
      const { logits } = await chain.run({ attention_mask }, ['logits'], { from, values });
      expect(logits.data).toEqual(from0.logits.data);
    }
  });

  test('ends with the last value that is asked for', async () => {
    await using chain = await openChain(segments, options);
    const [first] = segments[0].gives;
    const found = await chain.run({ input_ids: feeds.input_ids, attention_mask: feeds.attention_mask }, [first], {
      onPlace: (part) => expect(part).toBe(1),
    });
    expect(Object.keys(found)).toEqual([first]);
  });
});

test('a graph with more weights than a limit goes through a file, which goes with its session', async () => {
  const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith(temporaryPrefix()));
  const before = left();
  const session = await openGraph(model, { ...options, largestAsBytes: 1000 });
  expect(left().length).toBe(before.length + 1);
  expectClose((await session.run(feeds)).logits.data as Float32Array, await whole());
  await session[Symbol.asyncDispose]();
  expect(left()).toEqual(before);
});
