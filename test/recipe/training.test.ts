import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Config, loadConfig } from '../../src/config.ts';
import { silent } from '../../src/progress.ts';
import { type OpenedModel, openModelFolder } from '../../src/recipe/job.ts';
import { lossesOf, openTrainingData, thinned } from '../../src/recipe/training.ts';
import { example } from '../small-run.ts';

let folder: string;
let opened: OpenedModel;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-training-'));
  opened = await openModelFolder(example);
  for (const [name, rows] of [
    ['train.jsonl', 45],
    ['validation.jsonl', 5],
  ] as const) {
    const text = readFileSync(join(example, name), 'utf8').split('\n', rows).join('\n');
    writeFileSync(join(folder, name), text);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

const configOf = (flags: Readonly<Record<string, string>> = {}): Config =>
  loadConfig(null, { model: example, 'data-calibration': 'train.jsonl', ...flags }, folder);

describe('the rows of a training', () => {
  test('are the calibration rows, of which every tenth is set aside', async () => {
    const { training, validation } = await openTrainingData(opened, configOf(), silent);
    const all = await openTrainingData(opened, configOf({ 'data-validation': 'validation.jsonl' }), silent);
    const rows = all.training.rows;
    expect(rows).toHaveLength(45);
    expect(validation!.rows).toEqual([9, 19, 29, 39].map((row) => rows[row]));
    expect(training.rows).toEqual(rows.filter((_, row) => row % 10 !== 9));
  });

  test('are those of data.training where it names some, all of them with a validation file', async () => {
    const flags = { 'data-calibration': 'none', 'data-training': 'train.jsonl' };
    const config = configOf({ ...flags, 'data-validation': 'validation.jsonl', 'train-sequence': '9' });
    const { training, validation } = await openTrainingData(opened, config, silent);
    expect([training.rows.length, validation!.rows.length]).toEqual([45, 5]);
    expect(Math.max(...training.rows.map(({ ids }) => ids.length))).toBe(9);
  });

  test('are not needed by name twice: without any, the message says what to set', async () => {
    const config = loadConfig(null, { model: example }, folder);
    await expect(openTrainingData(opened, config, silent)).rejects.toThrow(
      'config: data.training names no file, expected labelled rows. Set it in ziplm.yml or with --data-training.',
    );
  });
});

test('with a teacher the λs are the configuration’s, without one the labels teach', () => {
  expect(lossesOf(configOf({ 'train-lambda-task': '0.2' }), true)).toEqual({
    task: 0.2,
    logit: 0.5,
    token: 0.5,
    temperature: 2,
    relative: true,
  });
  expect(lossesOf(configOf(), false)).toMatchObject({ task: 1, logit: 0, token: 0 });
  const none = configOf({ 'train-lambda-logit': '0', 'train-lambda-token': '0' });
  expect(() => lossesOf(none, true)).toThrow(/are all 0, so that nothing would be learned/);
});

test('a thinned curve keeps the mean, ends where the curve ends, and is never longer', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 1, maxLength: 300 }),
      fc.integer({ min: 1, max: 60 }),
      (losses, points) => {
        const curve = losses.map((loss, i) => ({ step: i + 1, loss, parts: {}, norm: 1, rate: 1 }));
        const thin = thinned(curve, points);
        expect(thin).toHaveLength(Math.min(points, losses.length));
        expect(thin.at(-1)!.step).toBe(losses.length);
        const total = thin.reduce(
          (sum, { step, loss }, i) => sum + loss * (step - (thin[i - 1]?.step ?? 0)),
          0,
        );
        expect(total).toBeCloseTo(
          losses.reduce((sum, loss) => sum + loss, 0),
          6,
        );
      },
    ),
  );
});
