/** A run that is killed without warning, again and again, goes on from its last finished stage. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModel } from '../src/onnx/load.ts';
import { parseRecord, type RunRecord } from '../src/record.ts';
import { type Outcome, ziplm } from './command.ts';
import { example, smallData, smallRun } from './small-run.ts';

let folder: string;
let output: string;
let runInto: (at: string, onStart?: NonNullable<Parameters<typeof ziplm>[1]>['onStart']) => Promise<Outcome>;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-resume-'));
  output = join(folder, 'out');
  const data = smallData(folder);
  runInto = (at, onStart) =>
    ziplm([...smallRun({ ...data, speedups: '1.3', output: at }), '--json'], onStart && { onStart });
});
afterAll(() => rmSync(folder, { recursive: true }));

const isPartial = (name: string) => name.endsWith('.partial');
/** Stages, finished or not; a run's lock is none. */
const entriesOf = (at: string) =>
  existsSync(join(at, '.work')) ? readdirSync(join(at, '.work')).filter((name) => name !== 'lock') : [];
/** Finished stages, `NAME-KEY` or `NAME-KEY.json`. */
const finishedIn = (at: string) => entriesOf(at).filter((name) => !isPartial(name));
const nameOf = (stage: string) => stage.replace(/-[0-9a-f]{16}(\.json)?$/, '');
const isStage = (name: string) => (stage: string) => nameOf(stage) === name || stage.startsWith(`${name}-`);
/** When each was written, and which file it is: a stage that is made again differs. */
const identities = (stages: readonly string[]) =>
  Object.fromEntries(
    stages.map((stage) => {
      const { mtimeMs, ino } = statSync(join(output, '.work', stage));
      return [stage, `${ino} at ${mtimeMs}`];
    }),
  );
const recordIn = (at: string): RunRecord => parseRecord(readFileSync(join(at, 'run.json'), 'utf8'));

/** Runs until the stages in `.work` are as `moment` wants them, and kills. */
async function killedAt(moment: (entries: readonly string[]) => boolean): Promise<Outcome> {
  return runInto(output, async (child) => {
    while (!existsSync(join(output, '.work')) || !moment(entriesOf(output))) {
      if (child.exitCode !== null) throw new Error('the run ended before its moment came');
      await sleep(2);
    }
    child.kill('SIGKILL');
  });
}

/** Everything outside `.work` is whole, whatever was going on. */
async function expectNothingHalf(at: string): Promise<void> {
  for (const name of readdirSync(at).filter((entry) => entry !== '.work')) {
    if (name === 'run.json') recordIn(at);
    else if (/^[\d.]+x$/.test(name)) {
      const there = readdirSync(join(at, name));
      expect(there).toEqual(expect.arrayContaining(['config.json', 'model.onnx', 'tokenizer.json']));
      await openModel(join(at, name, 'model.onnx'));
    } else expect(['report.md', 'report.html']).toContain(name);
  }
}

const has = (name: string, count: number) => (entries: readonly string[]) =>
  entries.filter((entry) => !isPartial(entry) && isStage(name)(entry)).length >= count;

/** In the order in which a run comes by them. */
const moments: readonly [string, (entries: readonly string[]) => boolean][] = [
  ['before its first stage', (entries) => entries.length === 0],
  ['after the latency table', has('profile', 1)],
  ['between two blocks', has('levels', 3)],
  ['while a block is pruned', (entries) => has('levels', 6)(entries) && entries.some(isPartial)],
  ['after a search', has('search', 1)],
  ['after a cut', has('model', 1)],
  ['after the first rounds', has('rounds', 1)],
  ['while the family is evaluated', has('predictions', 1)],
];

describe('a run killed at any moment', () => {
  let record: RunRecord;

  test.each(moments)('%s goes on from there', async (_, moment) => {
    const before = finishedIn(output);
    const identity = identities(before);
    const { code, stdout, stderr } = await killedAt(moment);
    expect([code, stdout], stderr).toEqual(['SIGKILL', '']);
    if (before.length > 0) expect(stderr).toContain('profile: reused from an earlier run');
    expect(identities(before)).toEqual(identity);
    await expectNothingHalf(output);
  });

  test('and ends whole', async () => {
    const before = finishedIn(output);
    const identity = identities(before);
    const { code, stdout, stderr } = await runInto(output);
    expect([0, 1]).toContain(code);
    record = recordIn(output);
    expect(JSON.parse(stdout)).toEqual(record);
    for (const stage of before) {
      expect(record.reused).toContain(nameOf(stage));
      expect(stderr).toContain(`${nameOf(stage)}: reused from an earlier run`);
    }
    expect(identities(before)).toEqual(identity);
    expect(entriesOf(output).filter(isPartial)).toEqual([]);
    expect(readdirSync(output).sort()).toEqual(['.work', '1.3x', 'report.html', 'report.md', 'run.json']);
    await expectNothingHalf(output);
  });

  test('in what a run gets that measured the same and was never disturbed', async () => {
    const undisturbed = join(folder, 'undisturbed');
    mkdirSync(join(undisturbed, '.work'), { recursive: true });
    for (const stage of finishedIn(output).filter((one) => /^(profile|rounds)-/.test(one))) {
      cpSync(join(output, '.work', stage), join(undisturbed, '.work', stage));
    }
    const { stderr } = await runInto(undisturbed);
    // Everything that was timed is known, so nothing but the computing itself can differ.
    expect(stderr).not.toMatch(/^(measuring:|timing levels)/m);
    const other = recordIn(undisturbed);
    // Two turns may find one assignment, whose model is then reused within the run; but each kind was computed.
    expect(other.reused).toEqual(expect.arrayContaining(['profile', 'rounds']));
    expect(Object.keys(other.seconds)).toEqual(
      expect.arrayContaining(['levels', 'sensitivity', 'search', 'model', 'predictions']),
    );
    expect(Object.keys(other.seconds)).not.toEqual(expect.arrayContaining(['profile']));
    expect(other.targets).toEqual(record.targets);
    expect(other.dense).toEqual(record.dense);
  });

  test('what was half-written is never taken for a result', async () => {
    const work = join(output, '.work');
    const [levels] = finishedIn(output).filter(isStage('levels-mlp.0'));
    const [search] = finishedIn(output).filter(isStage('search'));
    const [weights] = readdirSync(join(work, levels));
    renameSync(join(work, levels), join(work, `${levels}.partial`));
    truncateSync(join(work, `${levels}.partial`, weights), 10);
    renameSync(join(work, search), join(work, `${search}.partial`));
    truncateSync(join(work, `${search}.partial`), 10);
    unlinkSync(join(output, 'run.json'));

    const { stderr } = await runInto(output);
    const again = recordIn(output);
    expect(again.seconds).toHaveProperty([chapterOf(nameOf(levels))]);
    expect(again.seconds).toHaveProperty([chapterOf(nameOf(search))]);
    expect(again.reused).not.toContain(nameOf(levels));
    expect(stderr).toMatch(/^pruning blocks: done/m);
    expect(again.targets).toEqual(record.targets);
    expect(entriesOf(output).filter(isPartial)).toEqual([]);
  });

  test('a killed run over a finished one leaves the finished models as they were', async () => {
    const file = join(output, '1.3x', 'model.onnx');
    const model = readFileSync(file);
    rmSync(join(output, '.work'), { recursive: true });
    const { code } = await killedAt(has('profile', 1));
    expect(code).toBe('SIGKILL');
    expect(readFileSync(file).equals(model)).toBe(true);
    expect(readdirSync(join(output, '1.3x')).sort()).toEqual(
      readdirSync(example)
        .filter((name) => !/\.(jsonl|yml)$/.test(name))
        .sort(),
    );
    expect(recordIn(output).targets).toEqual(record.targets);
  });
});

/** Stages of one kind are one chapter of `seconds`. */
function chapterOf(stage: string): string {
  return stage.split('-')[0];
}
