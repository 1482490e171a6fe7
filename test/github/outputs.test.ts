/** What holds of everything that the room does: one output's trouble is its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { beginCheck, completeCheck } from '../../src/github/check.ts';
import { upsertComment } from '../../src/github/comment.ts';
import { explain } from '../../src/github/permission.ts';
import { findPullRequest } from '../../src/github/pull-request.ts';
import { baseRecords, downloadRecords } from '../../src/github/records.ts';
import { publishRelease } from '../../src/github/release.ts';
import { commentVersions } from '../../src/report/comment.ts';
import { sample } from '../report/sample.ts';
import { HEAD, open } from './open.ts';
import { type FakeGitHub, FORBIDDEN, startGitHub } from './server.ts';
import { zipped } from './zipped.ts';

let server: FakeGitHub;
let place: string;
beforeEach(async () => {
  server = await startGitHub();
  place = mkdtempSync(join(tmpdir(), 'ziplm-outputs-'));
  writeFileSync(join(place, 'run.json'), JSON.stringify(sample));
  server.state.addPull({ number: 7, head: 'stranger/models', sha: HEAD, branch: 'faster' });
  const zip = zipped([{ path: 'run.json', content: JSON.stringify(sample) }]);
  server.state.addArtifact({ name: 'ziplm-record', zip, runId: 55 });
});
afterEach(async () => {
  await server.close();
  rmSync(place, { recursive: true });
  expect(server.violations).toEqual([]);
});

/** All that a report and a release do; what came of each. */
async function everything(github = open(server)) {
  const run = { id: 100, attempt: 1 };
  const check = await beginCheck(github, { name: 'ziplm', headSha: HEAD, run });
  const pull = await findPullRequest(github, { sha: HEAD, branch: 'faster', repository: 'stranger/models' });
  const found = await downloadRecords(github, { prefix: 'ziplm-record', runId: 55, temporary: place });
  const base = await baseRecords(github, { branch: 'main', records: found, comparable: () => true });
  const bodies = [...commentVersions([sample])];
  const comment = await upsertComment(github, { pullRequest: 7, title: 'models', run, bodies });
  if (check !== undefined) {
    await completeCheck(github, check, { conclusion: 'success', title: 'met', summaries: bodies });
  }
  const files = [join(place, 'run.json')];
  const release = await publishRelease(github, {
    tag: 'v1',
    name: 'v1',
    notes: bodies,
    files,
    temporary: place,
  });
  return {
    check: server.state.checks.at(-1)?.status === 'completed',
    pull: pull.kind === 'found',
    records: found.length === 1,
    base: base.length === 1,
    comment: comment !== undefined,
    release: release?.isDraft === false,
    warnings: github.warnings,
  };
}

test('all of it comes about, and every call was as GitHub has it', async () => {
  expect(await everything()).toEqual({
    check: true,
    pull: true,
    records: true,
    base: true,
    comment: true,
    release: true,
    warnings: [],
  });
});

describe('403 on', () => {
  test.each<[string, string, readonly string[]]>([
    ['checks/create', 'checks: write', ['check']],
    ['checks/update', 'checks: write', ['check']],
    ['pulls/list', 'pull-requests: read', ['pull']],
    // Without records there is nothing that a base could be found for.
    ['actions/list-workflow-run-artifacts', 'actions: read', ['records', 'base']],
    ['actions/list-artifacts-for-repo', 'actions: read', ['base']],
    ['actions/download-artifact', 'actions: read', ['records', 'base']],
    ['issues/list-comments', 'pull-requests: write', ['comment']],
    ['issues/create-comment', 'pull-requests: write', ['comment']],
    ['repos/get-release-by-tag', 'contents: write', ['release']],
    ['repos/list-releases', 'contents: write', ['release']],
    ['repos/create-release', 'contents: write', ['release']],
    ['repos/list-release-assets', 'contents: write', ['release']],
    ['repos/upload-release-asset', 'contents: write', ['release']],
    ['repos/update-release', 'contents: write', ['release']],
  ])('%s costs what needs "%s", and nothing else', async (operation, permission, lost) => {
    server.faults.push({ operation, status: 403, message: FORBIDDEN });
    const { warnings, ...came } = await everything();
    const missing = Object.entries(came)
      .filter(([, is]) => !is)
      .map(([name]) => name);
    expect(missing).toEqual(lost);
    expect(warnings.length).toBeGreaterThan(0);
    const yaml = /permissions:\n((?: {2}[\w-]+: \w+\n)+)/.exec(warnings[0])?.[1] ?? '';
    expect(yaml).toContain(`  ${permission}\n`);
    expect(yaml).toContain('  contents: ');
  });
});

test('502 on every third call of any kind changes nothing', async () => {
  server.faults.push({ status: 502, every: 3 });
  const { warnings, ...came } = await everything();
  expect(Object.values(came).every(Boolean)).toBe(true);
  expect(warnings).toEqual([]);
});

test('a rate limit on every fourth call is waited out', async () => {
  server.faults.push({ status: 429, headers: { 'retry-after': '2' }, every: 4 });
  const github = open(server);
  const { warnings, ...came } = await everything(github);
  expect(Object.values(came).every(Boolean)).toBe(true);
  expect(warnings).toEqual([]);
  expect(github.waits).toContain(2000);
});

test('when GitHub is down altogether there are warnings, and no error', async () => {
  server.faults.push({ status: 503 });
  const { warnings, ...came } = await everything();
  expect(Object.values(came).some(Boolean)).toBe(false);
  for (const warning of warnings) expect(warning).toContain('several times');
});

test('a warning is short, whatever GitHub answers', () => {
  const error = Object.assign(new Error('x'.repeat(10_000)), { status: 418 });
  expect(explain({ what: 'the comment', permission: 'pull-requests: write' }, error).length).toBeLessThan(
    500,
  );
});
