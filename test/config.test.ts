import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configJsonSchema, loadConfig, need, settings } from '../src/config.ts';
import { InputError } from '../src/errors.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The configuration of a file with this text. */
function load(yaml: string, flags: Record<string, string> = {}) {
  writeFileSync(join(folder, 'ziplm.yml'), yaml);
  return loadConfig('ziplm.yml', flags, folder);
}

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

test('a file gives its values, and the rest is filled in', () => {
  const config = load(`
model: models/sentiment
data: {calibration: data/train.jsonl, evaluation: /abs/test.jsonl, text: sentence, pair: other}
speedups: [1.5, 2]
shape: {batch: 8}
max-drop: 0.01
calibration-rows: 64
search: {steps: 10}
`);
  expect(config).toEqual({
    model: join(folder, 'models/sentiment'),
    task: 'text-classification',
    data: {
      calibration: join(folder, 'data/train.jsonl'),
      evaluation: '/abs/test.jsonl',
      text: 'sentence',
      pair: 'other',
      label: 'label',
    },
    speedups: [1.5, 2],
    shape: { batch: 8, sequence: 128 },
    provider: 'auto',
    threads: 0,
    method: 'one-shot',
    metric: 'accuracy',
    maxDrop: 0.01,
    calibrationRows: 64,
    damping: 0.01,
    search: { steps: 10, rows: 256, seed: 0 },
    train: {
      epochs: 4,
      learningRate: 8e-5,
      batch: 32,
      schedule: 'linear',
      warmup: 0.1,
      weightDecay: 0.03,
      lambdaTask: 0,
      lambdaLogit: 0.5,
      lambdaToken: 0.5,
      temperature: 2,
      patience: 2,
      checkpointEvery: 50,
      seed: 0,
    },
    rounds: 6,
    output: join(folder, 'ziplm-out'),
  });
});

test('how to train is read from the file, and from flags over it', () => {
  const { method, data, train } = load(
    'model: m\nmethod: gradual\ndata: {training: t, validation: v}\ntrain: {epochs: 0.5, teacher: dense, batch: 8}',
    { 'train-batch': '16', 'train-lambda-task': '1' },
  );
  expect(method).toBe('gradual');
  expect(data).toMatchObject({ training: join(folder, 't'), validation: join(folder, 'v') });
  expect(train).toMatchObject({ epochs: 0.5, batch: 16, lambdaTask: 1, teacher: join(folder, 'dense') });
});

test('paths in the file are relative to the file, paths in flags to the working directory', () => {
  writeFileSync(join(folder, 'ziplm.yml'), 'model: m\noutput: out\ndata: {calibration: c}');
  const config = loadConfig(join(folder, 'ziplm.yml'), { 'data-evaluation': 'e' }, '/elsewhere');
  expect(config.model).toBe(join(folder, 'm'));
  expect(config.output).toBe(join(folder, 'out'));
  expect(config.data.calibration).toBe(join(folder, 'c'));
  expect(config.data.evaluation).toBe('/elsewhere/e');
  expect(loadConfig(join(folder, 'ziplm.yml'), { output: 'o' }, '/elsewhere').output).toBe('/elsewhere/o');
});

test('without a file, ziplm.yml of the working directory is read where there is one', () => {
  writeFileSync(join(folder, 'ziplm.yml'), 'model: m\nthreads: 3');
  expect(loadConfig(undefined, {}, folder).threads).toBe(3);
  expect(loadConfig(null, { model: 'm' }, folder).threads).toBe(0);
  expect(loadConfig(undefined, { model: 'm' }, '/').model).toBe('/m');
});

test('a flag wins over the file, setting by setting', () => {
  const config = load('model: m\nspeedups: [2]\nshape: {batch: 8, sequence: 16}', {
    speedups: '1.25, 3',
    'shape-batch': '1',
  });
  expect(config.speedups).toEqual([1.25, 3]);
  expect(config.shape).toEqual({ batch: 1, sequence: 16 });
});

test('an alias in the file stands for what it names', () => {
  expect(load('model: &m name\ndata: {text: *m}').data.text).toBe('name');
});

describe('what is wrong is said in one sentence, with its place', () => {
  test.each([
    ['modle: m', 'config: ziplm.yml line 1: there is no setting "modle". Did you mean "model"?'],
    [
      'model: m\ndata:\n  calibraton: x',
      'config: ziplm.yml line 3: there is no setting "data.calibraton". Did you mean "data.calibration"?',
    ],
    [
      'model: m\ncalibrationRows: 5',
      'config: ziplm.yml line 2: there is no setting "calibrationRows". Did you mean "calibration-rows"?',
    ],
    [
      'model: m\nsequence: 64',
      'config: ziplm.yml line 2: there is no setting "sequence". Did you mean "shape.sequence"?',
    ],
    ['model: m\n\nspeedups: [2, 1]', 'config: ziplm.yml line 3: speedups[1] must be greater than 1, got 1.'],
    ['model: m\nspeedups: []', 'config: ziplm.yml line 2: speedups must be a list of at least one, got [].'],
    [
      'model: m\nspeedups: [2, 3, 2]',
      'config: ziplm.yml line 2: speedups must be a list without repeats, got [2, 3, 2].',
    ],
    ['model: m\nspeedups: 2', 'config: ziplm.yml line 2: speedups must be a list of numbers, got 2.'],
    ['model: m\nspeedups: [.nan]', 'config: ziplm.yml line 2: speedups[0] must be a number, got NaN.'],
    ['model: m\nspeedups: [.inf]', 'config: ziplm.yml line 2: speedups[0] must be a number, got Infinity.'],
    ['model: 3', 'config: ziplm.yml line 1: model must be a text, got 3.'],
    ['model: ""', 'config: ziplm.yml line 1: model must be some text, got "".'],
    ['model: m\nthreads: 1.5', 'config: ziplm.yml line 2: threads must be a whole number, got 1.5.'],
    ['model: m\nthreads: -1', 'config: ziplm.yml line 2: threads must be at least 0, got -1.'],
    ['model: m\nthreads:', 'config: ziplm.yml line 2: threads must be a number, got nothing.'],
    [
      'model: m\nprovider: gpu',
      'config: ziplm.yml line 2: provider must be one of auto, cuda, webgpu, cpu, got "gpu".',
    ],
    [
      'model: m\nmethod: sudden',
      'config: ziplm.yml line 2: method must be one of one-shot, gradual, got "sudden".',
    ],
    ['model: m\ntrain: {epochs: 0}', 'config: ziplm.yml line 2: train.epochs must be greater than 0, got 0.'],
    [
      'model: m\ntrain:\n  lambda-logit: -1',
      'config: ziplm.yml line 3: train.lambda-logit must be at least 0, got -1.',
    ],
    [
      'model: m\ntrain: {schedule: step}',
      'config: ziplm.yml line 2: train.schedule must be one of linear, cosine, constant, got "step".',
    ],
    [
      'model: m\ntrain: {learning_rate: 1e-4}',
      'config: ziplm.yml line 2: there is no setting "train.learning_rate". Did you mean "train.learning-rate"?',
    ],
    ['model: m\nrounds: 1000', 'config: ziplm.yml line 2: rounds must be at most 100, got 1000.'],
    [
      'model: m\ndata: train.jsonl',
      'config: ziplm.yml line 2: data must be a mapping with keys among calibration, training, validation, evaluation, text, pair, label, got "train.jsonl".',
    ],
    ['speedups: [2]', 'config: no model is named in ziplm.yml. Name one by "model:" there or by --model.'],
    ['', 'config: no model is named in ziplm.yml. Name one by "model:" there or by --model.'],
    ['model: m\nspeedups: &a [*a]', 'config: ziplm.yml line 2: speedups[0] must be a number, got {…}.'],
    ['model: &a {x: *a}', 'config: ziplm.yml line 1: model must be a text, got {…}.'],
    ['data: &d {text: *d}', 'config: ziplm.yml line 1: data.text must be a text, got {…}.'],
    ['model: m\nmodel: n', 'config: ziplm.yml line 2 is not YAML: Map keys must be unique.'],
    [
      'model: m\n__proto__: {}',
      'config: ziplm.yml line 2: there is no setting "__proto__". docs/configuration.md lists them.',
    ],
  ])('%j', (yaml, sentence) => {
    expect(messageOf(() => load(yaml))).toBe(sentence);
  });

  test('broken YAML, with its line', () => {
    expect(messageOf(() => load('model: m\nspeedups: [1.5,\ntask: x'))).toMatch(
      /^config: ziplm\.yml line [23] is not YAML: .+\.$/,
    );
  });

  test('a list at the top', () => {
    expect(messageOf(() => load('- model: m'))).toContain(
      'the file must be a mapping with keys among model, task, data,',
    );
  });

  test.each([
    [{ speedups: '2,x' }, 'config: --speedups[1] must be a number, got "x".'],
    [{ speedups: '0.5' }, 'config: --speedups[0] must be greater than 1, got 0.5.'],
    [{ speedups: '' }, 'config: --speedups must be a list of at least one, got [].'],
    [{ threads: 'two' }, 'config: --threads must be a number, got "two".'],
    [{ threads: '' }, 'config: --threads must be a number, got "".'],
    [
      { 'shape-bath': '1' },
      'config: on the command line: there is no setting "shape-bath". Did you mean --shape-batch?',
    ],
  ])('flags %j', (flags, sentence) => {
    expect(messageOf(() => loadConfig(null, { model: 'm', ...flags }, folder))).toBe(sentence);
  });

  test('a file that is not there, or a folder', () => {
    expect(messageOf(() => loadConfig('none.yml', {}, folder))).toBe(
      'config: none.yml cannot be read: there is no such file. Give a ziplm.yml, or flags alone.',
    );
    expect(messageOf(() => loadConfig('.', {}, folder))).toContain('it is a folder');
    expect(messageOf(() => loadConfig(undefined, {}, '/'))).toContain('there is no ziplm.yml in /');
  });

  test('data that the work needs', () => {
    const config = load('model: m\ndata: {calibration: c}');
    expect(need(config, 'calibration')).toBe(join(folder, 'c'));
    expect(messageOf(() => need(config, 'evaluation'))).toContain('by --data-evaluation.');
  });
});

test('an unknown key that is one slip away from a known one is understood', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...settings.filter(({ key }) => key.length > 4 && !key.includes('.'))),
      fc.nat(),
      ({ key }, at) => {
        const slip = key.slice(0, at % key.length) + key.slice((at % key.length) + 1);
        expect(messageOf(() => load(`${slip}: 1`))).toContain(`Did you mean "${key}"?`);
      },
    ),
  );
});

test('whatever a file holds, it is a configuration or an InputError', () => {
  const yaml = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .dictionary(fc.constantFrom(...settings.map(({ key }) => key.split('.')[0])), fc.jsonValue())
      .map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(yaml, (text) => {
      try {
        load(text);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
        expect((error as Error).message).not.toContain('\n');
      }
    }),
  );
});

test('every setting has help, a flag of its own, and a place in the JSON Schema', () => {
  const schema = configJsonSchema() as { properties: Record<string, { properties?: object }> };
  expect(new Set(settings.map(({ flag }) => flag)).size).toBe(settings.length);
  for (const { key, help } of settings) {
    expect(help).not.toBe('');
    const [head, tail] = key.split('.');
    expect(
      Object.keys(tail === undefined ? schema.properties : schema.properties[head].properties!),
    ).toContain(tail ?? head);
  }
});
