/** GitHub's own example payloads of every event, given to the committed bundle: each ends in a sentence, none in a bug. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exitCodes } from '../../src/exit.ts';
import { type FakeGitHub, startGitHub } from '../github/server.ts';
import { openRunner, type Runner } from './runner.ts';

interface Example {
  readonly name: string;
  readonly examples: readonly Readonly<Record<string, unknown>>[];
}
const events = JSON.parse(
  readFileSync(
    createRequire(import.meta.url).resolve('@octokit/webhooks-examples/api.github.com/index.json'),
    'utf8',
  ),
) as Example[];
const payloadOf = (name: string) => events.find((event) => event.name === name)!.examples[0];

let github: FakeGitHub;
let runner: Runner;
beforeAll(async () => {
  github = await startGitHub();
  runner = openRunner({ GITHUB_API_URL: github.url });
});
afterAll(async () => {
  expect(github.violations).toEqual([]);
  await github.close();
  runner[Symbol.dispose]();
});

/** The workspace holds no configuration: whoever is trusted is told so, others are refused before. */
const judged: Readonly<Record<string, RegExp>> = {
  push: /no model is named/,
  release: /no model is named/,
  workflow_dispatch: /no model is named/,
  repository_dispatch: /no model is named/,
  deployment: /no model is named/,
  issue_comment: /nothing was read or run/,
  issues: /nothing was read or run/,
  workflow_run: /nothing was read or run/,
  fork: /nothing was read or run/,
};

test.each(Object.keys(judged))('a benchmark on the event %s', async (name) => {
  const { code, log } = await runner.run({ inputs: { mode: 'benchmark' }, event: [name, payloadOf(name)] });
  expect(code, log).toBe(exitCodes.input);
  expect(log).toMatch(judged[name]);
});

test('a benchmark on a pull request, of this repository or of another', async () => {
  const payload = payloadOf('pull_request') as {
    pull_request: { head: { repo: { full_name: string } }; base: { repo: { full_name: string } } };
  };
  const { full_name: repository } = payload.pull_request.base.repo;
  const isOwn = payload.pull_request.head.repo.full_name === repository;
  const { code, log } = await runner.run({
    inputs: { mode: 'benchmark' },
    event: ['pull_request', payload],
    env: { GITHUB_REPOSITORY: repository },
  });
  expect(code, log).toBe(exitCodes.input);
  expect(log).toMatch(isOwn ? /no model is named/ : /nothing was read or run/);
});

test('a report on a finished workflow that left no record', async () => {
  const { code, log } = await runner.run({
    inputs: { mode: 'report' },
    event: ['workflow_run', payloadOf('workflow_run')],
  });
  expect(code, log).toBe(exitCodes.input);
  expect(log).toContain('there is nothing to report');
});
