import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { baseRecords, downloadRecords, modelLinks } from '../../src/github/records.ts';
import type { RunRecord } from '../../src/record.ts';
import { isComparable } from '../../src/report/base.ts';
import { sample } from '../report/sample.ts';
import { open } from './open.ts';
import { type FakeGitHub, FORBIDDEN, startGitHub } from './server.ts';
import { type Entry, zipped } from './zipped.ts';

let server: FakeGitHub;
let temporary: string;
beforeEach(async () => {
  server = await startGitHub();
  temporary = mkdtempSync(join(tmpdir(), 'ziplm-records-'));
});
afterEach(async () => {
  await server.close();
  rmSync(temporary, { recursive: true });
  expect(server.violations).toEqual([]);
});

const RUN = 55;
const archived = (record: unknown, more: readonly Entry[] = []) =>
  zipped([
    { path: 'run.json', content: typeof record === 'string' ? record : JSON.stringify(record) },
    ...more,
  ]);
const add = (
  name: string,
  zip: Buffer,
  given: Partial<Parameters<typeof server.state.addArtifact>[0]> = {},
) => server.state.addArtifact({ name, zip, runId: RUN, ...given });
const download = (github = open(server)) =>
  downloadRecords(github, { prefix: 'ziplm-record', runId: RUN, temporary });

describe("another run's records", () => {
  test('a matrix of 40 of them, over pages, comes in order of their names', async () => {
    for (let i = 39; i >= 0; i--) {
      add(`ziplm-record-${String(i).padStart(2, '0')}`, archived({ ...sample, name: `model ${i}` }));
      for (let other = 0; other < 3; other++) add(`model-${i}-${other}`, Buffer.from('not looked at'));
    }
    const found = await download();
    expect(found.map(({ record }) => record.name)).toEqual(
      Array.from({ length: 40 }, (_, i) => `model ${i}`),
    );
  });

  test('each with the models that lie beside it', async () => {
    add('ziplm-record-a', archived({ ...sample, targets: sample.targets.slice(0, 2) }));
    add('ziplm-record-b', archived({ ...sample, targets: sample.targets.slice(2) }));
    const models = add('ziplm-models-a', Buffer.from('models'));
    add('ziplm-models-ab', Buffer.from('others'));
    const links = modelLinks(await download(), 'https://github.com/octo/models/actions/runs/55');
    const url = `https://github.com/octo/models/actions/runs/55/artifacts/${models.id}`;
    expect([...links]).toEqual(sample.targets.slice(0, 2).map(({ sha256 }) => [sha256, url]));
  });

  test('of one name the last attempt counts', async () => {
    add('ziplm-record', archived({ ...sample, name: 'first' }));
    add('ziplm-record', archived({ ...sample, name: 'second' }));
    expect((await download()).map(({ record }) => record.name)).toEqual(['second']);
  });

  test('an expired one, and those of other runs, are not there', async () => {
    add('ziplm-record-a', archived(sample)).expired = true;
    add('ziplm-record-b', archived(sample), { runId: 56 });
    expect(await download()).toEqual([]);
  });

  test('more than 64 are 64, and it is said', async () => {
    const small = archived(sample);
    for (let i = 0; i < 70; i++) add(`ziplm-record-${i}`, small);
    const github = open(server);
    expect(await download(github)).toHaveLength(64);
    expect(github.warnings[0]).toContain('70 artifacts');
  });

  test.each<[string, () => Buffer, RegExp]>([
    ['of 50 MB', () => archived({ ...sample, warnings: ['x'.repeat(50e6)] }), /of 500\d+ bytes, more than/],
    [
      'with NaN',
      () => archived(JSON.stringify(sample).replace('"fixedMs":0.4649', '"fixedMs":NaN')),
      /holds no record .*JSON/,
    ],
    [
      'with a number that is none',
      () => archived({ ...sample, fixedMs: null }),
      /fixedMs should be a number/,
    ],
    [
      'that is met without being so',
      () => archived({ ...sample, targets: sample.targets.map((t) => ({ ...t, status: 'met' })) }),
      /holds no record/,
    ],
    [
      'with a foreign pull request in it',
      () => archived({ ...sample, pullRequest: 1 }),
      /unknown key "pullRequest"/,
    ],
    ['of another schema', () => archived({ ...sample, schema: 'ziplm/run/9' }), /schema should be/],
    ['that is no record', () => archived('[]'), /holds no record/],
    ['that is no archive', () => Buffer.from('hello'), /no ZIP file/],
    [
      'with two records',
      () => archived(sample, [{ path: '../../run.json', content: '{}' }]),
      /2 files run\.json/,
    ],
  ])('one %s is left out, and the others stay', async (_, zip, why) => {
    add('ziplm-record-a', zip());
    add('ziplm-record-b', archived(sample));
    const github = open(server);
    expect((await download(github)).map(({ artifact }) => artifact)).toEqual(['ziplm-record-b']);
    expect(github.warnings).toHaveLength(1);
    expect(github.warnings[0]).toMatch(/^github: the artifact "ziplm-record-a" is left out: /);
    expect(github.warnings[0]).toMatch(why);
    expect(github.warnings[0].length).toBeLessThan(600);
  });

  test('what a stranger wrote steers nothing in a warning', async () => {
    const text = '\u202e\n::error::x\u001b[31m\u2028';
    add(`ziplm-record${text}`, archived({ ...sample, [text]: 1 }));
    const github = open(server);
    await download(github);
    expect(github.warnings[0]).toMatch(/is left out: it holds no record/);
    expect(github.warnings[0]).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
  });

  test('one that is too large is not even fetched; one that lies about its size is not read to its end', async () => {
    add('ziplm-record-a', archived(sample), { size: 17 * 2 ** 20 });
    add('ziplm-record-b', Buffer.alloc(17 * 2 ** 20), { size: 100 });
    const github = open(server);
    expect(await download(github)).toEqual([]);
    expect(server.log.filter(({ operation }) => operation === 'actions/download-artifact')).toHaveLength(1);
    expect(github.warnings).toEqual([
      expect.stringMatching(/has 17825792 bytes, more than 16777216/),
      expect.stringMatching(/could not be fetched within 16777216 bytes/),
    ]);
  });

  test('without actions: read there are none, and a warning that says what to add', async () => {
    server.faults.push({ operation: 'actions/list-workflow-run-artifacts', status: 403, message: FORBIDDEN });
    const github = open(server);
    expect(await download(github)).toEqual([]);
    expect(github.warnings[0]).toContain('permissions:\n  contents: read\n  actions: read\n');
  });
});

describe("the base branch's records", () => {
  const now = { artifact: 'ziplm-record', record: sample };
  const base = (github = open(server), records = [now]) =>
    baseRecords(github, { branch: 'main', records, comparable: isComparable });
  const older = (given: Partial<RunRecord>): RunRecord => ({ ...sample, ...given });

  test('the newest one of equal hardware', async () => {
    const other = { ...sample.hardware, fingerprint: 'another' };
    add('ziplm-record', archived(older({ createdAt: '2026-01-01T00:00:00Z' })));
    add('ziplm-record', archived(older({ createdAt: '2026-02-01T00:00:00Z' })));
    add('ziplm-record', archived(older({ hardware: other })));
    expect((await base()).map(({ createdAt }) => createdAt)).toEqual(['2026-02-01T00:00:00Z']);
  });

  test.each<[string, Partial<RunRecord>]>([
    ['of other hardware', { hardware: { ...sample.hardware, fingerprint: 'another' } }],
    ['by another provider', { provider: 'cuda' }],
    ['of another shape', { shape: { batch: 1, sequence: 64 } }],
    ['of another model', { name: 'other' }],
  ])('not one %s', async (_, given) => {
    add('ziplm-record', archived(older(given)));
    expect(await base()).toEqual([]);
  });

  test("not one of a fork's branch of the same name, nor of another branch, nor of another artifact", async () => {
    add('ziplm-record', archived(sample), { fork: true });
    add('ziplm-record', archived(sample), { branch: 'feature' });
    add('ziplm-record-2', archived(sample));
    expect(await base()).toEqual([]);
    expect(server.log.filter(({ operation }) => operation === 'actions/download-artifact')).toEqual([]);
  });

  test('one that is broken makes the one before it count', async () => {
    add('ziplm-record', archived(sample));
    add('ziplm-record', Buffer.from('x'));
    expect(await base()).toHaveLength(1);
  });

  test('without actions: read there is one warning, not one per record', async () => {
    server.faults.push({ operation: 'actions/list-artifacts-for-repo', status: 403, message: FORBIDDEN });
    const github = open(server);
    expect(await base(github, [now, now, now])).toEqual([]);
    expect(github.warnings).toHaveLength(1);
  });
});
