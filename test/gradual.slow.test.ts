/** A small gradual run: each target pruned from the one before and recovered, also when it is killed in the middle of a training. */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config.ts';
import { evaluateClassification } from '../src/evaluate/classification.ts';
import { klDivergence } from '../src/evaluate/losses.ts';
import { openModel } from '../src/onnx/load.ts';
import { silent } from '../src/progress.ts';
import { openDataset, openModelFolder } from '../src/recipe/job.ts';
import { parseRecord, type RunRecord } from '../src/record.ts';
import { openSession } from '../src/runtime/session.ts';
import { analyse } from '../src/structure/analyse.ts';
import { type Outcome, ziplm } from './command.ts';
import { example, smallData, smallRun } from './small-run.ts';

let folder: string;
let output: string;
let data: ReturnType<typeof smallData>;
let training: string;
const lessons = { 'train-epochs': 3, 'train-learning-rate': 5e-4, 'train-checkpoint-every': 5 };
const flagsOf = (settings: Readonly<Record<string, unknown>>) =>
  Object.entries(settings).flatMap(([flag, value]) => [`--${flag}`, String(value)]);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-gradual-'));
  output = join(folder, 'out');
  data = smallData(folder);
  training = join(folder, 'training.jsonl');
  writeFileSync(training, readFileSync(join(example, 'train.jsonl'), 'utf8').split('\n', 400).join('\n'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const runInto = (
  at: string,
  onStart?: NonNullable<Parameters<typeof ziplm>[1]>['onStart'],
): Promise<Outcome> => {
  const own = flagsOf({ method: 'gradual', 'data-training': training, ...lessons });
  const args = smallRun({ ...data, speedups: '3,1.5', output: at });
  return ziplm([...args, ...own, '--json'], onStart && { onStart });
};
const recordIn = (at: string): RunRecord => parseRecord(readFileSync(join(at, 'run.json'), 'utf8'));
const entriesIn = (at: string) => (existsSync(join(at, '.work')) ? readdirSync(join(at, '.work')) : []);

const seen = new Set<string>();

/** Runs until a training that was not seen before has a checkpoint, and kills. */
async function killedInTraining(): Promise<Outcome> {
  const checkpoint = () => entriesIn(output).find((name) => name.endsWith('.train') && !seen.has(name));
  return runInto(output, async (child) => {
    while (checkpoint() === undefined) {
      if (child.exitCode !== null) throw new Error('the run ended before its moment came');
      await sleep(2);
    }
    child.kill('SIGKILL');
    seen.add(checkpoint()!);
  });
}

const recoveredIn = (at: string) => entriesIn(at).filter((name) => /^recover-\w+$/.test(name));

/** KL(dense ‖ model) on the evaluation rows. */
async function divergence(files: readonly string[]): Promise<number[]> {
  const opened = await openModelFolder(example);
  const flags = { model: example, 'data-evaluation': data.evaluation, 'max-length': '32' };
  const rows = await openDataset(opened, loadConfig(null, flags), 'evaluation', silent);
  const answers: Float32Array[] = [];
  for (const file of [join(example, 'model.onnx'), ...files]) {
    await using session = await openSession(file, { threads: 1 });
    answers.push((await evaluateClassification(session, rows.batches)).logits);
  }
  const [dense, ...others] = answers;
  return others.map((logits) => klDivergence(dense, logits, 2));
}

/** Mean KL from the dense model, in nats, below which a cut has lost next to nothing. */
const DAMAGE = 5e-3;

describe('a gradual run', () => {
  let record: RunRecord;

  test.each([0, 1])(
    'killed in the middle of training number %i goes on from its checkpoint',
    async (finished) => {
      const { code, stdout, stderr } = await killedInTraining();
      expect([code, stdout], stderr).toEqual(['SIGKILL', '']);
      expect(recoveredIn(output)).toHaveLength(finished);
      expect(existsSync(join(output, 'run.json'))).toBe(false);
    },
  );

  test('ends with its targets in the order asked for, each trained', async () => {
    const { code, stdout, stderr } = await runInto(output);
    expect([0, 1], stderr).toContain(code);
    record = recordIn(output);
    expect(JSON.parse(stdout)).toEqual(record);
    expect(record.targets.map(({ target }) => target)).toEqual([3, 1.5]);
    for (const { train, file, maskEquivalence } of record.targets) {
      // 360 rows, the tenth set aside, in batches of 32.
      expect(train).toMatchObject({ steps: 36, epochs: 3, stopped: 'finished' });
      expect(train!.validation.map(({ step }) => step)).toEqual([0, 12, 24, 36]);
      expect(train!.best!.loss).toBe(Math.min(...train!.validation.map(({ loss }) => loss)));
      expect(maskEquivalence.maxAbsDiff).toBeLessThan(1e-4);
      expect(existsSync(join(output, file))).toBe(true);
    }
    // What only training needed is gone, and nothing of it is published.
    expect(entriesIn(output).filter((name) => /\.train$|\.f32$|\.partial$/.test(name))).toEqual([]);
    expect(readdirSync(join(output, '3x'))).not.toContain('facts.json');
  });

  test('prunes the second target from what the first one left', () => {
    const three = record.targets[0].blocks;
    const widest = three.map(({ id }) =>
      entriesIn(output)
        .filter((name) => name.startsWith(`levels-${id}-`))
        .map((name) => JSON.parse(readFileSync(join(output, '.work', name, 'levels.json'), 'utf8')))
        .map(({ levels }): readonly number[] => levels[0].structures)
        .toSorted((a, b) => a.length - b.length),
    );
    for (const [b, { of, keptIndices }] of three.entries()) {
      const [left, dense] = [widest[b][0], widest[b].at(-1)!];
      expect(dense).toHaveLength(of);
      for (const index of keptIndices!) expect(left).toContain(index);
    }
    expect(three.some(({ of }, b) => widest[b][0].length < of)).toBe(true);
  });

  test('says what the files hold', async () => {
    for (const { file, blocks } of record.targets) {
      const found = analyse(await openModel(join(output, file))).blocks.map(({ kind, structures }) => [
        kind,
        structures,
      ]);
      const kept = blocks.filter((block) => block.kept > 0).map((block) => [block.kind, block.kept]);
      expect(kept).toEqual(expect.arrayContaining(found));
    }
  });

  // How much a cut loses depends on what the machine measures; where it is next to nothing, so is what can be won back.
  test('recovers what the cuts lost, and never loses more', async () => {
    const factsOf = (name: string) =>
      JSON.parse(readFileSync(join(output, '.work', name, 'facts.json'), 'utf8')) as { parameters: number };
    const cuts = entriesIn(output).filter((name) => /^model-\w+$/.test(name));
    const [{ file, parameters }] = record.targets;
    const own = cuts.filter((name) => factsOf(name).parameters === parameters);
    expect(own).not.toHaveLength(0);
    const { validation, best } = record.targets[0].train!;
    const lost = validation[0].loss;
    const isDamaged = lost > DAMAGE;
    expect(best!.loss).toBeLessThanOrEqual((isDamaged ? 0.9 : 1) * lost);
    for (const { train } of record.targets) {
      expect(train!.best!.loss).toBeLessThanOrEqual(train!.validation[0].loss);
    }
    const [after, ...before] = await divergence([
      join(output, file),
      ...own.map((name) => join(output, '.work', name, 'model.onnx')),
    ]);
    // On other rows than those that the training was judged by, a small loss may grow a little.
    for (const loss of before) expect(after).toBeLessThan(isDamaged ? loss : loss + DAMAGE);
  });

  test('is, byte for byte, what a run gets that measured the same and was never disturbed', async () => {
    const undisturbed = join(folder, 'undisturbed');
    mkdirSync(join(undisturbed, '.work'), { recursive: true });
    for (const stage of entriesIn(output).filter((one) => /^(profile|rounds)-/.test(one))) {
      cpSync(join(output, '.work', stage), join(undisturbed, '.work', stage));
    }
    const { stderr } = await runInto(undisturbed);
    expect(stderr).not.toMatch(/^(measuring:|timing levels)/m);
    const other = recordIn(undisturbed);
    const withoutTime = ({ targets }: RunRecord) =>
      targets.map((target) => ({ ...target, train: { ...target.train, seconds: 0 } }));
    expect(withoutTime(other)).toEqual(withoutTime(record));
  });

  test('finished, it is run again without training anything', async () => {
    const { stderr } = await runInto(output);
    expect(stderr).not.toMatch(/^(training|asking the teacher|measuring|searching)/m);
    expect(recordIn(output).targets).toEqual(record.targets);
  });
});

describe('the verb train', () => {
  let student: string;
  beforeAll(async () => {
    student = join(folder, 'student');
    mkdirSync(student);
    const blocks = analyse(await openModel(join(example, 'model.onnx'))).blocks;
    const removal = Object.fromEntries(
      blocks.map(({ id, structures }) => [
        id,
        Array.from({ length: Math.ceil(structures * 0.6) }, (_, i) => i),
      ]),
    );
    writeFileSync(join(folder, 'remove.json'), JSON.stringify(removal));
    const args = ['cut', example, '--remove', join(folder, 'remove.json')];
    expect((await ziplm([...args, '--output', join(student, 'model.onnx')])).code).toBe(0);
    for (const name of readdirSync(example).filter((one) => /\.json$/.test(one))) {
      copyFileSync(join(example, name), join(student, name));
    }
  });

  test.each([
    ['from labels', {}],
    ['from a teacher', { 'train-teacher': example }],
  ])('makes a model folder %s that is better than what it was given', async (name, more) => {
    const settings = {
      model: student,
      'data-training': training,
      'data-evaluation': data.evaluation,
      'max-length': 32,
      provider: 'cpu',
      threads: 1,
      ...lessons,
      ...more,
      output: join(folder, name),
    };
    const { code, stdout, stderr } = await ziplm(['train', ...flagsOf(settings), '--json']);
    expect(code, stderr).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ folder: join(folder, name, 'trained'), steps: 36, stopped: 'finished' });
    const kl = await divergence([join(student, 'model.onnx'), join(report.folder, 'model.onnx')]);
    if ('train-teacher' in more) expect(kl[1]).toBeLessThan(0.7 * kl[0]);
    expect(report.validation.at(-1).loss).toBeLessThan(report.validation[0].loss);
    expect(report.metric.value).toBeGreaterThanOrEqual(report.before.value);
    const flags = flagsOf({ 'data-evaluation': data.evaluation, 'max-length': 32, threads: 1 });
    const evaluated = await ziplm(['evaluate', report.folder, ...flags, '--provider', 'cpu', '--json']);
    expect(JSON.parse(evaluated.stdout).metric).toEqual(report.metric);
  });
});
