/** Every fixture runs on made-up inputs, whatever sizes its exporter fixed. */
import { expect, test } from 'vitest';
import { graphBuilder } from '../../src/onnx/build.ts';
import { openModelFolder } from '../../src/recipe/job.ts';
import { imagesIn, lengthsIn } from '../../src/recipe/sizes.ts';
import { feedsToCheck } from '../../src/recipe/verify.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { fixture } from '../onnx/fixtures.ts';

test.each([
  ['bert-optimum', 'input_ids', [2, 16]],
  ['torch-encoder-torchscript', 'input_ids', [2, 7]],
  ['vit-optimum', 'pixel_values', [2, 3, 16, 16]],
  ['gpt2-torchscript', 'input_ids', [2, 16]],
  ['gpt2-optimum', 'past_key_values.0.key', [2, 4, 3, 8]],
  ['llama-gqa-optimum', 'attention_mask', [2, 19]],
])('%s: %s of %j', async (name, input, shape) => {
  const [feeds, ...others] = await feedsToCheck(await openModelFolder(fixture(name).path));
  expect(feeds[input].shape).toEqual(shape);
  expect(others).toEqual([]);
});

test('a model with a flag is checked with and without it', async () => {
  const all = await feedsToCheck(await openModelFolder(fixture('t5-optimum-merged').path));
  expect(all.map(({ use_cache_branch }) => [...use_cache_branch.data])).toEqual([[1], [0]]);
});

test('the side of an image follows from patches and their table', () => {
  const g = graphBuilder('vision');
  const image = g.input('pixels', 'float32', ['b', 'c', 'h', 'w']);
  const zeros = (...shape: number[]) =>
    g.constant(tensor('float32', shape, new Float32Array(shape.reduce((a, b) => a * b, 1))));
  const patches = g.op('Conv', [image, zeros(8, 3, 4, 4)], { strides: [4, 4] });
  g.output('y', g.op('Add', [patches, g.op('ReduceMean', [zeros(1, 50, 8)])]), 'float32');
  const model = g.model({ opset: 17 });
  // 49 patches and one token more: seven by seven, four pixels each.
  expect(imagesIn(model)[0]).toEqual({ channels: 3, size: 28 });
  expect(lengthsIn(model)).toEqual([]);
});
