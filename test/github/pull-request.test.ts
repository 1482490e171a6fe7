import { afterEach, beforeEach, expect, test } from 'vitest';
import { findPullRequest } from '../../src/github/pull-request.ts';
import { HEAD, open } from './open.ts';
import { type FakeGitHub, FORBIDDEN, startGitHub } from './server.ts';

let server: FakeGitHub;
beforeEach(async () => {
  server = await startGitHub();
});
afterEach(async () => {
  await server.close();
  expect(server.violations).toEqual([]);
});

const head = { sha: HEAD, branch: 'faster', repository: 'stranger/models' };
const other = 'b'.repeat(40);
const pull = (number: number, given: Partial<Parameters<typeof server.state.addPull>[0]> = {}) =>
  server.state.addPull({ number, head: head.repository, sha: HEAD, branch: head.branch, ...given });

test("a fork's pull request is found by its head", async () => {
  pull(3, { head: 'someone/models' });
  pull(4, { branch: 'other' });
  pull(5, { base: 'develop' });
  expect(await findPullRequest(open(server), head)).toEqual({
    kind: 'found',
    number: 5,
    baseBranch: 'develop',
  });
});

test('of another fork of the same owner it is not', async () => {
  pull(3, { head: 'stranger/models-2' });
  expect(await findPullRequest(open(server), head)).toEqual({ kind: 'none' });
});

test('an open one goes before a closed one', async () => {
  pull(3);
  pull(4, { state: 'closed' });
  expect(await findPullRequest(open(server), head)).toMatchObject({ kind: 'found', number: 3 });
});

test('a closed one is found where there is no other', async () => {
  pull(4, { state: 'closed' });
  expect(await findPullRequest(open(server), head)).toMatchObject({ kind: 'found', number: 4 });
});

test('a branch that has moved on is no error, and not the commit that was measured', async () => {
  pull(3, { sha: other });
  const github = open(server);
  expect(await findPullRequest(github, head)).toEqual({ kind: 'moved', number: 3 });
  expect(github.warnings).toEqual([]);
});

test('it is found among more than a page of others of this branch', async () => {
  for (let i = 1; i <= 130; i++) pull(i, { sha: i === 1 ? HEAD : other, state: 'closed' });
  expect(await findPullRequest(open(server), head)).toMatchObject({ kind: 'found', number: 1 });
});

test('there may be none', async () => {
  expect(await findPullRequest(open(server), head)).toEqual({ kind: 'none' });
});

test('what the token may not see is not there, and a warning says what to add', async () => {
  server.faults.push({ operation: 'pulls/list', status: 403, message: FORBIDDEN });
  const github = open(server);
  expect(await findPullRequest(github, head)).toEqual({ kind: 'none' });
  expect(github.warnings[0]).toContain('pull-requests: read');
});
