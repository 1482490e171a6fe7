/** Whole runs of language models: a decoder with a cache, and an encoder that fills gaps, from the command line to the reports. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModel } from '../src/onnx/load.ts';
import { parseRecord, type RunRecord } from '../src/record.ts';
import { ziplm } from './command.ts';
import { decoderFolder, fillerFolder, someText } from './models/language.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'ziplm-language-'));
  writeFileSync(join(root, 'calibration.txt'), someText(4000));
  writeFileSync(join(root, 'evaluation.txt'), someText(9000).slice(4000));
});
afterAll(() => rmSync(root, { recursive: true }));

type Flags = Readonly<Record<string, string | number>>;

const call = (verb: string, values: Flags, ...rest: readonly string[]) =>
  ziplm([
    verb,
    ...rest,
    '--json',
    ...Object.entries({ ...values, provider: 'cpu', threads: 1 }).flatMap(([name, value]) => [
      `--${name}`,
      String(value),
    ]),
  ]);

async function run(model: string, output: string, more: Flags = {}): Promise<RunRecord> {
  const { code, stdout, stderr } = await call('run', {
    model,
    'data-calibration': join(root, 'calibration.txt'),
    'data-evaluation': join(root, 'evaluation.txt'),
    'calibration-rows': 24,
    'max-length': 32,
    speedups: 1.2,
    'shape-batch': 4,
    'shape-sequence': 32,
    'search-steps': 8,
    rounds: 3,
    output,
    ...more,
  });
  expect([0, 1], stderr).toContain(code);
  const record = parseRecord(readFileSync(join(output, 'run.json'), 'utf8'));
  expect(JSON.parse(stdout)).toEqual(record);
  return record;
}

/** The metric of a model folder, by the verb. */
async function evaluated(model: string, more: Flags = {}) {
  const data = { 'data-evaluation': join(root, 'evaluation.txt'), 'max-length': 32 };
  const { code, stdout, stderr } = await call('evaluate', { ...data, ...more }, model);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout).metric as RunRecord['dense']['metric'];
}

/** What a record and its reports say of perplexity must be what the files have. */
async function expectPerplexity(
  record: RunRecord,
  dense: string,
  output: string,
  more: Flags = {},
): Promise<void> {
  const { configuration, targets } = record;
  expect(configuration.metric).toBe('perplexity');
  expect(record.dense.metric).toEqual(await evaluated(dense, more));
  for (const { file, metric, search, maskEquivalence } of targets) {
    const { delta, deltaLow, deltaHigh, pValue, ...own } = metric;
    const folder = join(output, file, '..');
    expect(own).toEqual(await evaluated(folder, more));
    expect(delta).toBeCloseTo(own.value - record.dense.metric.value, 9);
    expect(deltaLow).toBeLessThanOrEqual(delta);
    expect(deltaHigh).toBeGreaterThanOrEqual(delta);
    expect(pValue).toBeGreaterThan(0);
    expect(search.calibrationLoss).toBeGreaterThan(0);
    expect(maskEquivalence.maxAbsDiff).toBeLessThan(1e-3);
    expect(existsSync(join(folder, 'tokenizer.json'))).toBe(true);
  }
  const report = readFileSync(join(output, 'report.md'), 'utf8');
  expect(report).toContain('perplexity, less is better');
  expect(report).toContain(record.dense.metric.value.toFixed(2));
}

describe('a decoder with a cache', () => {
  test('is pruned, judged by perplexity, and keeps the cache', async () => {
    const model = decoderFolder(root, 'llama-gqa-optimum', { begin: true });
    const output = join(root, 'llama');
    const record = await run(model, output, { stride: 16 });
    expect(record.configuration.task).toBe('causal-lm');
    await expectPerplexity(record, model, output, { stride: 16 });
    const [dense, pruned] = await Promise.all(
      [join(model, 'model.onnx'), join(output, record.targets[0].file)].map(openModel),
    );
    expect(pruned.graph.inputs).toEqual(dense.graph.inputs);
    const names = (of: typeof dense) => of.graph.outputs.map(({ name }) => name);
    expect(names(pruned)).toEqual(names(dense));
  });

  test('learns from text, and from the dense model after its cut', async () => {
    const model = decoderFolder(root, 'gpt2-optimum');
    const trained = await call('train', {
      model,
      'data-training': join(root, 'calibration.txt'),
      'data-evaluation': join(root, 'evaluation.txt'),
      'max-length': 32,
      'train-epochs': 3,
      'train-batch': 8,
      'train-learning-rate': 0.01,
      output: join(root, 'trained'),
    });
    expect(trained.code, trained.stderr).toBe(0);
    const { metric, before, validation } = JSON.parse(trained.stdout);
    expect(before).toEqual(await evaluated(model));
    // Random weights know nothing of letters; a few dozen steps teach how often each stands.
    expect(metric.value).toBeLessThan(before.value / 3);
    expect(validation.at(-1).loss).toBeLessThan(validation[0].loss - 1);
    const taught = join(root, 'trained', 'trained');
    expect(evaluated(taught)).toEqual(metric);

    const output = join(root, 'gradual');
    const record = await run(taught, output, {
      method: 'gradual',
      'train-epochs': 2,
      'train-batch': 8,
      'train-learning-rate': 0.005,
      'train-lambda-task': 0.5,
    });
    await expectPerplexity(record, taught, output);
    const [{ train: facts, metric: recovered }] = record.targets;
    expect(facts!.best!.loss).toBeLessThanOrEqual(facts!.validation[0].loss);
    expect(recovered.value).toBeLessThan(metric.value * 2);
    const inputs = (await openModel(join(output, record.targets[0].file))).graph.inputs;
    expect(inputs.map(({ name }) => name)).toContain('past_key_values.0.key');
  });
});

describe('a filler of gaps', () => {
  test('is pruned, and judged by the gaps', async () => {
    const model = fillerFolder(root);
    const output = join(root, 'filled');
    const record = await run(model, output);
    expect(record.configuration.task).toBe('masked-lm');
    await expectPerplexity(record, model, output);
  });

  test('cannot be trained yet, which is said before anything is done', async () => {
    const output = join(root, 'untrained');
    const { code, stderr } = await call('run', {
      model: join(root, 'filler'),
      method: 'gradual',
      'data-calibration': join(root, 'calibration.txt'),
      'data-evaluation': join(root, 'evaluation.txt'),
      output,
    });
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('masked-lm cannot be trained yet, expected a task that can. Use method: one-shot.'),
    ]);
  });
});
