/** What is committed under `dist/`, and what npm makes of the package. */
import { execFile, execFileSync } from 'node:child_process';
import {
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
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bundle } from '../scripts/bundle.ts';

const project = join(import.meta.dirname, '..');
const dist = join(project, 'dist');
const run = promisify(execFile);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-dist-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('dist', () => {
  test('is what `npm run bundle` makes of these sources, byte for byte', async () => {
    const made = await bundle();
    expect(readdirSync(dist).sort()).toEqual([...made.keys()].sort());
    for (const [name, text] of made) {
      // Not `toBe`, which would print megabytes.
      expect(readFileSync(join(dist, name), 'utf8') === text, `dist/${name} is stale: npm run bundle`).toBe(
        true,
      );
    }
  });

  test('names nothing of the machine that it was made on', () => {
    for (const name of readdirSync(dist)) {
      const text = readFileSync(join(dist, name), 'utf8');
      expect(text.includes(project), name).toBe(false);
      expect(/\/(home|root|Users)\/\w+\//.test(text), name).toBe(false);
    }
  });

  test('lists a licence for every package that is in it', () => {
    const sections = readFileSync(join(dist, 'licenses.txt'), 'utf8')
      .split(`\n\n${'-'.repeat(80)}\n\n`)
      .slice(1);
    const names = sections.map((section) => /^(\S+) \d+\.\d+\.\S+: (.+)/.exec(section)?.[1]);
    expect(names).toEqual(
      expect.arrayContaining(['zod', 'yaml', 'commander', '@octokit/rest', '@actions/artifact', 'echarts']),
    );
    for (const section of sections) expect(section.split('\n')[0]).toMatch(/^\S+ \S+: [A-Za-z0-9(]/);
  });

  test('starts where no package is, without ONNX Runtime', () => {
    mkdirSync(join(folder, 'dist'));
    const program = join(folder, 'dist/cli.cjs');
    writeFileSync(program, readFileSync(join(dist, 'cli.cjs')));
    writeFileSync(join(folder, 'package.json'), '{"version":"0.0.0"}');
    const help = execFileSync(process.execPath, [program, '--help'], { cwd: folder, encoding: 'utf8' });
    expect(help).toContain('inspect');
  });
});

describe('the npm package', () => {
  test('installs as it is packed, and its command works on a model', async () => {
    const npm = (args: readonly string[]) =>
      run('npm', [...args, '--no-audit', '--no-fund'], { cwd: folder });
    const { stdout } = await npm([
      'pack',
      project,
      '--json',
      '--ignore-scripts',
      '--pack-destination',
      folder,
    ]);
    const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(['dist/cli.cjs', 'dist/licenses.txt', 'LICENSE', 'README.md']),
    );
    expect(paths.filter((path) => /^(test|scripts|bench)\//.test(path))).toEqual([]);
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    await npm(['install', `./${filename}`, '--prefer-offline', '--ignore-scripts', '--omit=optional']);
    const command = join(folder, 'node_modules/.bin/ziplm');
    expect(existsSync(command)).toBe(true);
    const ziplm = async (...args: string[]) =>
      (await run(process.execPath, [command, ...args], { cwd: folder })).stdout;
    expect(await ziplm('--help')).toContain('Usage: ziplm');
    const { version } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));
    expect((await ziplm('--version')).trim()).toBe(version);
    const model = join(project, 'test/fixtures/bert-optimum/model.onnx');
    expect(JSON.parse(await ziplm('inspect', model, '--json')).blocks[0]).toMatchObject({
      id: 'attention.0',
    });
    // Measuring starts processes of the bundle, which find ONNX Runtime beside it.
    const flags = { 'shape-batch': 1, 'shape-sequence': 4, rounds: 3, provider: 'cpu', threads: 1 };
    const options = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
    const { models } = JSON.parse(await ziplm('compare', model, model, ...options, '--json'));
    expect(models[1].speedup.median).toBeGreaterThan(0);
  });
});
