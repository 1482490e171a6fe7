import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import type { Model } from '../../src/onnx/model.ts';
import { storedTensor } from '../../src/onnx/stored.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { cut } from '../../src/structure/cut.ts';
import { random } from '../../src/tensor/random.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { hiddenStates } from '../../src/train/hidden.ts';
import { inputsOf, logitsShape, nextTokens } from '../../src/train/losses.ts';
import {
  defaultOptimiser,
  openTrainer,
  type TrainerOptions,
  type TrainingBatch,
} from '../../src/train/trainer.ts';
import { encoder } from '../models/encoder.ts';
import { fixture } from '../onnx/fixtures.ts';
import { difference, range, run } from '../structure/running.ts';

const next = random(9);
const ints = (shape: readonly number[], values: readonly (number | bigint)[]) =>
  tensor('int64', shape, BigInt64Array.from(values, BigInt));

/** Labelled rows for a model of token inputs, `b` × `s`, one of them padded. */
function labelled(model: Model, b: number, s: number, vocabulary: number): TrainingBatch {
  const mask = range(b * s).map((i) => Number(i < b * s - 2));
  const ids = mask.map((there) => there * (1 + Math.floor((vocabulary - 1) * next())));
  const { classes, perToken } = logitsShape(model);
  const values: Record<string, readonly number[]> = {
    input_ids: ids,
    attention_mask: mask,
    token_type_ids: mask.map(() => 0),
    position_ids: mask.map((_, i) => i % s),
  };
  const labels = perToken
    ? tensor('int64', [b, s], nextTokens(ids, mask, s))
    : ints(
        [b],
        range(b).map(() => Math.floor(classes * next())),
      );
  const feeds = Object.fromEntries(inputsOf(model).map(({ name }) => [name, ints([b, s], values[name])]));
  return { feeds, labels };
}

const student = encoder({ layers: 2 });
const settings: TrainerOptions = {
  student,
  losses: { task: 1, logit: 0, token: 0, temperature: 1, relative: false },
  optimiser: defaultOptimiser,
  schedule: { kind: 'linear', peak: 1e-2, steps: 12, warmup: 2, final: 0 },
  accumulate: 1,
  threads: 2,
};
const batches = range(8).map((i) => labelled(student, 3, 4 + (i % 3), 50));

const expectSame = (a: Readonly<Record<string, Tensor>>, b: Readonly<Record<string, Tensor>>) => {
  expect(Object.keys(a)).toEqual(Object.keys(b));
  expect(difference(a, b)).toBe(0);
};

test('steps of one run are those of one run each, bit for bit, whatever the batches’ shapes', async () => {
  await using together = await openTrainer(settings);
  await using apart = await openTrainer(settings);
  const reports = await together.step(batches);
  const one = [];
  for (const batch of batches) one.push(...(await apart.step([batch])));
  expect(reports).toEqual(one);
  expect(together.state().step).toBe(8);
  expectSame(together.state().tensors, apart.state().tensors);
});

test('goes on from a snapshot, bit for bit; later steps do not change it', async () => {
  await using trainer = await openTrainer(settings);
  await trainer.step(batches.slice(0, 3));
  const snapshot = trainer.state();
  const kept = structuredClone(snapshot.tensors);
  const first = await trainer.step(batches.slice(3));
  const end = trainer.state();
  expectSame(snapshot.tensors, kept);
  await using other = await openTrainer(settings);
  other.restore(snapshot);
  expect(await other.step(batches.slice(3))).toEqual(first);
  expectSame(other.state().tensors, end.tensors);
});

test('two batches a step are one batch of both, where each counts the same', async () => {
  const rows = labelled(student, 6, 5, 50);
  const half = (part: number): TrainingBatch => ({
    feeds: Object.fromEntries(
      Object.entries(rows.feeds).map(([name, { data }]) => [
        name,
        ints([3, 5], [...(data as BigInt64Array)].slice(15 * part, 15 * part + 15)),
      ]),
    ),
    labels: ints([3], [...rows.labels!.data].slice(3 * part, 3 * part + 3)),
  });
  const schedule = { ...settings.schedule, warmup: 0 };
  await using whole = await openTrainer({ ...settings, schedule });
  await using halves = await openTrainer({ ...settings, schedule, accumulate: 2 });
  const [expected] = await whole.step([rows]);
  const [found] = await halves.step([half(0), half(1)]);
  expect(found.loss).toBeCloseTo(expected.loss, 5);
  expect(found.norm).toBeCloseTo(expected.norm, 4);
});

test('the model holds the trained weights, and nothing else changes', async () => {
  await using trainer = await openTrainer({
    ...settings,
    parameters: ['classifier.weight', 'classifier.bias'],
  });
  await trainer.step(batches);
  const trained = trainer.model();
  expect(trainer.parameters.toSorted()).toEqual(['classifier.bias', 'classifier.weight']);
  for (const [name, stored] of student.graph.initializers) {
    const same =
      difference({ w: stored.tensor() }, { w: trained.graph.initializers.get(name)!.tensor() }) === 0;
    expect(same, name).toBe(!trainer.parameters.includes(name));
  }
});

test('losses that are no numbers stop the step and leave the state', async () => {
  await using trainer = await openTrainer({ ...settings, optimiser: { ...defaultOptimiser, clip: 0 } });
  await trainer.step(batches.slice(0, 1));
  const { tensors, step } = trainer.state();
  const poisoned = Object.fromEntries(
    Object.entries(tensors).map(([name, value]) =>
      name === 'weight/classifier.bias'
        ? [name, { ...value, data: Float32Array.of(1, Number.NaN, 0) }]
        : [name, value],
    ),
  );
  trainer.restore({ tensors: poisoned, step });
  await expect(trainer.step(batches)).rejects.toThrow('at step 2 the loss is NaN');
  expect(trainer.state().tensors).toBe(poisoned);
});

test('what was handed out stays as it was', async () => {
  await using trainer = await openTrainer(settings);
  await trainer.step(batches.slice(0, 1));
  const weights = Object.fromEntries(trainer.weights());
  const kept = structuredClone(weights);
  for (const batch of batches.slice(1, 4)) await trainer.step([batch]);
  expectSame(weights, kept);
});

test('weights that cannot be trained are the user’s mistake', async () => {
  const old = { ...encoder(), opsets: new Map([['', 9]]) };
  await expect(openTrainer({ ...settings, student: old })).rejects.toThrow(
    'of opset 9, expected 11 or later',
  );
  const half = encoder();
  const bias = half.graph.initializers.get('classifier.bias')!;
  half.graph.initializers.set('classifier.bias', { ...bias, type: 'float16' });
  await expect(openTrainer({ ...settings, student: half })).rejects.toThrow(
    'the weight "classifier.bias" is float16, expected float32',
  );
  await expect(openTrainer({ ...settings, parameters: ['nowhere'] })).rejects.toThrow('no weight "nowhere"');
});

describe.each([
  ['bert-optimum', 60],
  ['bert-torchscript14', 60],
  ['distilbert-optimum', 60],
  ['gpt2-torchscript', 60],
  ['llama-gqa-dynamo', 60],
] as const)('%s', (name, vocabulary) => {
  test('learns a batch by heart', async () => {
    const model = await openModel(fixture(name).path);
    const schedule = { ...settings.schedule, peak: 3e-3, steps: 40 };
    await using trainer = await openTrainer({ ...settings, student: model, schedule });
    const batch = labelled(model, 4, 6, vocabulary);
    const reports = await trainer.step(range(40).map(() => batch));
    expect(reports.at(-1)!.loss).toBeLessThan(0.5 * reports[0].loss);
  });
});

test('a cut student comes nearer to its teacher', async () => {
  const teacher = await openModel(fixture('bert-optimum').path);
  const removal = new Map([
    ['attention.0', [1]],
    ['mlp.1', range(25)],
  ]);
  const smaller = cut(teacher, analyse(teacher), removal);
  const hidden = hiddenStates(teacher);
  const { feeds } = labelled(teacher, 4, 6, 60);
  const outputs = [...hidden.map(({ value }) => value), 'logits'];
  const [said] = await run(
    { ...teacher, graph: { ...teacher.graph, outputs: outputs.map((value) => ({ name: value })) } },
    [feeds],
  );
  const batch = {
    feeds,
    mask: tensor('float32', [4, 6], new Float32Array(24).fill(1)),
    counts: tensor('float32', [4], new Float32Array(4).fill(1)),
    logits: said.logits as Tensor<'float32'>,
    hidden: hidden.map(({ value }) => said[value] as Tensor<'float32'>),
  };
  await using trainer = await openTrainer({
    ...settings,
    student: smaller,
    hidden,
    losses: { task: 0, logit: 0.5, token: 0.5, temperature: 2, relative: true },
    schedule: { ...settings.schedule, peak: 3e-3, steps: 60 },
  });
  expect(trainer.hidden).toEqual(hidden);
  const reports = await trainer.step(range(60).map(() => batch));
  expect(reports.at(-1)!.loss).toBeLessThan(0.1 * reports[0].loss);
  const [[before], [after]] = [await run(smaller, [feeds]), await run(trainer.model(), [feeds])];
  expect(difference({ logits: said.logits }, after)).toBeLessThan(
    difference({ logits: said.logits }, before),
  );
});

test('shared tensors stay the caller’s', async () => {
  const weight = storedTensor(tensor('float32', [3], Float32Array.of(1, 2, 3)));
  const model = encoder();
  model.graph.initializers.set('classifier.bias', weight);
  await using trainer = await openTrainer({ ...settings, student: model });
  await trainer.step(batches.slice(0, 2));
  await trainer.step(batches.slice(2, 4));
  expect([...weight.tensor().data]).toEqual([1, 2, 3]);
});
