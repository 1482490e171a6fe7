import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CommentRequest, MAX_COMMENT, upsertComment } from '../../src/github/comment.ts';
import { open } from './open.ts';
import { type FakeGitHub, FORBIDDEN, startGitHub } from './server.ts';
import type { Call } from './state.ts';

const BOT = 'github-actions[bot]';
const PULL = 7;

let server: FakeGitHub;
beforeEach(async () => {
  server = await startGitHub();
});
afterEach(async () => {
  await server.close();
  expect(server.violations).toEqual([]);
});

const request = (given: Partial<CommentRequest> = {}): CommentRequest => ({
  pullRequest: PULL,
  title: 'models',
  run: { id: 100, attempt: 1 },
  bodies: ['the whole report\n', 'less\n'],
  ...given,
});
const bodies = () => server.state.comments.map((comment) => comment.body as string);
/** What stands below the marker. */
const texts = () => bodies().map((body) => body.replace(/^<!--.*-->\n/, ''));
const calls = (operation: string) => server.log.filter((each) => each.operation === operation).length;

describe('one comment', () => {
  test('is created, then left alone by the same run, then updated by the next', async () => {
    const github = open(server);
    expect(await upsertComment(github, request())).toMatchObject({ kind: 'created' });
    expect(await upsertComment(github, request())).toMatchObject({ kind: 'unchanged' });
    expect(calls('issues/update-comment')).toBe(0);
    const next = request({ run: { id: 101, attempt: 1 }, bodies: ['news\n'] });
    expect(await upsertComment(github, next)).toMatchObject({
      kind: 'updated',
      id: server.state.comments[0].id,
    });
    expect(texts()).toEqual(['news\n']);
    expect(github.warnings).toEqual([]);
  });

  test('per title: another title has its own', async () => {
    const github = open(server);
    await upsertComment(github, request({ title: 'a' }));
    await upsertComment(github, request({ title: 'b', bodies: ['of b\n'] }));
    await upsertComment(github, request({ title: 'a', bodies: ['again\n'], run: { id: 101, attempt: 1 } }));
    expect(texts()).toEqual(['again\n', 'of b\n']);
  });

  test('whatever the title is, the marker is one line and holds nothing of it', async () => {
    const github = open(server);
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1 }), async (title) => {
        server.state.comments.length = 0;
        await upsertComment(github, request({ title }));
        expect(bodies()[0]).toMatch(/^<!-- ziplm [0-9a-f]{16} 100\.1 -->\nthe whole report\n$/);
      }),
      { numRuns: 20 },
    );
  });
});

describe('strangers', () => {
  test('with our marker, 250 of them, do not make us write to theirs, nor keep us silent', async () => {
    const github = open(server);
    await upsertComment(github, request());
    const [ours] = server.state.comments.splice(0);
    const forged = ours.body as string;
    for (let i = 0; i < 250; i++) {
      // A later run, the same run, and one whose marker stands elsewhere.
      const text = [forged.replace('100.1', '999999.9'), forged, `hello\n${forged}`][i % 3];
      server.state.addComment(PULL, i % 2 ? `stranger-${i}` : 'github-actions', text);
      if (i === 170) server.state.comments.push(ours);
    }
    const before = bodies();
    const result = await upsertComment(github, request({ run: { id: 101, attempt: 1 }, bodies: ['new\n'] }));
    expect(result).toMatchObject({ kind: 'updated', id: ours.id });
    expect(calls('issues/create-comment')).toBe(1);
    const changed = bodies().filter((body, i) => body !== before[i]);
    expect(changed).toEqual([expect.stringMatching(/101\.1 -->\nnew\n$/)]);
  });

  test("another workflow's comment that quotes our marker further below is not ours", async () => {
    const github = open(server);
    await upsertComment(github, request());
    const quoted = `> ${bodies()[0]}`;
    server.state.comments.length = 0;
    server.state.addComment(PULL, BOT, quoted);
    expect(await upsertComment(github, request())).toMatchObject({ kind: 'created' });
    expect(bodies()[0]).toBe(quoted);
  });

  test('whose account is gone do no harm', async () => {
    server.state.addComment(PULL, 'x', 'hello').user = null;
    expect(await upsertComment(open(server), request())).toMatchObject({ kind: 'created' });
  });
});

describe('older runs', () => {
  test.each([
    ['an older run', { id: 99, attempt: 4 }],
    ['an earlier attempt', { id: 100, attempt: 1 }],
  ])('%s that finishes last changes nothing', async (_, run) => {
    const github = open(server);
    await upsertComment(github, request({ run: { id: 100, attempt: 2 } }));
    const before = bodies();
    expect(await upsertComment(github, request({ run, bodies: ['old\n'] }))).toMatchObject({
      kind: 'superseded',
    });
    expect(bodies()).toEqual(before);
    expect(calls('issues/update-comment')).toBe(0);
  });

  test('a re-run of the latest run reports again', async () => {
    const github = open(server);
    await upsertComment(github, request());
    await upsertComment(github, request({ run: { id: 100, attempt: 2 }, bodies: ['again\n'] }));
    expect(texts()).toEqual(['again\n']);
  });

  test('a run that was asleep between its look and its write does not overwrite what came meanwhile', async () => {
    const slow = open(server);
    const fast = open(server);
    await upsertComment(slow, request({ run: { id: 1, attempt: 1 } }));
    let lists = 0;
    server.after = async (call) => {
      if (call.operation !== 'issues/list-comments' || ++lists > 1) return;
      await upsertComment(fast, request({ run: { id: 102, attempt: 1 }, bodies: ['the latest\n'] }));
    };
    const late = await upsertComment(slow, request({ run: { id: 101, attempt: 1 }, bodies: ['late\n'] }));
    expect(late).toMatchObject({ kind: 'superseded' });
    expect(texts()).toEqual(['the latest\n']);
  });

  test('a later run that was overwritten in spite of all writes again', async () => {
    const github = open(server);
    await upsertComment(github, request({ run: { id: 1, attempt: 1 } }));
    const old = bodies()[0].replace(' 1.1 ', ' 50.1 ');
    let writes = 0;
    server.after = (call) => {
      // Another job's write, begun before ours, lands right after it.
      if (call.operation === 'issues/update-comment' && ++writes === 1) server.state.comments[0].body = old;
    };
    await upsertComment(github, request({ run: { id: 101, attempt: 1 }, bodies: ['latest\n'] }));
    expect(texts()).toEqual(['latest\n']);
  });
});

describe('races', () => {
  /** Holds the answers to the first `count` calls of an operation until all of them have come. */
  function barrier(operation: string, count: number): void {
    const waiting: (() => void)[] = [];
    server.after = (call: Call) => {
      if (call.operation !== operation || waiting.length >= count) return;
      return new Promise<void>((go) => {
        waiting.push(go);
        if (waiting.length === count) for (const each of waiting) each();
      });
    };
  }

  test.each([2, 3, 5])(
    '%i jobs that find no comment at the same time leave one, with the latest run',
    async (jobs) => {
      barrier('issues/list-comments', jobs);
      const runs = Array.from({ length: jobs }, (_, i) => ({ id: 100 + ((i * 7) % jobs), attempt: 1 }));
      await Promise.all(
        runs.map((run) => upsertComment(open(server), request({ run, bodies: [`of run ${run.id}\n`] }))),
      );
      expect(calls('issues/create-comment')).toBe(jobs);
      expect(texts()).toEqual([`of run ${100 + jobs - 1}\n`]);
    },
  );

  test('duplicates that are there already become the oldest one, with the text of the latest', async () => {
    const github = open(server);
    await upsertComment(github, request());
    const [first] = server.state.comments;
    const second = server.state.addComment(
      PULL,
      BOT,
      (first.body as string).replace('100.1 -->\nthe whole', '105.1 -->\nlater'),
    );
    server.state.addComment(PULL, BOT, (first.body as string).replace('100.1', '102.1'));
    const result = await upsertComment(github, request({ run: { id: 104, attempt: 1 } }));
    expect(result).toMatchObject({ kind: 'superseded', id: first.id });
    expect(bodies()).toEqual([second.body]);
  });

  test('a comment that is deleted between the look and the write is made anew', async () => {
    const github = open(server);
    await upsertComment(github, request());
    server.before = (call) => {
      if (call.operation === 'issues/update-comment') server.state.comments.length = 0;
      if (call.operation === 'issues/update-comment') server.before = undefined;
    };
    const result = await upsertComment(github, request({ run: { id: 101, attempt: 1 }, bodies: ['new\n'] }));
    expect(result).toMatchObject({ kind: 'created' });
    expect(texts()).toEqual(['new\n']);
    expect(github.warnings).toEqual([]);
  });

  test('a duplicate that another job deletes first is no trouble', async () => {
    const github = open(server);
    await upsertComment(github, request());
    server.state.addComment(PULL, BOT, bodies()[0]);
    server.before = (call) => {
      if (call.operation === 'issues/delete-comment') server.state.comments.length = 1;
    };
    await upsertComment(github, request({ run: { id: 101, attempt: 1 } }));
    expect(bodies()).toHaveLength(1);
    expect(github.warnings).toEqual([]);
  });
});

describe('lost answers', () => {
  test.each(['after', 'drop'] as const)(
    'a comment whose creation was answered by an error (%s) is not made twice',
    async (effect) => {
      server.faults.push({ operation: 'issues/create-comment', status: 502, times: 1, effect });
      expect(await upsertComment(open(server), request())).toMatchObject({ kind: 'created' });
      expect(server.state.comments).toHaveLength(1);
    },
  );

  test('a comment that was not created is', async () => {
    server.faults.push({ operation: 'issues/create-comment', status: 502, times: 2 });
    await upsertComment(open(server), request());
    expect(server.state.comments).toHaveLength(1);
  });

  test('502 on every third call changes nothing', async () => {
    server.faults.push({ status: 502, every: 3 });
    const github = open(server);
    for (let i = 0; i < 4; i++) {
      await upsertComment(github, request({ run: { id: 100 + i, attempt: 1 }, bodies: [`run ${i}\n`] }));
    }
    expect(texts()).toEqual(['run 3\n']);
    expect(github.warnings).toEqual([]);
  });
});

describe('length', () => {
  test('the first version that fits is posted, as it is', async () => {
    const long = 'x'.repeat(MAX_COMMENT);
    const fits = 'y'.repeat(MAX_COMMENT - 100);
    await upsertComment(open(server), request({ bodies: [long, fits, 'z'] }));
    expect(texts()).toEqual([fits]);
    expect(bodies()[0].length).toBeLessThanOrEqual(MAX_COMMENT);
  });

  test('when GitHub finds it too long all the same, the next shorter one is, and stays', async () => {
    server.state.limits.comment = 1000;
    const github = open(server);
    const versions = ['a'.repeat(5000), 'b'.repeat(2000), 'c'.repeat(500)];
    expect(await upsertComment(github, request({ bodies: versions }))).toMatchObject({ kind: 'created' });
    expect(texts()).toEqual([versions[2]]);
    await upsertComment(github, request({ bodies: versions, run: { id: 101, attempt: 1 } }));
    expect(texts()).toEqual([versions[2]]);
    expect(github.warnings).toEqual([]);
  });
});

describe('authors', () => {
  test("a personal token's comments are its owner's", async () => {
    server.logins.set('ghp_mona', 'mona');
    const github = open(server, { token: 'ghp_mona' });
    await upsertComment(github, request());
    await upsertComment(github, request({ run: { id: 101, attempt: 1 }, bodies: ['b\n'] }));
    expect(texts()).toEqual(['b\n']);
    expect(github.warnings).toEqual([]);
  });

  test("an app's are found by the name it is told, whatever its case", async () => {
    server.logins.set('ghs_app', 'prune-app[bot]');
    const github = open(server, { token: 'ghs_app' });
    await upsertComment(github, request({ author: 'Prune-App[bot]' }));
    await upsertComment(
      github,
      request({ author: 'Prune-App[bot]', bodies: ['b\n'], run: { id: 101, attempt: 1 } }),
    );
    expect(texts()).toEqual(['b\n']);
    expect(github.warnings).toEqual([]);
  });

  test('an app that nobody named learns its name, says so, and ends with one comment', async () => {
    server.logins.set('ghs_app', 'prune-app[bot]');
    const github = open(server, { token: 'ghs_app' });
    await upsertComment(github, request());
    await upsertComment(github, request({ run: { id: 101, attempt: 1 }, bodies: ['b\n'] }));
    expect(texts()).toEqual(['b\n']);
    expect(github.warnings[0]).toContain('Set comment-author: prune-app[bot]');
  });
});

describe('refusals', () => {
  test.each(['issues/list-comments', 'issues/create-comment'])(
    'a token that lacks the permission for %s costs the comment only, and is told what to add',
    async (operation) => {
      server.faults.push({ operation, status: 403, message: FORBIDDEN });
      const github = open(server);
      expect(await upsertComment(github, request())).toBeUndefined();
      expect(github.warnings).toHaveLength(1);
      expect(github.warnings[0]).toContain('permissions:\n  contents: read\n  pull-requests: write\n');
      expect(server.state.comments).toEqual([]);
    },
  );

  test('a locked conversation is said to be locked, not forbidden', async () => {
    const pull = { number: PULL, head: 'octo/models', sha: 'a'.repeat(40), branch: 'b' };
    server.state.addPull(pull).locked = true;
    const github = open(server);
    expect(await upsertComment(github, request())).toBeUndefined();
    expect(github.warnings[0]).toContain('locked');
    expect(github.warnings[0]).not.toContain('permissions:');
  });
});
