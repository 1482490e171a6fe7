import { spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunRecord } from '../src/record.ts';
import { ziplm } from './command.ts';
import { sample } from './report/sample.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ziplm-cli-'));
  await writeFile(join(folder, 'run.json'), JSON.stringify(sample));
  await writeFile(join(folder, 'bad.json'), '{"schema": "ziplm/run/9"}');
  await writeFile(join(folder, 'typo.yml'), 'model: m\nspedups: [2]\n');
  await writeFile(join(folder, 'slow.yml'), 'model: m\nspeedups: [1]\n');
  await writeFile(join(folder, 'method.yml'), 'model: m\nmethod: sudden\n');
  await writeFile(join(folder, 'text.onnx'), 'this is no model');
  await writeFile(join(folder, 'list.json'), '[1, 2]');
  await writeFile(join(folder, 'names.json'), '{"mlp.0": ["a"]}');
});
afterAll(() => rm(folder, { recursive: true }));

describe('wrong input ends with 2, one sentence on standard error, and nothing on standard output', () => {
  test.concurrent.each<[string, string, RegExp]>([
    ['a misspelt verb', 'rnu', /^ziplm: unknown command 'rnu'\. Did you mean run\?$/],
    ['a verb like no other', 'xyzzy', /^ziplm: unknown command 'xyzzy'\. Run "ziplm --help"\.$/],
    ['a misspelt flag', 'run --speedup 2', /^ziplm: unknown option '--speedup'\. Did you mean --speedups\?$/],
    [
      'a misspelt global flag',
      'inspect m.onnx --jsn',
      /^ziplm: unknown option '--jsn'\. Did you mean --json\?$/,
    ],
    ['a missing argument', 'inspect', /^ziplm: missing required argument 'model'\./],
    [
      'a missing flag',
      'cut m.onnx --output o.onnx',
      /^ziplm: required option '--remove <file>' not specified\./,
    ],
    ['too many arguments', 'inspect a b', /^ziplm: too many arguments for 'inspect'\./],
    ['a flag without its value', 'run --speedups', /^ziplm: option '--speedups <list>' argument missing\./],
    [
      'an unknown format',
      'report run.json --format pdf',
      /argument 'pdf' is invalid\. Allowed choices are text, markdown, html/,
    ],
    ['a comparison with nothing', 'compare a.onnx', /^ziplm: missing required argument 'others'\./],
    ['no such configuration', 'run none.yml', /^config: none\.yml cannot be read: there is no such file\./],
    ['no configuration at all', 'run', /^config: no model is named and there is no ziplm\.yml in /],
    [
      'an unknown key',
      'run typo.yml',
      /^config: typo\.yml line 2: there is no setting "spedups"\. Did you mean "speedups"\?$/,
    ],
    [
      'a speedup of 1',
      'run slow.yml',
      /^config: slow\.yml line 2: speedups\[0\] must be greater than 1, got 1\.$/,
    ],
    [
      'a speedup below 1 by flag',
      'run --model m --speedups 0.5',
      /^config: --speedups\[0\] must be greater than 1, got 0\.5\.$/,
    ],
    ['a method that is none', 'run method.yml', /method must be one of one-shot, gradual, got "sudden"/],
    ['training without a model', 'train', /^config: no model is named and there is no ziplm\.yml in /],
    [
      'an unknown provider',
      'profile --model m --provider tpu',
      /^config: --provider must be one of auto, cuda, webgpu, cpu, got "tpu"\.$/,
    ],
    ['no such record', 'report none.json', /^record: there is no file none\.json\./],
    ['a record of another schema', 'report bad.json', /^record: bad\.json: schema should be "ziplm\/run\/1"/],
    ['no such model', 'inspect none.onnx', /none\.onnx/],
    ['a file that is no model', 'inspect text.onnx', /text\.onnx/],
    [
      'no such removal',
      'cut text.onnx --remove none.json --output o.onnx',
      /^cut: --remove none\.json cannot be read: there is no such file/,
    ],
    [
      'a removal that is not JSON',
      'cut text.onnx --remove text.onnx --output o.onnx',
      /^cut: --remove text\.onnx cannot be read: Unexpected token/,
    ],
    [
      'a removal that is a list',
      'cut text.onnx --remove list.json --output o.onnx',
      /^cut: --remove list\.json holds \[1,2\], expected \{/,
    ],
    [
      'a removal of names',
      'cut text.onnx --remove names.json --output o.onnx',
      /^cut: --remove names\.json: "mlp\.0" is \["a"\], expected \{/,
    ],
  ])('%s', async (_, line, sentence) => {
    const { code, stdout, stderr } = await ziplm(line.split(' '), { cwd: folder });
    expect(stderr.trimEnd()).toMatch(sentence);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  test('with --json as well', async () => {
    const { code, stdout } = await ziplm(['run', 'typo.yml', '--json'], { cwd: folder });
    expect([code, stdout]).toEqual([2, '']);
  });

  test('no verb shows the help', async () => {
    const { code, stdout, stderr } = await ziplm([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Usage: ziplm');
  });
});

describe('help', () => {
  const verbs = ['run', 'train', 'profile', 'inspect', 'cut', 'compare', 'evaluate', 'report'];

  test.concurrent.each(verbs)(
    'ziplm %s --help has examples and the global flags, and ends with 0',
    async (verb) => {
      const { code, stdout, stderr } = await ziplm([verb, '--help']);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toContain(`Examples:\n  ziplm ${verb}`);
      expect(stdout).toContain('--json');
    },
  );

  test('ziplm --help lists the verbs and the exit codes', async () => {
    const { code, stdout } = await ziplm(['--help']);
    expect(code).toBe(0);
    expect([...stdout.matchAll(/^ {2}([a-z]+) (?:\[|<)/gm)].map(([, verb]) => verb)).toEqual(verbs);
    expect(stdout).toContain('Exit codes: 0 done, 1 ');
  });

  test('ziplm --version', async () => {
    expect((await ziplm(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('report', () => {
  test('text by default, on standard output alone', async () => {
    const { code, stdout, stderr } = await ziplm(['report', 'run.json'], { cwd: folder });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(sample.name);
  });

  test('markdown and html', async () => {
    const markdown = await ziplm(['report', 'run.json', '--format', 'markdown'], { cwd: folder });
    expect(markdown.stdout).toContain('### ZipLM');
    const html = await ziplm(['report', 'run.json', '--format', 'html'], { cwd: folder });
    expect(html.stdout.toLowerCase()).toMatch(/^<!doctype html>/);
  });

  test('--json prints exactly one document, records that belong together merged', async () => {
    const { stdout } = await ziplm(['report', 'run.json', 'run.json', '--json'], { cwd: folder });
    const records: RunRecord[] = JSON.parse(stdout);
    expect(records.map(({ name }) => name)).toEqual([sample.name]);
  });

  test('a reader that goes away early is no failure', () => {
    const program = fileURLToPath(new URL('../src/cli.ts', import.meta.url));
    const line = `"${process.execPath}" "${program}" report run.json --format html | head -c 1; exit \${PIPESTATUS[0]}`;
    const { status, stderr } = spawnSync('bash', ['-c', line], { cwd: folder, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  });

  test.skipIf(process.platform !== 'linux')('a full disk ends with 3', () => {
    const program = fileURLToPath(new URL('../src/cli.ts', import.meta.url));
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [program, 'report', 'run.json'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', full, 'pipe'],
    });
    expect(stderr).toMatch(/^ziplm: this machine has no space left on the disk\. .+\n$/);
    expect(status).toBe(3);
  });
});
