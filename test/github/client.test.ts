import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createOnce, isApiError, openGitHub } from '../../src/github/client.ts';
import { open } from './open.ts';
import { type FakeGitHub, type Fault, startGitHub } from './server.ts';

let server: FakeGitHub;
beforeEach(async () => {
  server = await startGitHub();
});
afterEach(async () => {
  await server.close();
  expect(server.violations).toEqual([]);
});

const PLACE = { owner: 'octo', repo: 'models' };
const read = (github: ReturnType<typeof open>) =>
  github.api.issues.listComments({ ...PLACE, issue_number: 1 });
const write = (github: ReturnType<typeof open>) =>
  github.api.issues.createComment({ ...PLACE, issue_number: 1, body: 'x' });
const statusOf = async (work: Promise<unknown>) =>
  work.then(
    () => 0,
    (error: unknown) => (isApiError(error) ? error.status : -1),
  );
const soon = () => String(Math.floor(Date.now() / 1000) + 30);

describe('what fails for no reason of ours is repeated', () => {
  test.each<[string, Fault, number, number]>([
    ['429 with retry-after', { status: 429, headers: { 'retry-after': '7' } }, 7000, 7000],
    ['403 with retry-after', { status: 403, headers: { 'retry-after': '3' } }, 3000, 3000],
    [
      '403 of the secondary limit',
      { status: 403, message: 'You have exceeded a secondary rate limit' },
      60_000,
      60_000,
    ],
    [
      '403 of an exhausted limit',
      { status: 403, headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': soon() } },
      25_000,
      32_000,
    ],
    ['502', { status: 502 }, 1000, 1000],
    ['a connection that breaks', { status: 0, effect: 'drop' }, 1000, 1000],
  ])('%s, and waits as long as it is asked to', async (_, fault, least, most) => {
    server.faults.push({ ...fault, times: 1 });
    const github = open(server);
    await read(github);
    expect(github.waits).toHaveLength(1);
    expect(github.waits[0]).toBeGreaterThanOrEqual(least);
    expect(github.waits[0]).toBeLessThanOrEqual(most);
  });

  test('a POST too, where it was refused for the rate: it has had no effect', async () => {
    server.faults.push({ status: 429, headers: { 'retry-after': '1' }, times: 2 });
    await write(open(server));
    expect(server.state.comments).toHaveLength(1);
  });

  test('with growing patience, and not for ever', async () => {
    server.faults.push({ status: 503 });
    const github = open(server);
    expect(await statusOf(read(github))).toBe(503);
    expect(github.waits).toEqual([1000, 4000, 9000, 16_000]);
  });

  test('but not where GitHub asks to wait longer than a job should', async () => {
    server.faults.push({ status: 429, headers: { 'retry-after': '3600' } });
    const github = open(server);
    expect(await statusOf(read(github))).toBe(429);
    expect(github.waits).toEqual([]);
  });
});

describe('what is refused for good is not repeated', () => {
  test.each([400, 401, 403, 404, 410, 422, 451])('%i', async (status) => {
    server.faults.push({ status });
    expect(await statusOf(read(open(server)))).toBe(status);
    expect(server.log).toHaveLength(1);
  });

  test('nor is a POST whose answer was lost, by itself', async () => {
    server.faults.push({ status: 502 });
    expect(await statusOf(write(open(server)))).toBe(502);
    expect(server.log).toHaveLength(1);
  });
});

describe('createOnce', () => {
  const comments = () => server.state.comments.length;
  const lookUp = async () => (comments() > 0 ? 'found' : undefined);

  test.each<[string, Fault['effect'], number]>([
    ['had its effect', 'after', 1],
    ['had none', 'before', 2],
  ])('a POST that %s is made once', async (_, effect, posts) => {
    server.faults.push({ status: 500, times: 1, effect: effect! });
    const github = open(server);
    await createOnce(github, () => write(github).then(() => 'made'), lookUp);
    expect(comments()).toBe(1);
    expect(server.log.filter(({ method }) => method === 'POST')).toHaveLength(posts);
  });

  test('what is refused for good is thrown', async () => {
    server.faults.push({ status: 422 });
    const github = open(server);
    expect(await statusOf(createOnce(github, () => write(github).then(() => 'made'), lookUp))).toBe(422);
  });
});

test('writes go out a second apart, also when they are asked for at once; reads wait for nothing', async () => {
  const waits: number[] = [];
  const clock = { now: () => 0, sleep: async (milliseconds: number) => void waits.push(milliseconds) };
  const github = open(server, { clock });
  await Promise.all([write(github), write(github), read(github), write(github), read(github)]);
  expect(waits).toEqual([1000, 2000]);
});

test('a place that is no owner/name and an empty token are said so', () => {
  const good = { token: 't', apiUrl: server.url, repository: 'a/b', warn() {} };
  expect(() => openGitHub({ ...good, repository: 'a' })).toThrow(/owner\/name, got "a"/);
  expect(() => openGitHub({ ...good, repository: 'a/b/c' })).toThrow(/owner\/name/);
  expect(() => openGitHub({ ...good, token: '' })).toThrow(/there is no token/);
});
