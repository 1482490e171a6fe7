/** Whole runs on the embedded example with what comes from ZipLM's neighbours: each option leaves a true record. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { predictedSpeedup } from '../src/prune/latency.ts';
import { parseRecord, type RunRecord } from '../src/record.ts';
import { ziplm } from './command.ts';
import { example, smallData, smallRun } from './small-run.ts';

let folder: string;
let data: ReturnType<typeof smallData>;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-options-'));
  data = smallData(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Rows of the example's training file, from one line to another. */
function rowsFrom(name: string, from: number, to: number): string {
  const file = join(folder, name);
  const lines = readFileSync(join(example, 'train.jsonl'), 'utf8').split('\n').slice(from, to);
  writeFileSync(file, lines.join('\n'));
  return file;
}

async function runWith(name: string, calibration: string, flags: readonly string[]): Promise<RunRecord> {
  const output = join(folder, name);
  const { code, stderr } = await ziplm([
    ...smallRun({ ...data, calibration, speedups: '1.3', output }),
    ...flags,
  ]);
  expect(code === 0 || code === 1, stderr).toBe(true);
  return parseRecord(readFileSync(join(output, 'run.json'), 'utf8'));
}

/** What holds for every run: the model that was found keeps what its budget allows, and the table says so. */
function expectTrue({ targets: [target], latencyTable, modelMs, fixedMs }: RunRecord): void {
  const table = { entries: latencyTable, modelMs, fixedMs };
  const kept = target.blocks.map((block) => block.kept);
  expect(target.predicted).toBeCloseTo(predictedSpeedup(table, target.blocks, kept), 9);
  expect(target.maskEquivalence.maxAbsDiff).toBeLessThanOrEqual(1e-4);
  expect(target.search.calibrationLoss).toBeGreaterThanOrEqual(0);
}

test('an evolution finds a model of the same kind', async () => {
  const record = await runWith('evolution', data.calibration, ['--search-strategy', 'evolution']);
  expectTrue(record);
  expect(record.configuration).toMatchObject({ search: { strategy: 'evolution', steps: 8 } });
  expect(record.targets[0].search.evaluations).toBeGreaterThan(2);
});

describe('two domains', () => {
  test.each(['mean', 'worst'] as const)('are recorded with what they agree on (%s)', async (combine) => {
    const files = `a=${rowsFrom('a.jsonl', 0, 20)},${rowsFrom('b.jsonl', 20, 40)}`;
    const record = await runWith(combine, files, ['--calibration-combine', combine, '--calibration-rows', '16']);
    expectTrue(record);
    const { names, blocks, combine: how } = record.domains!;
    expect([names, how]).toEqual([['a', 'b.jsonl'], combine]);
    const [target] = record.targets;
    expect(blocks.map(({ id }) => id)).toEqual(target.blocks.map(({ id }) => id));
    for (const [b, { weights, levels, important, agreeing }] of blocks.entries()) {
      expect(weights[0] + weights[1]).toBeCloseTo(1, 9);
      expect(levels.at(-1)).toMatchObject({ kept: 0 });
      for (const { errors, rises } of levels) expect([errors.length, rises.length]).toEqual([2, 2]);
      for (const s of [...important, ...agreeing]) expect(s).toBeLessThan(target.blocks[b].of);
    }
    const losses = target.search.domainLosses!;
    const expected = combine === 'worst' ? Math.max(...losses) : (losses[0] + losses[1]) / 2;
    expect(target.search.calibrationLoss).toBeCloseTo(expected, 9);
  });
});

describe('a choice of rows', () => {
  test.each([
    ['random', []],
    ['similar', ['--data-validation', join(example, 'validation.jsonl')]],
    ['adaptive', ['--calibration-trials', '3']],
  ] as const)('%s: as many as were asked for, from all of the file', async (select, flags) => {
    const pool = rowsFrom('pool.jsonl', 0, 80);
    const chosen = ['--calibration-select', select, '--calibration-rows', '16', ...flags];
    const record = await runWith(select, pool, chosen);
    expectTrue(record);
    const { trials = [], ...rest } = record.chosenRows!;
    expect(rest).toMatchObject({ select, rows: [16] });
    if (select !== 'adaptive') expect(trials).toEqual([]);
    else {
      expect(trials).toHaveLength(3);
      const best = trials.reduce((a, b) => (b.loss < a.loss ? b : a));
      expect(rest.damping).toBe(best.damping);
      expect(trials[0].damping).toBeCloseTo(0.01, 12);
      expect(trials[0].tilt).toBe(0);
    }
  });

  test('similar without rows to resemble is refused', async () => {
    const { code, stderr } = await ziplm([
      ...smallRun({ ...data, speedups: '1.3', output: join(folder, 'refused') }),
      '--calibration-select',
      'similar',
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/calibration\.select is similar, expected data\.validation/);
  });
});
