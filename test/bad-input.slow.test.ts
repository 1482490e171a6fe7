/**
 * What bad input gets: one sentence on standard error, exit 2 (3 where the machine lacks something), nothing on
 * standard output, and nothing written.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { graphBuilder } from '../src/onnx/build.ts';
import { newNode } from '../src/onnx/edit.ts';
import { openModel } from '../src/onnx/load.ts';
import { saveModel } from '../src/onnx/save.ts';
import { type Outcome, ziplm } from './command.ts';
import { encoder } from './models/encoder.ts';
import { fixture } from './onnx/fixtures.ts';
import { example, smallRun } from './small-run.ts';

const external = fixture('bert-external-data').folder;

/** Everything that is wrong lies here; the program never runs in it. */
let wrong: string;
let calibration: string;
beforeAll(async () => {
  wrong = mkdtempSync(join(tmpdir(), 'ziplm-wrong-'));
  writeFileSync(join(wrong, 'text.onnx'), 'this is no model');
  writeFileSync(join(wrong, 'empty.onnx'), '');
  mkdirSync(join(wrong, 'nothing'));
  copyFileSync(fixture('bert-optimum').path, join(wrong, 'truncated.onnx'));
  truncateSync(join(wrong, 'truncated.onnx'), 100_000);

  const withWeights = (name: string, location?: string) => {
    const folder = join(wrong, name);
    mkdirSync(folder);
    const model = readFileSync(join(external, 'model.onnx'), 'latin1');
    // A location of the same length leaves the protobuf whole.
    const moved = location === undefined ? model : model.replaceAll('model.onnx_data', location);
    writeFileSync(join(folder, 'model.onnx'), moved, 'latin1');
    return folder;
  };
  const weights = join(external, 'model.onnx_data');
  withWeights('missing');
  withWeights('outside', '../onnx_weights');
  copyFileSync(weights, join(wrong, 'onnx_weights'));
  withWeights('absolute', '/tmp/onnx_model');
  symlinkSync(weights, join(withWeights('linked'), 'model.onnx_data'));
  const short = join(withWeights('short'), 'model.onnx_data');
  copyFileSync(weights, short);
  truncateSync(short, 1000);

  const spoilt = async (name: string, ...nodes: Parameters<typeof newNode>[]) => {
    const model = encoder();
    model.graph.nodes.push(...nodes.map((node) => newNode(...node)));
    await saveModel(model, join(wrong, name));
  };
  await spoilt('cycle.onnx', ['Neg', ['b'], ['a']], ['Neg', ['a'], ['b']]);
  await spoilt('foreign.onnx', ['Run', ['input_ids'], ['z'], [], 'evil.lib']);

  const model = async (name: string, built: ReturnType<typeof encoder>) => {
    mkdirSync(join(wrong, name));
    await saveModel(built, join(wrong, name, 'model.onnx'));
    for (const file of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) {
      copyFileSync(join(example, file), join(wrong, name, file));
    }
  };
  await model('no-blocks', encoder({ layers: 0, vocabulary: 6000 }));
  await model('few-words', encoder({ vocabulary: 50, classes: 2 }));

  calibration = join(wrong, 'calibration.jsonl');
  const rows = readFileSync(join(example, 'train.jsonl'), 'utf8').split('\n', 8);
  writeFileSync(calibration, rows.join('\n'));
  writeFileSync(join(wrong, 'empty.jsonl'), '\n');
  writeFileSync(join(wrong, 'header.csv'), 'text,label\n');
  writeFileSync(join(wrong, 'torn.jsonl'), '{"text": "a", "label": 0}\n{"text": "b", "la');
  writeFileSync(join(wrong, 'sentences.csv'), 'sentence,label\nhello there,0\n');
  writeFileSync(join(wrong, 'third.jsonl'), '{"text": "a", "label": 0}\n{"text": "b", "label": 2}\n');
  writeFileSync(join(wrong, 'named.csv'), 'text,label\nhello there,ham\nbuy now,eggs\n');

  writeFileSync(join(wrong, 'typo.yml'), `model: ${example}\ncalibration_rows: 3\n`);
  const removals = {
    unknown: { 'attention.9': [0] },
    beyond: { 'attention.0': [0, 4] },
    twice: { 'mlp.1': [3, 5, 3] },
    good: { 'mlp.1': [3] },
  };
  for (const [name, removal] of Object.entries(removals)) {
    writeFileSync(join(wrong, `${name}.json`), JSON.stringify(removal));
  }
});
afterAll(() => rmSync(wrong, { recursive: true }));

/** A small run that is right but for what `flags` say, `@` standing for the folder of wrong things. */
const runWith = (flags: string) => [
  ...smallRun({ calibration, evaluation: calibration, speedups: '1.2' }),
  ...at(flags),
];
const at = (line: string) => line.split(' ').map((word) => word.replace(/^@/, `${wrong}/`));

/** Runs in an empty folder, and says what is in there afterwards. */
async function alone(args: readonly string[]): Promise<Outcome & { readonly written: readonly string[] }> {
  const cwd = mkdtempSync(join(tmpdir(), 'ziplm-alone-'));
  try {
    const outcome = await ziplm(args, { cwd });
    return { ...outcome, written: readdirSync(cwd, { recursive: true }).map(String) };
  } finally {
    rmSync(cwd, { recursive: true });
  }
}

function expectOneSentence({ stdout, stderr }: Outcome, sentence: RegExp): void {
  const lines = stderr.trimEnd().split('\n');
  // Before it, only progress of what was still right.
  expect(lines.slice(0, -1).filter((line) => !/^(Provider |tokenizing|warning: )/.test(line))).toEqual([]);
  expect(lines.at(-1)).toMatch(sentence);
  expect(lines.at(-1)).toMatch(/[.?]$/);
  expect(stdout).toBe('');
}

describe('a wrong model ends with 2', () => {
  test.concurrent.each<[string, string, RegExp]>([
    ['no such file', 'inspect @none.onnx', /^model: there is no file or folder ".*none\.onnx"\. Name /],
    ['a folder without a model', 'inspect @nothing', /nothing" holds no \.onnx file\. Export /],
    ['not an ONNX file', 'inspect @text.onnx', /text\.onnx is not an ONNX file/],
    ['an empty file', 'inspect @empty.onnx', /empty\.onnx is empty/],
    [
      'truncated protobuf',
      'inspect @truncated.onnx',
      /truncated\.onnx is truncated: .*fetch or export it again/,
    ],
    ['external data missing', 'inspect @missing', /no file "model\.onnx_data" beside the model/],
    ['external data outside the folder', 'inspect @outside', /lies outside the model's folder/],
    ['external data at an absolute path', 'inspect @absolute', /lies outside the model's folder/],
    ['external data through a symlink', 'inspect @linked', /is reached through a symbolic link/],
    ['external data cut off', 'inspect @short', /has only 1000 bytes/],
    ['a cycle', 'inspect @cycle.onnx', /cycle\.onnx: .*\(Neg\) reads "b" before .* makes it: a cycle/],
    ['a foreign operator', 'inspect @foreign.onnx', /foreign\.onnx: .*\(Run\) is of the domain "evil\.lib"/],
    ['a cycle, compared', 'compare @cycle.onnx @cycle.onnx', /cycle\.onnx: .*a cycle/],
    ['a foreign operator beside a good model', `compare ${example} @foreign.onnx`, /domain "evil\.lib"/],
    ['truncated protobuf, evaluated', 'evaluate @truncated.onnx', /is truncated/],
    ['external data outside, cut', 'cut @outside --remove @good.json --output out.onnx', /lies outside/],
    ['no block, cut', 'cut @no-blocks --remove @good.json --output out.onnx', /no block that can be pruned/],
    ['no block, profiled', 'profile --model @no-blocks', /no block that can be pruned, expected attention/],
  ])('%s', async (_, line, sentence) => {
    const outcome = await alone(at(line));
    expectOneSentence(outcome, sentence);
    expect([outcome.code, outcome.written]).toEqual([2, []]);
  });

  test('what a model may hold: operators of ONNX Runtime itself, and no block at all', async () => {
    const fused = await alone(['inspect', fixture('bert-ort-fused').path, '--json']);
    expect([fused.code, fused.stderr]).toEqual([0, '']);
    const domains = (await openModel(fixture('bert-ort-fused').path)).graph.nodes.map(({ domain }) => domain);
    expect(domains).toContain('com.microsoft');
    const bare = await alone(['inspect', join(wrong, 'no-blocks'), '--json']);
    expect([bare.code, JSON.parse(bare.stdout).blocks]).toEqual([0, []]);
  });
});

describe('a wrong run ends with 2 before anything is measured or written', () => {
  test.concurrent.each<[string, string, RegExp]>([
    ['no such model', '--model @none', /^model: there is no file or folder/],
    ['truncated protobuf', '--model @truncated.onnx', /is truncated/],
    ['external data through a symlink', '--model @linked', /is reached through a symbolic link/],
    ['no prunable block', '--model @no-blocks', /^structure: .* has no block that can be pruned/],
    [
      'a tokenizer of more words',
      '--model @few-words',
      /token id \d+, but the model's embedding has only 50 rows/,
    ],
    ['no tokenizer', `--model ${external}`, /holds no tokenizer\.json/],
    ['no such calibration data', '--data-calibration @none.jsonl', /^data: there is no file ".*none\.jsonl"/],
    ['empty calibration data', '--data-calibration @empty.jsonl', /empty\.jsonl" holds no rows/],
    ['a header without rows', '--data-calibration @header.csv', /header\.csv" holds no rows/],
    ['a row cut off', '--data-calibration @torn.jsonl', /torn\.jsonl.*2/],
    ['no such column', '--data-text txt', /has no column "txt".* Did you mean "text"\?/],
    ['a column of another file', '--data-calibration @sentences.csv', /has no column "text".*"sentence"/],
    ['no column for labels', '--data-label class', /has no column "class"/],
    [
      'a label beyond',
      '--data-calibration @third.jsonl',
      /label 2 is none of the model's \(0 = "ham", 1 = "spam"\)/,
    ],
    ['a label of no name', '--data-calibration @named.csv', /label "eggs" is none of the model's/],
    ['wrong evaluation data', '--data-evaluation @third.jsonl', /third\.jsonl.*label 2 is none/],
    ['a speedup of 1', '--speedups 1,2', /^config: --speedups\[0\] must be greater than 1, got 1\.$/],
    ['a speedup below 1', '--speedups 0.5', /must be greater than 1, got 0\.5\.$/],
    ['a speedup that is no number', '--speedups fast', /^config: --speedups/],
  ])('%s', async (_, flags, sentence) => {
    const outcome = await alone(runWith(flags));
    expectOneSentence(outcome, sentence);
    expect([outcome.code, outcome.written]).toEqual([2, []]);
  });

  test('a key that is not known names the nearest', async () => {
    const outcome = await alone(['run', join(wrong, 'typo.yml')]);
    expectOneSentence(
      outcome,
      /typo\.yml line 2: there is no setting "calibration_rows"\. Did you mean "calibration-rows"\?$/,
    );
    expect([outcome.code, outcome.written]).toEqual([2, []]);
  });

  test('no data to calibrate on', async () => {
    const outcome = await alone(['run', '--model', example]);
    expectOneSentence(outcome, /^config: data\.calibration names no file/);
    expect([outcome.code, outcome.written]).toEqual([2, []]);
  });

  test('an unreachable speedup says the highest that is reachable', async () => {
    const { code, stdout, stderr, written } = await alone(runWith('--speedups 1.2,900'));
    const last = stderr.trimEnd().split('\n').at(-1)!;
    expect(last).toMatch(/^config: a speedup of 900 cannot be reached: .* is [\d.]+ times as fast here/);
    const [, highest] = last.match(/is ([\d.]+) times as fast/)!;
    expect(Number(highest)).toBeGreaterThan(1.2);
    expect(Number(highest)).toBeLessThan(900);
    expect([code, stdout]).toEqual([2, '']);
    // The latency table was measured and is kept; nothing that looks like a result is there.
    expect(written.filter((file) => !/^ziplm-out(\/\.work(\/profile-\w+\.json)?)?$/.test(file))).toEqual([]);
  });
});

describe('a wrong cut ends with 2 and writes nothing', () => {
  test.concurrent.each<[string, string, RegExp]>([
    [
      'an unknown block',
      'unknown',
      /^cut: the model has no block "attention\.9", expected one of attention\.0, mlp\.0, /,
    ],
    [
      'an index out of range',
      'beyond',
      /^cut: attention\.0 holds 4 structures, expected distinct indices 0 to 3, got 4\./,
    ],
    ['an index given twice', 'twice', /^cut: mlp\.1 .* got 3 twice\./],
  ])('%s', async (_, removal, sentence) => {
    const model = fixture('bert-optimum').path;
    const outcome = await alone(at(`cut ${model} --remove @${removal}.json --output out.onnx`));
    expectOneSentence(outcome, sentence);
    expect([outcome.code, outcome.written]).toEqual([2, []]);
  });

  test('an output folder that is not there', async () => {
    const model = fixture('bert-optimum').path;
    const outcome = await alone(at(`cut ${model} --remove @good.json --output nowhere/out.onnx`));
    expectOneSentence(outcome, /^cut: --output nowhere\/out\.onnx: there is no folder .*nowhere\. Make it/);
    expect([outcome.code, outcome.written]).toEqual([2, []]);
  });
});

describe('a machine that lacks something ends with 3', () => {
  test('a provider that is not there', async () => {
    const outcome = await alone(runWith('--provider cuda'));
    expectOneSentence(outcome, /cuda/);
    expect([outcome.code, outcome.written]).toEqual([3, []]);
  });

  test('too little memory', async () => {
    const g = graphBuilder('huge');
    const ids = g.input('input_ids', 'int64', ['batch', 'sequence']);
    const repeated = g.op('Expand', [g.op('Cast', [ids], { to: 1 }), g.ints(2 ** 22, 2 ** 20, 1, 1)]);
    g.output('sum', g.op('ReduceSum', [repeated], { keepdims: 0 }), 'float32', []);
    const file = join(wrong, 'huge.onnx');
    await saveModel(g.model({ opset: 18 }), file);
    const outcome = await alone(['compare', file, file, '--provider', 'cpu', '--rounds', '3']);
    expectOneSentence(outcome, /memory/);
    expect([outcome.code, outcome.written]).toEqual([3, []]);
  });

  /** A file system of so many KiB, where this process may make one. */
  const disk = (kib: number): string | undefined => {
    const folder = mkdtempSync(join(tmpdir(), 'ziplm-disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', folder], { stdio: 'ignore' });
      return folder;
    } catch {
      rmSync(folder, { recursive: true });
      return undefined;
    }
  };
  const unmount = (folder: string) => {
    execFileSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true });
  };

  test('a disk too full for a cut model leaves none', async ({ skip }) => {
    const full = disk(64) ?? skip('file systems cannot be mounted here');
    try {
      const model = fixture('bert-optimum').path;
      const outcome = await alone(at(`cut ${model} --remove @good.json --output ${full}/out.onnx`));
      expectOneSentence(
        outcome,
        /^the disk is full: .*out\.onnx could not be written; free some space and run again\.$/,
      );
      expect([outcome.code, readdirSync(full)]).toEqual([3, []]);
    } finally {
      unmount(full);
    }
  });

  test('a disk that fills up during a run leaves finished stages only', async ({ skip }) => {
    const full = disk(1024) ?? skip('file systems cannot be mounted here');
    try {
      const { code, stdout, stderr } = await alone(runWith(`--output ${full}/out`));
      expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
        /no space left on the disk.* Free some, .*what is finished is kept\.$/,
      );
      expect([code, stdout]).toEqual([3, '']);
      expect(readdirSync(join(full, 'out'))).toEqual(['.work']);
      const stages = readdirSync(join(full, 'out/.work'));
      expect(stages.some((name) => name.startsWith('profile-'))).toBe(true);
      expect(stages.filter((name) => name.endsWith('.partial'))).toEqual([]);
      expect(existsSync(join(full, 'out/run.json'))).toBe(false);
    } finally {
      unmount(full);
    }
  });
});
