import { expect, test } from 'vitest';
import { cloneModel, newNode } from '../../src/onnx/edit.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Model } from '../../src/onnx/model.ts';
import { storedTensor } from '../../src/onnx/stored.ts';
import { sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { learnedWeights, prepared } from '../../src/train/parameters.ts';
import { encoder } from '../models/encoder.ts';
import { fixture } from '../onnx/fixtures.ts';
import { difference, readCase, run, tensorsOf } from '../structure/running.ts';

const numbersIn = ({ graph }: Model, names: readonly string[]) =>
  names.reduce((sum, name) => sum + sizeOf(graph.initializers.get(name)!.shape), 0);

test('all weights of an encoder are learned, and none of its other constants', () => {
  const model = encoder({ layers: 2, reshape: 'computed' });
  const weights = [...model.graph.initializers.keys()].filter((name) => /weight|bias|embeddings/.test(name));
  expect(learnedWeights(model).toSorted()).toEqual(weights.toSorted());
});

/** Parameters that PyTorch counts: embeddings, layers, pooler. */
const linear = (a: number, b: number) => a * b + b;
const bertSize = (v: number, h: number, ff: number, layers: number, positions: number) =>
  (v + positions + 2) * h +
  2 * h +
  layers * (4 * linear(h, h) + linear(h, ff) + linear(ff, h) + 4 * h) +
  linear(h, h);

test.each([
  ['bert-optimum', linear(48, 3)],
  ['bert-torchscript14', linear(48, 3)],
  ['bert-dynamo18', 0],
  ['bert-external-data', linear(48, 3)],
])('%s: as many numbers as PyTorch has parameters', async (name, head) => {
  const model = prepared(await openModel(fixture(name).path));
  const [vocabulary] = model.graph.initializers.get(
    [...model.graph.initializers.keys()].find((key) => key.includes('word_embeddings'))!,
  )!.shape;
  expect(numbersIn(model, learnedWeights(model))).toBe(bertSize(vocabulary, 48, 40, 2, 32) + head);
});

test.each(['llama-gqa-optimum', 'llama-gqa-dynamo'])(
  '%s: matrices and scales, no frequencies',
  async (name) => {
    const model = prepared(await openModel(fixture(name).path));
    const learned = learnedWeights(model);
    const { graph } = model;
    const left = [...graph.initializers]
      .filter(([key, { type, shape }]) => type === 'float32' && sizeOf(shape) > 1 && !learned.includes(key))
      .map(([key, { shape }]) => `${key} [${shape}]`);
    // Frequencies and tables of rotary embeddings, masks: whatever they are called, no weight is among them.
    expect(
      left.filter((key) => /proj|embed_tokens|norm|lm_head|MatMul/.test(key) && !/rotary/.test(key)),
    ).toEqual([]);
    expect(learned.length).toBeGreaterThanOrEqual(2 * 7 + 2 * 2 + 2);
    expect(learned.filter((key) => /rotary|inv_freq|cos|sin/.test(key))).toEqual([]);
  },
);

test.each(['gpt2-torchscript', 'torch-encoder-torchscript', 'bert-torchscript14'])(
  '%s: computes the same when it is readied, and vectors of one value have one reader each',
  async (name) => {
    const { path, folder } = fixture(name);
    const model = await openModel(path);
    const ready = prepared(model);
    const feeds = readCase(folder).samples.map(({ inputs }) => tensorsOf(inputs));
    const [before, after] = [await run(model, feeds), await run(ready, feeds)];
    before.forEach((outputs, i) => {
      expect(difference(outputs, after[i])).toBe(0);
    });
    const { graph } = ready;
    for (const [key, stored] of graph.initializers) {
      const [first, ...others] =
        stored.shape.length === 1 && stored.type === 'float32' ? stored.tensor().data : [];
      if (others.length === 0 || others.some((value) => value !== first)) continue;
      expect(graph.nodes.flatMap((node) => node.inputs.filter((input) => input === key))).toHaveLength(1);
    }
  },
);

test('dropout is left out', async () => {
  const model = encoder();
  const dropped = cloneModel(model);
  const { graph } = dropped;
  const ratio = tensor('float32', [], Float32Array.of(0.5));
  const training = tensor('bool', [], Uint8Array.of(1));
  graph.initializers.set('ratio', storedTensor(ratio)).set('training', storedTensor(training));
  const first = graph.nodes.find(({ opType }) => opType === 'LayerNormalization')!;
  const value = first.outputs[0];
  first.outputs[0] = 'before';
  graph.nodes.splice(graph.nodes.indexOf(first) + 1, 0, {
    ...newNode('Dropout', ['before', 'ratio', 'training'], [value]),
    name: 'dropout',
  });
  const feeds = {
    input_ids: tensor('int64', [1, 4], BigInt64Array.of(1n, 2n, 3n, 4n)),
    attention_mask: tensor('int64', [1, 4], BigInt64Array.of(1n, 1n, 1n, 1n)),
  };
  const ready = prepared(dropped);
  expect(dropped.graph.nodes.map(({ opType }) => opType)).toContain('Dropout');
  expect(ready.graph.nodes.map(({ opType }) => opType)).not.toContain('Dropout');
  const [[expected], [quiet]] = [await run(model, [feeds]), await run(ready, [feeds])];
  expect(difference(expected, quiet)).toBe(0);
});
