/** Whole runs of a tiny decoder whose speed is promised for steps against a cache, and for requests of a prompt and steps. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mixTables, predictedSpeedup } from '../src/prune/latency.ts';
import { parseRecord, type RunRecord } from '../src/record.ts';
import { integer, random } from '../src/tensor/random.ts';
import { ziplm } from './command.ts';
import { fixture } from './onnx/fixtures.ts';

/** Long enough that attention over it is most of a step, however small the model. */
const PAST = 4000;
const WORDS = 80;

let folder: string;
let model: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-decode-'));
  model = join(folder, 'model');
  mkdirSync(model);
  const from = fixture('llama-gqa-optimum').folder;
  for (const file of ['config.json', 'generation_config.json', 'model.onnx'])
    cpSync(join(from, file), join(model, file));
  const vocab = Object.fromEntries(Array.from({ length: WORDS }, (_, id) => [`w${id}`, id]));
  const tokenizer = {
    ...{ version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null },
    ...{ pre_tokenizer: { type: 'WhitespaceSplit' }, post_processor: null, decoder: null },
    model: { type: 'WordLevel', vocab, unk_token: 'w0' },
  };
  writeFileSync(join(model, 'tokenizer.json'), JSON.stringify(tokenizer));
  for (const [seed, name] of ['calibration', 'evaluation'].entries()) {
    const next = random(seed);
    const words = Array.from({ length: 600 }, () => `w${integer(next, WORDS)}`);
    writeFileSync(join(folder, `${name}.txt`), words.join(' '));
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

async function runWith(name: string, shape: Readonly<Record<string, number>>) {
  const output = join(folder, name);
  const flags = {
    model,
    'data-calibration': join(folder, 'calibration.txt'),
    'data-evaluation': join(folder, 'evaluation.txt'),
    'max-length': 16,
    speedups: 1.1,
    ...shape,
    provider: 'cpu',
    threads: 1,
    'search-steps': 4,
    rounds: 3,
    output,
  };
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
  const { code, stderr } = await ziplm(['run', ...args]);
  expect(code === 0 || code === 1, stderr).toBe(true);
  const record = parseRecord(readFileSync(join(output, 'run.json'), 'utf8'));
  return { record, report: readFileSync(join(output, 'report.md'), 'utf8') };
}

/** What the table promised of the model that was found. */
function promised({ targets: [{ blocks }], latencyTable, fixedMs, modelMs }: RunRecord): number {
  const kept = blocks.map((block) => block.kept);
  return predictedSpeedup({ entries: latencyTable, fixedMs, modelMs }, blocks, kept);
}

test('of steps alone: the table, the search and the report are of a step', async () => {
  const { record, report } = await runWith('steps', { 'shape-decode-past': PAST });
  const [target] = record.targets;
  expect(record.shape).toEqual({ decode: { batch: 1, sequence: 1, past: PAST, weight: 1 } });
  expect(target.predicted).toBeCloseTo(promised(record), 9);
  expect(target.maskEquivalence.maxAbsDiff).toBeLessThanOrEqual(1e-4);
  expect([record.regimes, target.regimes, record.dense.regimes]).toEqual([undefined, undefined, undefined]);
  expect(report).toContain(`steps of batch 1 × 1 token after ${PAST}`);
  expect(report).toMatch(/\| +target \| decode +\| attentions gone/);
  // A step against so long a cache waits for attention, which has two structures a layer.
  const [attention, mlp] = ['attention', 'mlp'].map(
    (kind) => record.latencyTable.find((entry) => entry.kind === kind)!.rows[0].medianMs,
  );
  expect(attention).toBeGreaterThan(mlp);
});

test('of requests: the table is the regimes’ sum, and each regime is measured', async () => {
  const weights = { prompt: 2, decode: 5 } as const;
  const { record, report } = await runWith('requests', {
    'shape-prompt-batch': 2,
    'shape-prompt-sequence': 32,
    'shape-prompt-weight': weights.prompt,
    'shape-decode-past': PAST,
    'shape-decode-weight': weights.decode,
  });
  const [target] = record.targets;
  expect(record.shape).toEqual({
    prompt: { batch: 2, sequence: 32, weight: 2 },
    decode: { batch: 1, sequence: 1, past: PAST, weight: 5 },
  });
  const parts = record.regimes!.map(({ name, latencyTable: entries, fixedMs, modelMs }) => ({
    weight: weights[name],
    table: { entries, fixedMs, modelMs },
  }));
  const { entries, fixedMs, modelMs } = mixTables(parts);
  expect([record.latencyTable, record.fixedMs, record.modelMs]).toEqual([entries, fixedMs, modelMs]);
  expect(target.predicted).toBeCloseTo(promised(record), 9);

  const kept = target.blocks.map((block) => block.kept);
  const each = target.regimes!;
  expect(each.map(({ name }) => name)).toEqual(['prompt', 'decode']);
  for (const [r, { speedup, predicted }] of each.entries()) {
    expect(predicted).toBeCloseTo(predictedSpeedup(parts[r].table, target.blocks, kept), 9);
    expect(speedup.low).toBeLessThanOrEqual(speedup.median);
  }
  // A request is no faster than its faster regime, nor slower than its slower one.
  const medians = each.map(({ speedup }) => speedup);
  expect(target.speedup.median).toBeLessThanOrEqual(Math.max(...medians.map(({ high }) => high)));
  expect(target.speedup.median).toBeGreaterThanOrEqual(Math.min(...medians.map(({ low }) => low)));
  expect(record.dense.regimes!.map(({ name }) => name)).toEqual(['prompt', 'decode']);
  expect(report).toContain('2 × prompts of batch 2 × 32 tokens + 5 × steps of batch 1 × 1 token after 4000');
  expect(report).toMatch(/\| prompt +\| decode +\| a request +\| attentions gone/);
});
