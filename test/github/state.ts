/**
 * What a repository on GitHub holds, and what GitHub does when asked: comments, checks, pull requests, labels,
 * releases with assets, artifacts. Answers are GitHub's own examples with the state laid over them.
 */
import { createHash } from 'node:crypto';
import type { Judge } from './openapi.ts';

/** An object of the API: GitHub's example, with what is known laid over it. */
export type Thing = { id: number; [key: string]: unknown };

export interface Call {
  readonly operation: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: Readonly<Record<string, unknown>>;
  readonly raw: Buffer;
  readonly type: string;
  readonly login: string;
  readonly origin: string;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Thrown by a handler: GitHub's refusal. */
export class Refusal extends Error {
  readonly status: number;
  readonly errors: unknown;
  constructor(status: number, message: string, errors?: unknown) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

export interface Limits {
  /** UTF-16 units of a comment. */
  comment: number;
  summary: number;
}

export interface State {
  readonly repository: string;
  readonly limits: Limits;
  readonly comments: Thing[];
  readonly checks: Thing[];
  readonly pulls: Thing[];
  readonly events: Thing[];
  readonly releases: Thing[];
  readonly artifacts: Thing[];
  /** Assets' and artifacts' bytes, by id. */
  readonly blobs: Map<number, Buffer>;
  /** Who may do what: login → admin, write, read. */
  readonly permissions: Map<string, string>;
  /** An answer, or undefined where the operation has no handler. */
  handle(call: Call): Answer | undefined;
  addComment(issue: number, login: string, body: string): Thing;
  addPull(given: {
    number: number;
    head: string;
    sha: string;
    branch: string;
    base?: string;
    state?: string;
    labels?: readonly string[];
  }): Thing;
  addLabelEvent(issue: number, event: 'labeled' | 'unlabeled', label: string, actor: string): void;
  addRelease(
    given: { tag: string; draft: boolean; immutable?: boolean; body?: string },
    origin: string,
  ): Thing;
  addArtifact(given: {
    name: string;
    zip: Buffer;
    branch?: string;
    runId?: number;
    fork?: boolean;
    size?: number;
  }): Thing;
}

const REPOSITORY_ID = 1296269;
const FORK_ID = 998877;

export function openState(judge: Judge, repository: string): State {
  let lastId = 1000;
  let clock = Date.parse('2026-03-14T09:00:00Z');
  const id = () => ++lastId;
  const now = () => {
    clock += 1000;
    return new Date(clock).toISOString().replace('.000', '');
  };
  const limits: Limits = { comment: 65_536, summary: 65_535 };
  const comments: Thing[] = [];
  const checks: Thing[] = [];
  const pulls: Thing[] = [];
  const events: Thing[] = [];
  const releases: Thing[] = [];
  const artifacts: Thing[] = [];
  const blobs = new Map<number, Buffer>();
  const permissions = new Map<string, string>();

  const find = (list: readonly Thing[], key: string | number): Thing => {
    const thing = list.find((each) => each.id === Number(key));
    if (thing === undefined) throw new Refusal(404, 'Not Found');
    return thing;
  };
  const remove = (list: Thing[], key: string) => list.splice(list.indexOf(find(list, key)), 1);
  const user = (login: string) => ({
    ...((judge.example('issues/create-comment') as Thing).user as object),
    login,
    type: login.endsWith('[bot]') ? 'Bot' : 'User',
  });
  const issueOf = (call: Call) => Number(call.params.issue_number);

  const addComment: State['addComment'] = (issue, login, body) => {
    if (body.length > limits.comment) {
      throw new Refusal(422, 'Validation Failed', [
        {
          resource: 'IssueComment',
          code: 'unprocessable',
          field: 'data',
          message: `Body is too long (maximum is ${limits.comment} characters)`,
        },
      ]);
    }
    const at = now();
    const made = {
      ...(judge.example('issues/create-comment') as Thing),
      id: id(),
      issue,
      body,
      user: user(login),
      created_at: at,
      updated_at: at,
    };
    comments.push({
      ...made,
      html_url: `https://github.com/${repository}/issues/${issue}#issuecomment-${made.id}`,
    });
    return comments.at(-1)!;
  };

  const addPull: State['addPull'] = (given) => {
    const example = (judge.example('pulls/list') as Thing[])[0];
    const [head, base] = [example.head, example.base] as Record<string, unknown>[];
    const repo = (fullName: string) => ({
      ...(base.repo as object),
      full_name: fullName,
      fork: fullName !== repository,
      id: fullName === repository ? REPOSITORY_ID : FORK_ID,
    });
    const made = {
      ...example,
      id: id(),
      number: given.number,
      state: given.state ?? 'open',
      locked: false,
      requested_teams: [],
      labels: (given.labels ?? []).map((name) => ({
        ...(judge.example('issues/list-labels-on-issue') as Thing[])[0],
        name,
      })),
      head: {
        ...head,
        sha: given.sha,
        ref: given.branch,
        label: `${given.head.split('/')[0]}:${given.branch}`,
        repo: repo(given.head),
      },
      base: { ...base, ref: given.base ?? 'main', repo: repo(repository) },
    };
    pulls.push(made);
    return made;
  };

  const addLabelEvent: State['addLabelEvent'] = (issue, event, label, actor) => {
    const example = (judge.example('issues/list-events') as Thing[])[0];
    const { issue: _, ...rest } = example;
    events.push({
      ...rest,
      id: id(),
      event,
      on: issue,
      label: { name: label, color: 'ededed' },
      actor: user(actor),
      created_at: now(),
    });
  };

  const addRelease: State['addRelease'] = (given, origin) => {
    const key = id();
    const made = {
      ...(judge.example('repos/create-release') as Thing),
      id: key,
      tag_name: given.tag,
      name: given.tag,
      body: given.body ?? '',
      draft: given.draft,
      immutable: given.immutable ?? false,
      assets: [] as Thing[],
      html_url: `https://github.com/${repository}/releases/tag/${given.tag}`,
      upload_url: `${origin}/uploads/repos/${repository}/releases/${key}/assets{?name,label}`,
    };
    releases.push(made);
    return made;
  };

  const addArtifact: State['addArtifact'] = (given) => {
    const example = (judge.example('actions/list-artifacts-for-repo') as { artifacts: Thing[] }).artifacts[0];
    const key = id();
    blobs.set(key, given.zip);
    const made = {
      ...example,
      id: key,
      name: given.name,
      size_in_bytes: given.size ?? given.zip.length,
      expired: false,
      workflow_run: {
        id: given.runId ?? 1,
        repository_id: REPOSITORY_ID,
        head_repository_id: given.fork ? FORK_ID : REPOSITORY_ID,
        head_branch: given.branch ?? 'main',
        head_sha: '0'.repeat(40),
      },
    };
    artifacts.push(made);
    return made;
  };

  const output = (given: unknown) => {
    const { summary } = (given ?? {}) as { summary?: string };
    if ((summary ?? '').length > limits.summary) {
      throw new Refusal(
        422,
        `Invalid request.\n\nOnly ${limits.summary} characters are allowed; ${summary?.length} were supplied.`,
      );
    }
    return given as { annotations?: unknown[] } | undefined;
  };
  const checkWith = (check: Thing, body: Call['body']): Thing => {
    const given = output(body.output);
    const before = check.output as { annotations_count: number };
    const { annotations, ...said } = given ?? {};
    const kept = (check.annotations as unknown[] | undefined) ?? [];
    return Object.assign(check, body, {
      annotations: [...kept, ...(annotations ?? [])],
      output: { ...before, ...said, annotations_count: kept.length + (annotations?.length ?? 0) },
    });
  };
  const assetsOf = (call: Call) => find(releases, call.params.release_id).assets as Thing[];
  const releaseOfAsset = (key: string) => {
    const release = releases.find((each) =>
      (each.assets as Thing[]).some((asset) => asset.id === Number(key)),
    );
    if (release === undefined) throw new Refusal(404, 'Not Found');
    return release;
  };
  const changeable = (release: Thing) => {
    if (release.immutable === true && release.draft === false) {
      throw new Refusal(422, 'Cannot change the assets of an immutable release.');
    }
    return release;
  };

  const handlers: Readonly<Record<string, (call: Call) => Answer>> = {
    'users/get-authenticated': ({ login }) => ({
      status: 200,
      body: { ...(judge.example('users/get-authenticated') as object), login },
    }),
    'repos/get-collaborator-permission-level': ({ params }) => {
      const permission = permissions.get(params.username);
      if (permission === undefined) throw new Refusal(404, `${params.username} is not a user`);
      const example = judge.example('repos/get-collaborator-permission-level') as Thing;
      // GitHub's example breaks its own schema: the user lacks a role. The old field knows three roles only.
      const level = permission === 'triage' ? 'read' : permission === 'maintain' ? 'write' : permission;
      const who = { ...(example.user as object), login: params.username, role_name: permission };
      return { status: 200, body: { permission: level, role_name: permission, user: who } };
    },
    'issues/list-comments': (call) => ({
      status: 200,
      body: comments.filter((each) => each.issue === issueOf(call)),
    }),
    'issues/create-comment': (call) => {
      const pull = pulls.find((each) => each.number === issueOf(call));
      if (pull?.locked === true) throw new Refusal(403, 'Unable to create comment because issue is locked.');
      return { status: 201, body: addComment(issueOf(call), call.login, call.body.body as string) };
    },
    'issues/get-comment': ({ params }) => ({ status: 200, body: find(comments, params.comment_id) }),
    'issues/update-comment': ({ params, body }) => {
      const comment = find(comments, params.comment_id);
      const text = body.body as string;
      if (text.length > limits.comment) addComment(0, '', text);
      return { status: 200, body: Object.assign(comment, { body: text, updated_at: now() }) };
    },
    'issues/delete-comment': ({ params }) => {
      remove(comments, params.comment_id);
      return { status: 204 };
    },
    'issues/list-labels-on-issue': (call) => ({
      status: 200,
      body: (pulls.find((each) => each.number === issueOf(call))?.labels as Thing[]) ?? [],
    }),
    'issues/list-events': (call) => ({
      status: 200,
      body: events.filter((each) => each.on === issueOf(call)),
    }),
    'pulls/list': ({ query }) => {
      const [state, head] = [query.get('state') ?? 'open', query.get('head')];
      const listed = pulls.filter(
        (each) =>
          (state === 'all' || each.state === state) &&
          (head === null || (each.head as { label: string }).label === head),
      );
      return { status: 200, body: listed.toReversed() };
    },
    'checks/create': ({ body }) => {
      const example = judge.example('checks/create') as Thing;
      const blank = {
        ...(example.output as object),
        title: null,
        summary: null,
        text: null,
        annotations_count: 0,
      };
      const fresh = {
        ...example,
        id: id(),
        conclusion: null,
        completed_at: null,
        status: 'queued',
        output: blank,
      };
      checks.push(checkWith(fresh, body));
      return { status: 201, body: checks.at(-1) };
    },
    'checks/get': ({ params }) => ({ status: 200, body: find(checks, params.check_run_id) }),
    'checks/update': ({ params, body }) => ({
      status: 200,
      body: checkWith(find(checks, params.check_run_id), body),
    }),
    'checks/list-for-ref': ({ params, query }) => {
      const name = query.get('check_name');
      const found = checks.filter(
        (each) => each.head_sha === params.ref && (name === null || each.name === name),
      );
      return { status: 200, body: { total_count: found.length, check_runs: found } };
    },
    'repos/list-releases': () => ({ status: 200, body: releases.toReversed() }),
    'repos/create-release': ({ body, origin }) => {
      const tag = body.tag_name as string;
      if (body.draft !== true && releases.some((each) => each.tag_name === tag && each.draft === false)) {
        throw new Refusal(422, 'Validation Failed', [
          { resource: 'Release', code: 'already_exists', field: 'tag_name' },
        ]);
      }
      const made = addRelease({ tag, draft: body.draft === true, body: (body.body as string) ?? '' }, origin);
      return {
        status: 201,
        body: Object.assign(made, { name: body.name ?? tag, prerelease: body.prerelease ?? false }),
      };
    },
    'repos/get-release': ({ params }) => ({ status: 200, body: find(releases, params.release_id) }),
    'repos/get-release-by-tag': ({ params }) => {
      const found = releases.find((each) => each.tag_name === params.tag && each.draft === false);
      if (found === undefined) throw new Refusal(404, 'Not Found');
      return { status: 200, body: found };
    },
    'repos/update-release': ({ params, body }) => ({
      status: 200,
      body: Object.assign(find(releases, params.release_id), body),
    }),
    'repos/delete-release': ({ params }) => {
      remove(releases, params.release_id);
      return { status: 204 };
    },
    'repos/list-release-assets': (call) => ({ status: 200, body: assetsOf(call) }),
    'repos/upload-release-asset': (call) => {
      const assets = changeable(find(releases, call.params.release_id)).assets as Thing[];
      const name = call.query.get('name');
      if (assets.some((asset) => asset.name === name)) {
        throw new Refusal(422, 'Validation Failed', [
          { resource: 'ReleaseAsset', code: 'already_exists', field: 'name' },
        ]);
      }
      const made = {
        ...(judge.example('repos/upload-release-asset') as Thing),
        id: id(),
        name,
        label: call.query.get('label') ?? '',
        state: 'uploaded',
        size: call.raw.length,
        content_type: call.type,
        digest: `sha256:${createHash('sha256').update(call.raw).digest('hex')}`,
      };
      assets.push(made);
      blobs.set(made.id, call.raw);
      return { status: 201, body: made };
    },
    'repos/delete-release-asset': ({ params }) => {
      const assets = changeable(releaseOfAsset(params.asset_id)).assets as Thing[];
      remove(assets, params.asset_id);
      return { status: 204 };
    },
    'actions/list-artifacts-for-repo': ({ query }) => {
      const name = query.get('name');
      const found = artifacts.filter((each) => name === null || each.name === name).toReversed();
      return { status: 200, body: { total_count: found.length, artifacts: found } };
    },
    'actions/list-workflow-run-artifacts': ({ params }) => {
      const found = artifacts.filter((each) => (each.workflow_run as Thing).id === Number(params.run_id));
      return { status: 200, body: { total_count: found.length, artifacts: found } };
    },
    'actions/download-artifact': ({ params, origin }) => {
      find(artifacts, params.artifact_id);
      return { status: 302, headers: { location: `${origin}/storage/${params.artifact_id}?sig=signed` } };
    },
  };

  return {
    repository,
    limits,
    comments,
    checks,
    pulls,
    events,
    releases,
    artifacts,
    blobs,
    permissions,
    handle: (call) => handlers[call.operation]?.(call),
    addComment,
    addPull,
    addLabelEvent,
    addRelease,
    addArtifact,
  };
}
