import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { batches } from '../../src/data/batch.ts';
import type { Model } from '../../src/onnx/model.ts';
import { type Progress, silent } from '../../src/progress.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { cut } from '../../src/structure/cut.ts';
import { hiddenStates } from '../../src/train/hidden.ts';
import { inputsOf } from '../../src/train/losses.ts';
import { openTeacher } from '../../src/train/teacher.ts';
import { type Training, train } from '../../src/train/train.ts';
import { defaultLosses, defaultOptimiser } from '../../src/train/trainer.ts';
import { encoder } from '../models/encoder.ts';
import { scratch } from '../onnx/fixtures.ts';
import { difference, range, run } from '../structure/running.ts';
import { rowsOf } from './rows.ts';

const rows = rowsOf(192, 1);
const held = rowsOf(128, 2);
const dense = encoder({ layers: 2 });
const analysis = analyse(dense);
const smaller = cut(
  dense,
  analysis,
  new Map([
    ['attention.1', [0, 3]],
    ['mlp.0', range(16)],
  ]),
);

async function accuracy(model: Model): Promise<number> {
  const [{ feeds, labels, rows: order }] = batches(held, {
    inputs: inputsOf(model),
    padId: 0,
    batchSize: 128,
  });
  const [{ logits }] = await run(model, [feeds]);
  const right = order.filter((_, i) => {
    const [a, b, c] = logits.data.subarray(3 * i, 3 * i + 3) as Float32Array;
    return labels[i] === (a > b && a > c ? 0 : b > c ? 1 : 2);
  });
  return right.length / order.length;
}

const finetuning: Training = {
  student: dense,
  losses: { task: 1, logit: 0, token: 0, temperature: 1, relative: false },
  optimiser: defaultOptimiser,
  schedule: { kind: 'linear', peak: 5e-3, warmup: 0.1, final: 0 },
  rows,
  padId: 0,
  epochs: 2,
  batch: 16,
  seed: 5,
  threads: 1,
};
const distilling: Training = { ...finetuning, student: smaller, teacher: dense, losses: defaultLosses };

const expectSame = (a: Model, b: Model) => {
  for (const [name, stored] of a.graph.initializers) {
    expect(difference({ w: stored.tensor() }, { w: b.graph.initializers.get(name)!.tensor() }), name).toBe(0);
  }
};

/** Throws when the task has advanced to `step`. */
function stoppedAt(step: number): Progress {
  let count = 0;
  return {
    ...silent,
    task: (label) => ({
      advance(by = 1) {
        if (label === 'training') count += by;
        if (count >= step) throw new Error('stopped');
      },
      done() {},
    }),
  };
}

test('fine-tunes from scratch; the result is the model of the best evaluation', async () => {
  const result = await train({ ...finetuning, epochs: 10, evaluate: accuracy }, silent);
  const best = Math.max(...result.evaluations.map(({ metric }) => metric));
  expect(await accuracy(dense)).toBeLessThan(0.6);
  expect(best).toBeGreaterThan(0.85);
  expect(await accuracy(result.model)).toBe(best);
  expect(result.stopped).toBe('finished');
  expect(result.curve.map(({ step }) => step)).toEqual(range(120).map((i) => i + 1));
  expect(result.evaluations.map(({ step }) => step)).toEqual(range(10).map((i) => 12 * (i + 1)));
});

test('a cut student is distilled, the same whether the teacher’s answers are stored or not', async () => {
  const folder = await scratch();
  const live = await train(distilling, silent);
  const store = { folder, limitBytes: 1e9 };
  const stored = await train({ ...distilling, store }, silent);
  const files = readdirSync(folder);
  expect(files).toEqual([expect.stringMatching(/^teacher-[0-9a-f]{16}\.f32$/)]);
  const again = await train({ ...distilling, store }, silent);
  expectSame(stored.model, again.model);
  // Padding of another width moves the teacher's answers by a rounding.
  for (const [i, { loss }] of live.curve.entries()) expect(stored.curve[i].loss).toBeCloseTo(loss, 3);
  expect(stored.curve.at(-1)!.loss).toBeLessThan(0.5 * stored.curve[0].loss);
});

test('stored answers are the teacher’s own on every token, and zero at padding', async () => {
  const folder = await scratch();
  const hidden = hiddenStates(dense);
  const options = { model: dense, logits: true, hidden, rows, padId: 0, session: { threads: 1 } };
  await using live = await openTeacher(options, silent);
  await using stored = await openTeacher({ ...options, store: { folder, limitBytes: 1e9 } }, silent);
  for (const batch of batches(rows, { inputs: inputsOf(dense), padId: 0, batchSize: 7, sort: false })) {
    const [expected, found] = [await live.targets(batch), await stored.targets(batch)];
    expect(difference({ logits: expected.logits! }, { logits: found.logits! })).toBeLessThan(1e-5);
    hidden.forEach(({ width }, k) => {
      expect(found.hidden[k].shape).toEqual(expected.hidden[k].shape);
      found.hidden[k].data.forEach((value, i) => {
        const wanted = batch.mask[Math.floor(i / width)] * expected.hidden[k].data[i];
        if (!(Math.abs(value - wanted) < 1e-5)) expect(value, `state ${k}, ${i}`).toBe(wanted);
      });
    });
  }
});

test('answers larger than the store are not stored', async () => {
  const folder = await scratch();
  const said: string[] = [];
  await train(
    { ...distilling, epochs: 1, store: { folder, limitBytes: 1000 } },
    {
      ...silent,
      say: (message) => said.push(message),
    },
  );
  expect(readdirSync(folder)).toEqual([]);
  expect(said.join()).toMatch(/computed beside each step/);
});

test('stopped anywhere, it goes on to the same weights, bit for bit', async () => {
  const whole = await train({ ...distilling, evaluate: accuracy, accumulate: 2 }, silent);
  const file = join(await scratch(), 'work', 'recover.train');
  const training = { ...distilling, accumulate: 2, evaluate: accuracy, checkpoint: { file, everySteps: 5 } };
  for (const step of [4, 6, 11]) await expect(train(training, stoppedAt(step))).rejects.toThrow('stopped');
  const resumed = await train(training, silent);
  expect(resumed.curve).toEqual(whole.curve);
  expect(resumed.evaluations).toEqual(whole.evaluations);
  expectSame(whole.model, resumed.model);
  // A finished training does no more steps, and gives the same.
  const bytes = readFileSync(file);
  expectSame(resumed.model, (await train(training, stoppedAt(13))).model);
  expect(readFileSync(file).equals(bytes)).toBe(true);
});

test('a checkpoint of another training is not read; half a one is never there', async () => {
  const file = join(await scratch(), 'recover.train');
  const checkpoint = { file, everySteps: 3 };
  const other = await train({ ...finetuning, epochs: 1, checkpoint }, silent);
  writeFileSync(`${file}.partial`, 'half');
  const own = await train({ ...finetuning, epochs: 1, seed: 6, checkpoint }, silent);
  expect(own.curve).not.toEqual(other.curve);
  expect(own.curve).toEqual((await train({ ...finetuning, epochs: 1, seed: 6 }, silent)).curve);
  expect(existsSync(`${file}.partial`)).toBe(false);
});

test('stops on a plateau', async () => {
  const metrics = [0.5, 0.7, 0.7, 0.6, 0.9];
  let asked = 0;
  const evaluate = async () => metrics[asked++];
  const result = await train({ ...finetuning, epochs: 5, evaluate, patience: 2 }, silent);
  expect(result.stopped).toBe('plateau');
  expect(result.evaluations.map(({ metric }) => metric)).toEqual([0.5, 0.7, 0.7, 0.6]);
});

test('distillation without a teacher is refused', async () => {
  await expect(train({ ...finetuning, losses: defaultLosses }, silent)).rejects.toThrow('needs a teacher');
});
