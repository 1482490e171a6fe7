/** A whole run on the embedded example: what it leaves behind is there, true, and reused by the next run. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModel } from '../src/onnx/load.ts';
import { parseRecord, type RunRecord, type TargetRecord } from '../src/record.ts';
import { median } from '../src/tensor/statistics.ts';
import { type Outcome, ziplm } from './command.ts';
import { example, smallData, smallRun } from './small-run.ts';
import { range } from './structure/running.ts';

const companions = [
  'README.md',
  'config.json',
  'metrics.json',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
];

let folder: string;
let output: string;
let data: ReturnType<typeof smallData>;
let outcome: Outcome;
let record: RunRecord;

const recordIn = (at: string) => parseRecord(readFileSync(join(at, 'run.json'), 'utf8'));
const runWith = (changed: { speedups?: string; evaluation?: string }) =>
  ziplm([...smallRun({ ...data, speedups: '1.3', output, ...changed }), '--json']);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-run-'));
  output = join(folder, 'out');
  data = smallData(folder);
  outcome = await runWith({});
  if (outcome.code !== 0 && outcome.code !== 1) throw new Error(outcome.stderr);
  record = recordIn(output);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface InspectedBlock {
  readonly id: string;
  readonly kind: string;
  readonly structures: number;
  readonly consumer: { readonly weight: string; readonly bias?: string };
}

async function inspect(model: string): Promise<InspectedBlock[]> {
  const { code, stdout } = await ziplm(['inspect', model, '--json']);
  expect(code).toBe(0);
  return JSON.parse(stdout).blocks;
}

/** Everything that a record says of one target and that its file can confirm. */
async function checkTarget(at: string, target: TargetRecord): Promise<void> {
  const home = join(at, `${target.target}x`);
  expect(target.file).toBe(`${target.target}x/model.onnx`);
  expect(readdirSync(home).sort()).toEqual([...companions, 'model.onnx'].sort());
  for (const name of companions) {
    expect(readFileSync(join(home, name)).equals(readFileSync(join(example, name))), name).toBe(true);
  }
  const file = join(at, target.file);
  const bytes = readFileSync(file);
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(target.sha256);
  expect(bytes.length).toBe(target.bytes);
  // Four bytes a parameter; the graph itself takes less than 200 KB.
  expect(target.bytes - 4 * target.parameters).toBeGreaterThan(0);
  expect(target.bytes - 4 * target.parameters).toBeLessThan(200_000);

  const left = target.blocks.filter(({ kept }) => kept > 0);
  const found = await inspect(home);
  expect(found.map(({ kind, structures }) => [kind, structures])).toEqual(
    left.map(({ kind, kept }) => [kind, kept]),
  );
  expect(target.maskEquivalence.maxAbsDiff).toBeLessThanOrEqual(1e-4);

  expect(target.predicted).toBeGreaterThan(1);
  const ratios = [...target.roundSpeedups!];
  expect(ratios.length).toBe(target.rounds);
  expect(target.speedup.median).toBeCloseTo(median(ratios), 12);
  expect(Math.min(...ratios)).toBeLessThanOrEqual(target.speedup.low);
  expect(Math.max(...ratios)).toBeGreaterThanOrEqual(target.speedup.high);
  if (target.groups === 1) expect(target.status === 'met').toBe(target.speedup.low >= target.target);
}

describe('the run', () => {
  test('ends with 0 when every target is met, else with 1', () => {
    expect(outcome.code).toBe(record.targets.every(({ status }) => status === 'met') ? 0 : 1);
  });

  test('prints one JSON document, which is run.json', () => {
    expect(JSON.parse(outcome.stdout)).toEqual(JSON.parse(readFileSync(join(output, 'run.json'), 'utf8')));
  });

  test('writes the published layout, and nothing half', () => {
    expect(readdirSync(output).sort()).toEqual(['.work', '1.3x', 'report.html', 'report.md', 'run.json']);
    const names = readdirSync(output, { recursive: true }).map((path) => basename(String(path)));
    expect(names.filter((name) => /\.(part|partial|tmp)$/.test(name))).toEqual([]);
  });

  test('says of its model what the file says', async () => {
    expect(record.targets.map(({ target }) => target)).toEqual([1.3]);
    await checkTarget(output, record.targets[0]);
  });

  test('names the structures that stayed: cutting the others gives the same model but for refitted matrices', async () => {
    const [target] = record.targets;
    const removal = Object.fromEntries(
      target.blocks.map(({ id, of, keptIndices }) => [
        id,
        range(of).filter((i) => !keptIndices!.includes(i)),
      ]),
    );
    const [remove, plain] = [join(folder, 'remove.json'), join(folder, 'plain.onnx')];
    writeFileSync(remove, JSON.stringify(removal));
    expect((await ziplm(['cut', example, '--remove', remove, '--output', plain])).code).toBe(0);

    const [expected, got] = await Promise.all([openModel(plain), openModel(join(output, target.file))]);
    const bytesOf = (model: typeof got, name: string) => {
      const { data: values } = model.graph.initializers.get(name)!.tensor();
      return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    };
    // What blocks of the dense model read and add may change, also where their module is gone; nothing else.
    const consumers = (await inspect(example)).map(({ consumer }) => consumer);
    const refitted = new Set(consumers.flatMap(({ weight, bias }) => [weight, bias]));
    const names = [...expected.graph.initializers.keys()].filter((name) => got.graph.initializers.has(name));
    const untouched = names.filter((name) => !refitted.has(name));
    expect(untouched.length).toBeGreaterThan(40);
    for (const name of untouched) {
      expect(bytesOf(got, name).equals(bytesOf(expected, name)), name).toBe(true);
    }
    const pruned = target.blocks.filter(({ kept, of }) => kept > 0 && kept < of);
    expect(pruned.length).toBeGreaterThan(0);
    const changed = names.filter((name) => !bytesOf(got, name).equals(bytesOf(expected, name)));
    expect(changed.length).toBeGreaterThan(0);
  });

  test('its metric is what `evaluate` finds, paired with the dense model', async () => {
    const [{ metric, file }] = record.targets;
    const evaluate = async (model: string) => {
      const flags = ['--data-evaluation', data.evaluation, '--max-length', '32', '--threads', '1'];
      const { code, stdout } = await ziplm(['evaluate', model, ...flags, '--provider', 'cpu', '--json']);
      expect(code).toBe(0);
      return JSON.parse(stdout);
    };
    const { name, value, low, high } = metric;
    expect(await evaluate(join(output, file))).toEqual({ metric: { name, value, low, high }, rows: 100 });
    expect(await evaluate(example)).toEqual({ metric: record.dense.metric, rows: 100 });
    expect(metric.delta).toBeCloseTo(value - record.dense.metric.value, 12);
  });

  test('its reports are drawn from the record', async () => {
    for (const [format, name] of [
      ['markdown', 'report.md'],
      ['html', 'report.html'],
    ]) {
      const { stdout } = await ziplm(['report', join(output, 'run.json'), '--format', format]);
      expect(readFileSync(join(output, name), 'utf8').trimEnd()).toBe(stdout.trimEnd());
    }
  });

  test('describes the dense model and its own settings', () => {
    const file = join(example, 'model.onnx');
    const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
    expect(record.model).toMatchObject({ file, sha256, bytes: statSync(file).size });
    expect(record.shape).toEqual({ batch: 4, sequence: 32 });
    expect(record.configuration).toMatchObject({ speedups: [1.3], rounds: 3, damping: 0.01 });
    expect(record.provider).toBe('cpu');
    const blocks = record.latencyTable.flatMap((entry) => entry.blocks);
    expect(blocks.sort()).toEqual(record.targets[0].blocks.map(({ id }) => id).sort());
  });
});

describe('the next run', () => {
  /** What says that something was measured or computed. */
  const working = /^(measuring|timing levels|calibrating|pruning blocks|searching|evaluating)\b/m;

  test('of the same settings reuses every stage, says so, and ends in the same result', async () => {
    const again = await runWith({});
    expect(again.code).toBe(outcome.code);
    expect(again.stderr).not.toMatch(working);
    const second = recordIn(output);
    expect(second.targets).toEqual(record.targets);
    expect(second.dense).toEqual(record.dense);
    // Calibration is not kept: what it feeds, the levels, is.
    const kept = Object.keys(record.seconds).filter((chapter) => chapter !== 'calibrate');
    for (const chapter of kept) {
      const stages = second.reused.filter((stage) => stage.split('-')[0] === chapter);
      expect(stages).not.toHaveLength(0);
      for (const stage of stages) expect(again.stderr).toContain(`${stage}: reused from an earlier run`);
    }
    expect(Object.values(second.seconds).reduce((sum, seconds) => sum + seconds, 0)).toBeLessThan(1);
  });

  test('on other evaluation rows evaluates again, and does nothing else', async () => {
    const evaluation = join(folder, 'fewer.jsonl');
    writeFileSync(evaluation, readFileSync(data.evaluation, 'utf8').split('\n', 60).join('\n'));
    const { stderr } = await runWith({ evaluation });
    expect(stderr.match(new RegExp(working, 'gm'))).toEqual(['evaluating', 'evaluating']);
    const { targets } = recordIn(output);
    expect(targets.map(({ sha256, speedup }) => ({ sha256, speedup }))).toEqual(
      record.targets.map(({ sha256, speedup }) => ({ sha256, speedup })),
    );
    expect(targets[0].metric).not.toEqual(record.targets[0].metric);
  });

  test('the verb `profile` finds the table that the run measured', async () => {
    const flags = ['--shape-batch', '4', '--shape-sequence', '32', '--provider', 'cpu', '--threads', '1'];
    const args = ['profile', '--model', example, ...flags, '--output', output, '--json'];
    const { code, stdout, stderr } = await ziplm(args);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/^profile: reused from an earlier run$/m);
    expect(stderr).not.toMatch(/^timing levels\b/m);
    const { latencyTable, modelMs, fixedMs } = JSON.parse(stdout);
    expect({ latencyTable, modelMs, fixedMs }).toEqual({
      latencyTable: record.latencyTable,
      modelMs: record.modelMs,
      fixedMs: record.fixedMs,
    });
  });

  test('to one more speedup keeps the table and the database', async () => {
    const { code, stderr } = await runWith({ speedups: '1.6,1.3' });
    const both = recordIn(output);
    expect(code).toBe(both.targets.every(({ status }) => status === 'met') ? 0 : 1);
    expect(both.reused).toEqual(
      expect.arrayContaining(['profile', ...both.targets[0].blocks.map(({ id }) => `levels-${id}`)]),
    );
    expect(stderr).not.toMatch(/^(timing levels|calibrating|pruning blocks)\b/m);
    // In the order that was asked for.
    expect(both.targets.map(({ target }) => target)).toEqual([1.6, 1.3]);
    for (const target of both.targets) await checkTarget(output, target);
    expect(both.targets[0].sha256).not.toBe(both.targets[1].sha256);
  });
});
