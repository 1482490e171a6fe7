import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { restoreStages, type StagesRequest, saveStages } from '../../src/github/cache.ts';
import { type FakeResults, startResults } from './results.ts';

let results: FakeResults;
let place: string;
let warnings: string[];
beforeEach(async () => {
  results = await startResults();
  place = mkdtempSync(join(tmpdir(), 'ziplm-cache-'));
  warnings = [];
  for (const [name, value] of Object.entries(results.environment)) vi.stubEnv(name, value);
  vi.stubEnv('GITHUB_WORKSPACE', place);
  vi.stubEnv('RUNNER_TEMP', join(place, 'temp'));
  vi.stubEnv('GITHUB_SERVER_URL', 'https://github.com');
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  mkdirSync(join(place, 'temp'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await results.close();
  rmSync(place, { recursive: true });
});

const KEY = '0123456789abcdef';
const request = (name: string, given: Partial<StagesRequest> = {}): StagesRequest => ({
  folder: join(place, name),
  fingerprint: 'gpu-1b22',
  key: 'configuration',
  temporary: join(place, 'temp'),
  warn: (message) => warnings.push(message),
  ...given,
});

function stages(name = 'work'): string {
  const folder = join(place, name);
  mkdirSync(join(folder, `levels-mlp.0-${KEY}`), { recursive: true });
  writeFileSync(join(folder, `profile-${KEY}.json`), '{"a":1}');
  writeFileSync(join(folder, `levels-mlp.0-${KEY}`, 'levels.bin'), 'weights');
  writeFileSync(join(folder, `rounds-${KEY}.json`), '[2.0]');
  writeFileSync(join(folder, `predictions-${KEY}.json`), '[1]');
  mkdirSync(join(folder, `model-${KEY}.partial`), { recursive: true });
  return folder;
}

test('stages come back beside what is there; measurements of models, and what is unfinished, do not', async () => {
  stages();
  expect(await saveStages(request('work'))).toBe(true);
  mkdirSync(join(place, 'next'));
  writeFileSync(join(place, 'next', `profile-${KEY}.json`), '{"mine":1}');
  expect(await restoreStages(request('next'))).toBe(1);
  expect(readdirSync(join(place, 'next')).sort()).toEqual([`levels-mlp.0-${KEY}`, `profile-${KEY}.json`]);
  expect(readFileSync(join(place, 'next', `profile-${KEY}.json`), 'utf8')).toBe('{"mine":1}');
  expect(readFileSync(join(place, 'next', `levels-mlp.0-${KEY}`, 'levels.bin'), 'utf8')).toBe('weights');
  expect(readdirSync(join(place, 'temp')).filter((name) => name.startsWith('ziplm'))).toEqual([]);
  expect(warnings).toEqual([]);
});

test('of equal hardware another configuration takes the newest; other hardware takes nothing', async () => {
  stages();
  await saveStages(request('work'));
  expect(await restoreStages(request('a', { key: 'another' }))).toBe(2);
  expect(await restoreStages(request('b', { fingerprint: 'gpu-1b2' }))).toBe(0);
  expect(await restoreStages(request('c', { fingerprint: 'cpu' }))).toBe(0);
});

test('a key that is there already is not written again', async () => {
  stages();
  await saveStages(request('work'));
  expect(await saveStages(request('work'))).toBe(false);
  expect(results.caches).toHaveLength(1);
});

test('where there is no cache nothing happens', async () => {
  vi.stubEnv('ACTIONS_RESULTS_URL', '');
  expect(await restoreStages(request('a'))).toBe(0);
  expect(await saveStages(request('a'))).toBe(false);
  expect(warnings).toEqual([]);
});

/** Puts an archive of a stranger's making in place of the one that was saved. */
async function replaceCache(make: (archive: string) => void): Promise<void> {
  stages();
  await saveStages(request('work'));
  const archive = join(place, 'forged.tzst');
  make(archive);
  results.blobs.set([...results.blobs.keys()][0], readFileSync(archive));
}

describe('an archive that the client would not have made does not get out of its folder', () => {
  const tar = (archive: string, from: string, ...args: string[]) =>
    execFileSync('tar', ['--use-compress-program', 'zstd', '-P', '-cf', archive, '-C', from, ...args]);
  const evil = () => {
    const folder = join(place, 'evil');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'evil'), 'evil');
    return folder;
  };

  test('by climbing', async () => {
    await replaceCache((archive) => tar(archive, evil(), '--transform=s,^,../outside/,', 'evil'));
    await restoreStages(request('next'));
    await replaceCache((archive) =>
      tar(archive, evil(), '--transform=s,^,ziplm-stages/../../outside/,', 'evil'),
    );
    await restoreStages(request('next'));
    expect(existsSync(join(place, 'outside'))).toBe(false);
  });

  test('by the root', async () => {
    await replaceCache((archive) => tar(archive, evil(), `--transform=s,^,${place}/outside/,`, 'evil'));
    await restoreStages(request('next'));
    expect(existsSync(join(place, 'outside'))).toBe(false);
  });

  test('by a link that it brings along', async () => {
    const folder = evil();
    mkdirSync(join(place, 'outside'));
    mkdirSync(join(folder, 'ziplm-stages'));
    symlinkSync(join(place, 'outside'), join(folder, 'ziplm-stages', 'way'));
    await replaceCache((archive) =>
      tar(archive, folder, 'ziplm-stages/way', '--transform=s,^evil,ziplm-stages/way/evil,', 'evil'),
    );
    await restoreStages(request('next'));
    expect(readdirSync(join(place, 'outside'))).toEqual([]);
  });

  test('by a hard link to what is there', async () => {
    const folder = evil();
    const victim = join(place, `profile-${KEY}.json`);
    writeFileSync(victim, 'precious');
    mkdirSync(join(folder, 'ziplm-stages'));
    linkSync(victim, join(folder, 'ziplm-stages', `profile-${KEY}.json`));
    await replaceCache((archive) => tar(archive, folder, victim, `ziplm-stages/profile-${KEY}.json`));
    await restoreStages(request('next'));
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expect(existsSync(join(place, 'next'))).toBe(false);
  });
});

describe('a cache is left alone that holds', () => {
  const stage = (folder: string) => join(folder, `levels-mlp.0-${KEY}`);
  test.each<[string, (folder: string) => void, RegExp]>([
    ['a link', (folder) => symlinkSync('/etc/passwd', join(stage(folder), 'more.json')), /no regular file/],
    [
      'a link in place of a stage',
      (folder) => symlinkSync('/etc', join(folder, `model-${KEY}`)),
      /no regular file/,
    ],
    [
      'something that may be executed',
      (folder) => chmodSync(join(stage(folder), 'levels.bin'), 0o755),
      /may be executed/,
    ],
    [
      'a program',
      (folder) => writeFileSync(join(stage(folder), 'levels.bin'), '\x7fELF\x02'),
      /is a program/,
    ],
    ['a script', (folder) => writeFileSync(join(stage(folder), 'levels.bin'), '#!/bin/sh'), /is a program/],
    [
      'a library by its name',
      (folder) => writeFileSync(join(stage(folder), 'a.node'), 'x'),
      /no file of a stage/,
    ],
    ['a folder in a stage', (folder) => mkdirSync(join(stage(folder), 'deeper')), /no regular file/],
    [
      'a file that is no stage',
      (folder) => writeFileSync(join(folder, 'package.json'), '{}'),
      /no stage's name/,
    ],
    ['a hidden file', (folder) => writeFileSync(join(folder, '.npmrc'), 'x'), /no stage's name/],
  ])('%s', async (_, spoil, why) => {
    stages();
    await saveStages(request('work'));
    const [[name, archive]] = [...results.blobs];
    // The archive as a stranger would have packed it, by the same tools.
    const bent = join(place, 'bent');
    mkdirSync(bent);
    writeFileSync(join(place, 'cache.tzst'), archive);
    const tar = (...args: string[]) => execFileSync('tar', ['--use-compress-program', 'zstd', ...args]);
    tar('-xf', join(place, 'cache.tzst'), '-C', bent);
    spoil(join(bent, 'ziplm-stages'));
    tar('-cf', join(place, 'bent.tzst'), '-C', bent, 'ziplm-stages');
    results.blobs.set(name, readFileSync(join(place, 'bent.tzst')));

    expect(await restoreStages(request('next'))).toBe(0);
    expect(existsSync(join(place, 'next'))).toBe(false);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(why);
    expect(readdirSync(join(place, 'temp')).filter((entry) => entry.startsWith('ziplm'))).toEqual([]);
  });
});
