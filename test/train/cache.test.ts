import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { emptyCache, readsTokens } from '../../src/data/decoder.ts';
import { cloneModel, removeDeadNodes } from '../../src/onnx/edit.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import { decodeModel } from '../../src/onnx/load.ts';
import type { Model } from '../../src/onnx/model.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { openSession } from '../../src/runtime/session.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { withCacheOf, withEmptyCache } from '../../src/train/cache.ts';
import { inputsOf } from '../../src/train/losses.ts';

const modelOf = (name: string) => decodeModel(readFileSync(`test/fixtures/${name}/model.onnx`));

async function logitsOf(model: Model, feeds: Readonly<Record<string, Tensor>>): Promise<Tensor> {
  await using session = await openSession(encodeModel(model), { threads: 1 });
  return (await session.run(feeds, ['logits'])).logits;
}

describe.each(['gpt2-optimum', 'llama-gqa-optimum'])('%s without its cache', (name) => {
  test.each([
    [1, 4],
    [3, 7],
  ])('reads %d × %d tokens only, and says what it says of an empty cache', async (b, s) => {
    const model = modelOf(name);
    const alone = withEmptyCache(model);
    validateModel(alone);
    const inputs = inputsOf(alone);
    expect(inputs.map(({ name }) => name)).toEqual(inputsOf(model).filter(readsTokens).map(({ name }) => name));
    const ids = BigInt64Array.from({ length: b * s }, (_, i) => BigInt((i * 31) % 80));
    const values: Readonly<Record<string, BigInt64Array>> = {
      input_ids: ids,
      attention_mask: ids.map(() => 1n),
      position_ids: ids.map((_, i) => BigInt(i % s)),
    };
    const tokens = Object.fromEntries(inputs.map(({ name }) => [name, tensor('int64', [b, s], values[name])]));
    const expected = await logitsOf(model, { ...tokens, ...emptyCache(inputsOf(model), [b, s]) });
    const found = await logitsOf(alone, tokens);
    expect(found.shape).toEqual(expected.shape);
    expect([...(found.data as Float32Array)]).toEqual([...(expected.data as Float32Array)]);
  });

  test('has it back afterwards', () => {
    const model = modelOf(name);
    const back = withCacheOf(model, withEmptyCache(model));
    const expected = cloneModel(model);
    removeDeadNodes(expected.graph);
    expect(encodeModel(back)).toEqual(encodeModel(expected));
  });
});

test('a model without a cache is left as it is', () => {
  const model = modelOf('gpt2-torchscript');
  expect(withEmptyCache(model)).toBe(model);
  expect(withCacheOf(model, model)).toBe(model);
});
