import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { forkPolicy, labelFor, pullRequestOf } from '../../src/github/trust.ts';
import { HEAD, open } from './open.ts';
import { type FakeGitHub, FORBIDDEN, startGitHub } from './server.ts';

let server: FakeGitHub;
beforeEach(async () => {
  server = await startGitHub({ permissions: { mona: 'admin', paul: 'write', tess: 'triage', rita: 'read' } });
});
afterEach(async () => {
  await server.close();
  expect(server.violations).toEqual([]);
});

interface Head {
  readonly repository?: string | null;
  readonly sha?: string;
}
const payload = ({ repository = 'stranger/models', sha = HEAD }: Head = {}) => ({
  action: 'synchronize',
  pull_request: {
    number: 7,
    head: { sha, ref: 'main', repo: repository === null ? null : { full_name: repository, fork: true } },
    base: { ref: 'main', repo: { full_name: 'octo/models' } },
  },
});
const judge = (name: string, given: unknown, github = open(server)) =>
  forkPolicy(github, { name, payload: given });

/** A pull request with these labels on it, set by someone. */
function labelled(
  label: string,
  actor: string,
  event: 'labeled' | 'unlabeled' = 'labeled',
  isThere = true,
): void {
  const pull = { number: 7, head: 'stranger/models', sha: HEAD, branch: 'main' };
  server.state.addPull({ ...pull, labels: isThere ? [label] : [] });
  server.state.addLabelEvent(7, event, label, actor);
}

describe('without a label', () => {
  test.each(['push', 'workflow_dispatch', 'schedule', 'release', 'merge_group', 'repository_dispatch'])(
    '%s is trusted, and asks GitHub nothing',
    async (name) => {
      expect(await judge(name, {})).toMatchObject({ kind: 'trusted' });
      expect(server.log).toEqual([]);
    },
  );

  test("this repository's own pull request is trusted, also where the repository is itself a fork", async () => {
    expect(await judge('pull_request', payload({ repository: 'octo/models' }))).toEqual({
      kind: 'trusted',
      headSha: HEAD,
      pullRequest: { number: 7, headSha: HEAD, baseBranch: 'main', isFork: false },
    });
    expect(server.log).toEqual([]);
  });

  test.each<[string, Head]>([
    ['of a stranger', {}],
    ['of another repository of the same owner', { repository: 'octo/models-2' }],
    ['whose fork is gone', { repository: null }],
  ])('a pull request %s is refused, and the reason says how to allow it', async (_, head) => {
    const trust = await judge('pull_request', payload(head));
    expect(trust.kind).toBe('refused');
    const { reason } = trust as { reason: string };
    expect(reason).toContain('#7 comes from a fork');
    expect(reason).toContain(`gh label create "ziplm:${HEAD}" && gh pr edit 7 --add-label "ziplm:${HEAD}"`);
  });

  test("pull_request_target is refused, this repository's own too", async () => {
    expect(await judge('pull_request_target', payload({ repository: 'octo/models' }))).toMatchObject({
      kind: 'refused',
    });
  });

  test.each([
    'issue_comment',
    'workflow_run',
    'issues',
    'discussion',
    'watch',
    'fork',
    'pull_request_review',
    '',
  ])('"%s", which anybody can cause, is refused', async (name) => {
    expect(await judge(name, payload({ repository: 'octo/models' }))).toMatchObject({ kind: 'refused' });
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['a text', 'x'],
    ['no pull request', {}],
    ['a commit that is none', payload({ sha: '$(id)' })],
    ['a number that is none', { pull_request: { ...payload().pull_request, number: '7; rm' } }],
    ['a prototype', JSON.parse('{"__proto__": {"pull_request": {}}}')],
  ])('a payload that holds %s is refused', async (_, given) => {
    expect(await judge('pull_request', given)).toMatchObject({ kind: 'refused' });
  });
});

describe('a label lets a fork in', () => {
  test.each(['mona', 'paul'])('that names its head commit, set by %s, who may write', async (actor) => {
    labelled(labelFor(HEAD), actor);
    expect(await judge('pull_request', payload())).toMatchObject({ kind: 'trusted', headSha: HEAD });
    expect(await judge('pull_request_target', payload())).toMatchObject({ kind: 'trusted', headSha: HEAD });
  });
});

describe('a label does not let a fork in', () => {
  const refused = async (why: RegExp) => {
    const trust = await judge('pull_request', payload());
    expect(trust).toMatchObject({ kind: 'refused', reason: expect.stringMatching(why) });
  };

  test('that names the commit before', async () => {
    labelled(labelFor('b'.repeat(40)), 'mona');
    await refused(/has no label/);
  });

  test('that names the commit in short: another with these digits can be made', async () => {
    labelled(labelFor(HEAD).slice(0, -1), 'mona');
    await refused(/has no label/);
  });

  test.each(['tess', 'rita', 'nobody'])('that %s set, who may not write', async (actor) => {
    labelled(labelFor(HEAD), actor);
    await refused(new RegExp(`set by ${actor}, who may not write`));
  });

  test('that has been taken off again', async () => {
    labelled(labelFor(HEAD), 'mona', 'labeled', false);
    await refused(/has no label/);
  });

  test('that a writer took off and someone else set again', async () => {
    labelled(labelFor(HEAD), 'mona');
    server.state.addLabelEvent(7, 'unlabeled', labelFor(HEAD), 'mona');
    server.state.addLabelEvent(7, 'labeled', labelFor(HEAD), 'tess');
    await refused(/set by tess/);
  });

  test('whose event is not among many others', async () => {
    const pull = { number: 7, head: 'stranger/models', sha: HEAD, branch: 'main' };
    server.state.addPull({ ...pull, labels: [labelFor(HEAD)] });
    for (let i = 0; i < 120; i++) server.state.addLabelEvent(7, 'labeled', `other-${i}`, 'mona');
    await refused(/cannot be told/);
  });

  test('that the token may not look at, and a warning says what to add', async () => {
    labelled(labelFor(HEAD), 'mona');
    server.faults.push({ operation: 'issues/list-labels-on-issue', status: 403, message: FORBIDDEN });
    const github = open(server);
    expect(await judge('pull_request', payload(), github)).toMatchObject({ kind: 'refused' });
    expect(github.warnings[0]).toContain('pull-requests: read');
  });
});

test("GitHub's own example payloads of pull requests are understood", () => {
  const examples = JSON.parse(
    readFileSync(
      createRequire(import.meta.url).resolve('@octokit/webhooks-examples/api.github.com/index.json'),
      'utf8',
    ),
  ) as { name: string; examples: { pull_request: { number: number; head: { sha: string } } }[] }[];
  const pulls = examples.find(({ name }) => name === 'pull_request')!.examples;
  expect(pulls.length).toBeGreaterThan(5);
  for (const example of pulls) {
    expect(pullRequestOf(example)).toMatchObject({
      number: example.pull_request.number,
      headSha: example.pull_request.head.sha,
    });
  }
});
