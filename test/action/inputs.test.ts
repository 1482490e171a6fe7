import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { actionInputs, actionOutputs, readInputs } from '../../src/action/inputs.ts';
import { outcomeOf, outputsOf } from '../../src/action/outcome.ts';
import { settings } from '../../src/config.ts';
import { sample } from '../report/sample.ts';

interface Manifest {
  readonly inputs: Record<string, { description: string; default?: string }>;
  readonly outputs: Record<string, { description: string }>;
  readonly runs: Record<string, string>;
}
const manifest = parse(readFileSync(join(import.meta.dirname, '../../action.yml'), 'utf8')) as Manifest;

describe('action.yml', () => {
  test('has every input of the action and every setting, once', () => {
    const names = [...actionInputs.map(({ name }) => name), ...settings.map(({ flag }) => flag)];
    expect(new Set(names).size).toBe(names.length);
    expect(Object.keys(manifest.inputs)).toEqual(names);
    for (const { description } of Object.values(manifest.inputs))
      expect(description.length).toBeGreaterThan(10);
  });

  test('gives no setting a default, which would win over the file', () => {
    for (const { flag } of settings) expect(manifest.inputs[flag].default).toBeUndefined();
  });

  test('runs the committed bundle, also after a job that was cancelled', () => {
    expect(manifest.runs).toEqual({
      using: 'node24',
      main: 'dist/index.cjs',
      post: 'dist/index.cjs',
      'post-if': 'always()',
    });
  });

  test('has every output that is set from records', () => {
    const outcome = outcomeOf([sample]);
    for (const name of Object.keys(outputsOf([sample], outcome)))
      expect(manifest.outputs).toHaveProperty(name);
    expect(Object.keys(manifest.outputs)).toEqual(actionOutputs.map(({ name }) => name));
  });
});

describe('readInputs', () => {
  const readWith = (env: Readonly<Record<string, string>>) => {
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    try {
      return readInputs();
    } finally {
      vi.unstubAllEnvs();
    }
  };
  /** As the runner does: every input, those not given with their default or empty. */
  const fromRunner = (given: Readonly<Record<string, string>> = {}) => {
    const env: Record<string, string> = {};
    for (const [name, { default: standard = '' }] of Object.entries(manifest.inputs)) {
      env[`INPUT_${name.toUpperCase()}`] = standard.startsWith('$') ? 'secret' : standard;
    }
    for (const [name, value] of Object.entries(given)) env[`INPUT_${name.toUpperCase()}`] = value;
    return readWith(env);
  };

  test('takes the defaults of action.yml', () => {
    expect(fromRunner()).toMatchObject({
      mode: 'benchmark',
      token: 'secret',
      title: 'ZipLM',
      comment: true,
      check: true,
      dryRun: false,
      records: [],
      config: undefined,
      flags: {},
    });
  });

  test('has the same defaults without them', () => {
    expect(readWith({ INPUT_TOKEN: 'secret' })).toEqual(fromRunner());
  });

  test('hands settings on as flags, and lists by lines', () => {
    const { flags, records, cudaLibraries } = fromRunner({
      'data-calibration': ' data/train.jsonl ',
      speedups: '1.5, 2',
      records: 'a/*.json\n\n  b/run.json\n',
      'cuda-libraries': '/usr/local/cuda/lib64',
    });
    expect(flags).toEqual({ 'data-calibration': 'data/train.jsonl', speedups: '1.5, 2' });
    expect(records).toEqual(['a/*.json', 'b/run.json']);
    expect(cudaLibraries).toEqual(['/usr/local/cuda/lib64']);
  });

  test.each([
    [
      'mode',
      'benchmrk',
      /input mode is "benchmrk", expected benchmark or report or release\. Did you mean benchmark\?/,
    ],
    ['comment', 'yes', /input comment is "yes", expected true or false/],
    ['dry-run', '1', /dry-run is "1"/],
    ['retention-days', '0', /retention-days is "0", expected a whole number from 1 to 400/],
  ])('refuses %s: %s', (name, value, message) => {
    expect(() => fromRunner({ [name]: value })).toThrow(
      expect.objectContaining({ name: 'InputError', message: expect.stringMatching(message) }),
    );
  });
});
