import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { publishRelease, type ReleaseRequest } from '../../src/github/release.ts';
import { open } from './open.ts';
import { type FakeGitHub, FORBIDDEN, startGitHub } from './server.ts';
import type { Thing } from './state.ts';

let server: FakeGitHub;
let folder: string;
let request: ReleaseRequest;
beforeEach(async () => {
  server = await startGitHub();
  folder = mkdtempSync(join(tmpdir(), 'ziplm-release-'));
  request = {
    tag: 'v1.2.3',
    commit: 'a'.repeat(40),
    name: 'Version 1.2.3',
    notes: ['the whole report', 'less'],
    files: [file('models-2x.tar.gz', 'two'), file('models-3x.tar.gz', 'three'), file('run.json', '{}')],
    temporary: join(folder, 'temporary'),
  };
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
  expect(server.violations).toEqual([]);
});

function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}
const releases = () => server.state.releases;
const assets = () =>
  (releases()[0].assets as Thing[]).map(
    ({ id, name }) => [name, server.state.blobs.get(id)!.toString()] as const,
  );
const calls = (operation: string) => server.log.filter((each) => each.operation === operation).length;
const sha256 = (content: string) => createHash('sha256').update(content).digest('hex');
const SUMS = [
  `${sha256('two')}  models-2x.tar.gz`,
  `${sha256('three')}  models-3x.tar.gz`,
  `${sha256('{}')}  run.json`,
  '',
].join('\n');
const ALL = [
  ['models-2x.tar.gz', 'two'],
  ['models-3x.tar.gz', 'three'],
  ['run.json', '{}'],
  ['SHA256SUMS', SUMS],
];

test('it is a draft until every asset is there; then it is published', async () => {
  const drafts: unknown[] = [];
  server.after = ({ operation }) => {
    if (operation === 'repos/upload-release-asset') drafts.push(releases()[0].draft);
  };
  const result = await publishRelease(open(server), request);
  expect(result).toMatchObject({ isDraft: false, uploaded: ALL.map(([name]) => name), kept: [] });
  expect(drafts).toEqual([true, true, true, true]);
  expect(releases()).toMatchObject([
    {
      tag_name: 'v1.2.3',
      name: 'Version 1.2.3',
      draft: false,
      body: expect.stringContaining('the whole report'),
    },
  ]);
  expect(assets()).toEqual(ALL);
});

test('run again, it changes nothing', async () => {
  await publishRelease(open(server), request);
  const again = await publishRelease(open(server), request);
  expect(again).toMatchObject({ uploaded: [], kept: ALL.map(([name]) => name) });
  expect(releases()).toHaveLength(1);
  expect(calls('repos/upload-release-asset')).toBe(4);
});

test('what was stopped half way is gone on with', async () => {
  const github = open(server);
  server.before = ({ operation }) => {
    // The third upload breaks, and whatever repeats it.
    if (operation === 'repos/upload-release-asset' && assets().length === 2) throw new Error('stopped');
  };
  expect(await publishRelease(github, request)).toBeUndefined();
  expect(releases()).toMatchObject([{ draft: true }]);
  server.before = undefined;
  const again = await publishRelease(open(server), request);
  expect(again).toMatchObject({ isDraft: false, kept: ['models-2x.tar.gz', 'models-3x.tar.gz'] });
  expect(assets()).toEqual(ALL);
});

test('an asset of another content, or whose upload broke off, is replaced', async () => {
  await publishRelease(open(server), request);
  const [first, second] = releases()[0].assets as Thing[];
  first.state = 'open';
  second.digest = `sha256:${'0'.repeat(64)}`;
  const again = await publishRelease(open(server), request);
  expect(again).toMatchObject({ uploaded: ['models-2x.tar.gz', 'models-3x.tar.gz'] });
  expect(
    assets()
      .map(([name]) => name)
      .sort(),
  ).toEqual(ALL.map(([name]) => name).sort());
});

test.each(['after', 'drop'] as const)(
  'an upload whose answer was lost (%s) is not made twice',
  async (effect) => {
    server.faults.push({ operation: 'repos/upload-release-asset', status: 502, every: 2, times: 1, effect });
    await publishRelease(open(server), request);
    expect(assets()).toEqual(ALL);
  },
);

test('502 on every third call changes nothing', async () => {
  server.faults.push({ status: 502, every: 3 });
  const github = open(server);
  expect(await publishRelease(github, request)).toMatchObject({ isDraft: false });
  expect(assets()).toEqual(ALL);
  expect(github.warnings).toEqual([]);
});

test('two jobs at once end with one release and every asset', async () => {
  const results = await Promise.all([1, 2].map(() => publishRelease(open(server), request)));
  expect(results.every((result) => result !== undefined)).toBe(true);
  expect(releases()).toHaveLength(1);
  expect(
    assets()
      .map(([name]) => name)
      .sort(),
  ).toEqual(ALL.map(([name]) => name).sort());
});

describe('releases that others made', () => {
  test('a published one is given the assets, and stays as it is', async () => {
    server.state.addRelease({ tag: 'v1.2.3', draft: false, body: 'theirs' }, server.url);
    await publishRelease(open(server), request);
    expect(releases()).toMatchObject([{ body: 'theirs', draft: false }]);
    expect(assets()).toEqual(ALL);
    expect(calls('repos/update-release')).toBe(0);
  });

  test('a draft is filled, and left to them to publish', async () => {
    server.state.addRelease({ tag: 'v1.2.3', draft: true, body: 'theirs' }, server.url);
    expect(await publishRelease(open(server), request)).toMatchObject({ isDraft: true });
    expect(releases()).toMatchObject([{ body: 'theirs', draft: true }]);
  });

  test('of another tag are not looked at, over pages', async () => {
    for (let i = 0; i < 120; i++) server.state.addRelease({ tag: `v0.${i}`, draft: i % 2 === 0 }, server.url);
    await publishRelease(open(server), request);
    expect(releases()).toHaveLength(121);
  });

  test('an immutable one that lacks something is an error; one that has all of it is not', async () => {
    const github = open(server);
    server.state.addRelease({ tag: 'v1.2.3', draft: false, immutable: true }, server.url);
    await expect(publishRelease(github, request)).rejects.toThrow(/immutable and has no models-2x\.tar\.gz/);
    releases()[0].immutable = false;
    await publishRelease(github, request);
    releases()[0].immutable = true;
    expect(await publishRelease(github, request)).toMatchObject({ kept: ALL.map(([name]) => name) });
    writeFileSync(join(folder, 'run.json'), '{"other":1}');
    await expect(publishRelease(github, request)).rejects.toThrow(/immutable and has another run\.json/);
  });
});

describe('files', () => {
  test('over 2 GiB are an error before anything is asked', async () => {
    truncateSync(join(folder, 'models-2x.tar.gz'), 2 ** 31);
    await expect(publishRelease(open(server), request)).rejects.toThrow(
      /2147483648 bytes, expected at most 2147483647/,
    );
    expect(server.log).toEqual([]);
  });

  test.each(['a b.gz', 'ü.gz', '-x'])(
    'with the name %s, which GitHub would change, are an error',
    async (name) => {
      const files = [file(name, 'x')];
      await expect(publishRelease(open(server), { ...request, files })).rejects.toThrow(/cannot be called/);
    },
  );

  test('are summed as sha256sum does', async () => {
    await publishRelease(open(server), request);
    expect(readFileSync(join(request.temporary, 'SHA256SUMS'), 'utf8')).toBe(SUMS);
  });
});

test.each(['repos/create-release', 'repos/upload-release-asset', 'repos/update-release'])(
  'without contents: write for %s there is a warning that says what to add',
  async (operation) => {
    server.faults.push({ operation, status: 403, message: FORBIDDEN });
    const github = open(server);
    expect(await publishRelease(github, request)).toBeUndefined();
    expect(github.warnings[0]).toContain('permissions:\n  contents: write\n');
  },
);
