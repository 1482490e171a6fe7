import { describe, expect, test } from 'vitest';
import { cloneModel } from '../../src/onnx/edit.ts';
import type { Model } from '../../src/onnx/model.ts';
import { random } from '../../src/tensor/random.ts';
import { sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { hiddenStates } from '../../src/train/hidden.ts';
import { feed, type Losses, nextTokens, withLoss } from '../../src/train/losses.ts';
import { learnedWeights } from '../../src/train/parameters.ts';
import { encoder } from '../models/encoder.ts';
import { crossEntropy, divergence, stateError, weightedSum } from '../reference/training.ts';
import { run } from '../structure/running.ts';

const next = random(4);
const floats = (shape: readonly number[]) =>
  tensor(
    'float32',
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => 4 * next() - 2),
  );
const rowsOf = ({ shape, data }: Tensor) =>
  Array.from({ length: data.length / shape.at(-1)! }, (_, i) =>
    Array.from(data.subarray(i * shape.at(-1)!, (i + 1) * shape.at(-1)!), Number),
  );

const student = encoder({ layers: 2, classes: 5 });
const hidden = hiddenStates(student);
const mask = [1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1];
const ids = mask.map((there) => BigInt(there * Math.floor(50 * next())));
const feeds = {
  input_ids: tensor('int64', [3, 6], BigInt64Array.from(ids)),
  attention_mask: tensor('int64', [3, 6], BigInt64Array.from(mask, BigInt)),
};
const labels = [4, -1, 2];
const counts = [1, 1, 0];
const teacher = { logits: floats([3, 5]), hidden: hidden.map(({ width }) => floats([3, 6, width])) };

function withOutputs(model: Model, names: readonly string[]): Model {
  const result = cloneModel(model);
  result.graph.outputs = names.map((name) => ({ name }));
  return result;
}

async function lossOf(losses: Losses, model = student) {
  const loss = withLoss(model, { losses, logits: 'logits', hidden, parameters: learnedWeights(model) });
  const targets = {
    [feed.labels]: tensor('int64', [3], BigInt64Array.from(labels, BigInt)),
    [feed.counts]: tensor('float32', [3], Float32Array.from(counts)),
    [feed.mask]: tensor('float32', [3, 6], Float32Array.from(mask)),
    [feed.logits]: teacher.logits,
    ...Object.fromEntries(teacher.hidden.map((state, k) => [feed.hidden(k), state])),
  };
  const taken = Object.entries({ ...feeds, ...targets }).filter(([name]) =>
    loss.model.graph.inputs.some((input) => input.name === name),
  );
  const [found] = await run(loss.model, [Object.fromEntries(taken)]);
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [name, Number(value.data[0])]));
}

describe.each([
  { task: 1, logit: 0, token: 0, temperature: 1, relative: false },
  { task: 0, logit: 2, token: 0, temperature: 3, relative: false },
  { task: 0, logit: 0, token: 0.5, temperature: 1, relative: false },
  { task: 0.2, logit: 0.3, token: 0.5, temperature: 2, relative: true },
] satisfies Losses[])('λ $task, $logit, $token', (losses) => {
  test('the losses are the naive ones of the student’s own outputs', async () => {
    const names = ['logits', ...hidden.map(({ value }) => value)];
    const [{ logits, ...states }] = await run(withOutputs(student, names), [feeds]);
    const own = rowsOf(logits);
    const stateErrors = hidden.map(({ value }, k) =>
      stateError(rowsOf(teacher.hidden[k]), rowsOf(states[value]), mask, losses.relative),
    );
    const parts = {
      ...(losses.task > 0 && { task: crossEntropy(own, labels) }),
      ...(losses.logit > 0 && {
        logit: divergence(rowsOf(teacher.logits), own, counts, losses.temperature),
      }),
      ...(losses.token > 0 && { token: stateErrors.reduce((a, b) => a + b, 0) / stateErrors.length }),
    };
    const found = await lossOf(losses);
    expect(Object.keys(found).toSorted()).toEqual(
      ['loss', ...Object.keys(parts).map((part) => `loss.${part}`)].toSorted(),
    );
    for (const [part, value] of Object.entries(parts)) expect(found[`loss.${part}`]).toBeCloseTo(value, 4);
    expect(found.loss).toBeCloseTo(weightedSum(losses, parts), 4);
  });
});

test('the same graph of an older opset has the same loss', async () => {
  const losses = { task: 0.2, logit: 0.3, token: 0.5, temperature: 2, relative: false };
  const newer = await lossOf(losses, encoder({ layers: 2, classes: 5, opset: 21 }));
  expect((await lossOf(losses)).loss).toBeCloseTo(newer.loss, 5);
});

test('losses that cannot be are refused', () => {
  const options = { logits: 'logits', parameters: [] };
  const none = { task: 0, logit: 0, token: 0, temperature: 1, relative: false };
  expect(() => withLoss(student, { ...options, losses: none, hidden })).toThrow('every λ is 0');
  expect(() => withLoss(student, { ...options, losses: { ...none, token: 1 }, hidden: [] })).toThrow(
    'no hidden state of the teacher is left',
  );
});

test('the next tokens are the labels of a language model', () => {
  const labels = nextTokens([5n, 6n, 7n, 0n, 8n, 9n, 1n, 2n], [1, 1, 1, 0, 1, 1, 1, 1], 4);
  expect([...labels]).toEqual([6n, 7n, -1n, -1n, 9n, 1n, 2n, -1n]);
});
