import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  abandonCheck,
  beginCheck,
  type CheckRequest,
  type Conclusion,
  completeCheck,
} from '../../src/github/check.ts';
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

const request: CheckRequest = { name: 'ziplm', headSha: HEAD, run: { id: 100, attempt: 1 } };
const end: Conclusion = {
  conclusion: 'success',
  title: 'All 3 targets met',
  summaries: ['the whole', 'less'],
};
const checks = () => server.state.checks;

test('a check is in progress from the start on the head commit, and is completed', async () => {
  const github = open(server);
  const id = await beginCheck(github, request);
  expect(checks()).toMatchObject([
    { id, name: 'ziplm', head_sha: HEAD, status: 'in_progress', conclusion: null },
  ]);
  await completeCheck(github, id!, end);
  expect(checks()).toMatchObject([
    { status: 'completed', conclusion: 'success', output: { title: end.title, summary: 'the whole' } },
  ]);
});

test.each(['after', 'drop'] as const)(
  'a check whose creation was answered by an error (%s) is not made twice',
  async (effect) => {
    server.faults.push({ operation: 'checks/create', status: 502, times: 1, effect });
    const id = await beginCheck(open(server), request);
    expect(checks().map((check) => check.id)).toEqual([id]);
  },
);

test('a re-run makes a new check of the same name', async () => {
  const github = open(server);
  await beginCheck(github, request);
  await beginCheck(github, { ...request, run: { id: 100, attempt: 2 } });
  expect(checks().map((check) => check.name)).toEqual(['ziplm', 'ziplm']);
});

test('what follows a cancelled job completes its check, and leaves a completed one as it is', async () => {
  const github = open(server);
  const cancelled = await beginCheck(github, request);
  const finished = await beginCheck(github, { ...request, name: 'other' });
  await completeCheck(github, finished!, end);
  await abandonCheck(github, cancelled!);
  await abandonCheck(github, finished!);
  expect(checks().map((check) => check.conclusion)).toEqual(['cancelled', 'success']);
});

describe('limits', () => {
  test('the summary is the first version that fits', async () => {
    const github = open(server);
    const id = await beginCheck(github, request);
    await completeCheck(github, id!, { ...end, summaries: ['x'.repeat(65_536), 'y'.repeat(65_535)] });
    expect(checks()[0].output).toMatchObject({ summary: 'y'.repeat(65_535) });
  });

  test('when GitHub finds it too long all the same, the next shorter one is taken', async () => {
    server.state.limits.summary = 100;
    const github = open(server);
    const id = await beginCheck(github, { ...request });
    await completeCheck(github, id!, { ...end, summaries: ['x'.repeat(101), 'short'] });
    expect(checks()[0]).toMatchObject({ status: 'completed', output: { summary: 'short' } });
  });

  test.each([0, 1, 50, 51, 120])('%i annotations arrive, each once, 50 at a time', async (count) => {
    const github = open(server);
    const id = await beginCheck(github, request);
    const annotations = Array.from({ length: count }, (_, i) => ({
      path: 'ziplm.yml',
      line: i + 1,
      level: 'failure' as const,
      message: `target ${i}`,
    }));
    await completeCheck(github, id!, { ...end, annotations });
    const made = (checks()[0].annotations as { message: string }[]).map(({ message }) => message);
    expect(made).toEqual(annotations.map(({ message }) => message));
  });
});

test('without checks: write there is no check, and a warning that says what to add', async () => {
  server.faults.push({ operation: 'checks/create', status: 403, message: FORBIDDEN });
  const github = open(server);
  expect(await beginCheck(github, request)).toBeUndefined();
  expect(github.warnings).toHaveLength(1);
  expect(github.warnings[0]).toContain('permissions:\n  contents: read\n  checks: write\n');
});
