/**
 * Whether what the workspace holds may be read at all: decided from the event, before anything else.
 *
 * A pull request of a fork is a stranger's. What makes it one is that its head is not in this very repository (an owner may
 * have several), or that the head is gone. It is let in by a label that names its head commit in full: a label for "this pull
 * request" would let in whatever is pushed between a maintainer's reading and their click, and times of commits are
 * whatever their author writes. Who set the label is asked of GitHub: someone may label and not write.
 * @module
 */
import { type GitHub, unlessGone } from './client.ts';
import { orWarn } from './permission.ts';

/** The event's name (GITHUB_EVENT_NAME) and payload (the JSON of GITHUB_EVENT_PATH), not yet checked. */
export interface Event {
  readonly name: string;
  readonly payload: unknown;
}

export type Trust =
  | {
      readonly kind: 'trusted';
      /** The commit that a check belongs on: a pull request's head; undefined for other events. */
      readonly headSha: string | undefined;
      readonly pullRequest: PullRequest | undefined;
    }
  /** `reason` is a whole message, with what a maintainer can do. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface PullRequest {
  readonly number: number;
  readonly headSha: string;
  readonly baseBranch: string;
  readonly isFork: boolean;
}

/** Events that take write access to cause, and that run what is in this repository. */
const TRUSTED = [
  'push',
  'workflow_dispatch',
  'repository_dispatch',
  'schedule',
  'release',
  'merge_group',
  'deployment',
];
const FROM_PULL_REQUESTS = ['pull_request', 'pull_request_target'];

/** `ziplm:` and the 40 digits of the commit that a maintainer has read. Fits GitHub's 50 characters. */
export const labelFor = (headSha: string): string => `ziplm:${headSha}`;

/**
 * For `benchmark` and `release`: refuses a fork's pull request and `pull_request_target`, unless someone who may write
 * has labelled the pull request for exactly this commit; and events that anybody can cause.
 */
export async function forkPolicy(github: GitHub, event: Event): Promise<Trust> {
  if (TRUSTED.includes(event.name)) return { kind: 'trusted', headSha: undefined, pullRequest: undefined };
  if (!FROM_PULL_REQUESTS.includes(event.name)) {
    return refused(
      `anybody can cause the event "${event.name}", and what it would measure may be a stranger's`,
      'Benchmark on pull_request, push, workflow_dispatch, schedule or release',
    );
  }
  const pull = pullRequestOf(event.payload);
  if (pull === undefined) {
    return refused(
      `the payload of "${event.name}" has no pull request that could be judged`,
      "Run this by GitHub's own event",
    );
  }
  const trusted = { kind: 'trusted', headSha: pull.headSha, pullRequest: pull } as const;
  if (event.name === 'pull_request' && !pull.isFork) return trusted;
  const labelled = await labelledBy(github, pull);
  if (labelled.kind === 'writer') return trusted;
  const label = labelFor(pull.headSha);
  const what = pull.isFork
    ? `#${pull.number} comes from a fork, and this runner would read its files`
    : '"pull_request_target" hands out the repository\'s secrets';
  return refused(
    `${what}; ${labelled.why}`,
    `When every change up to ${pull.headSha.slice(0, 12)} has been read, someone with write access may allow this one ` +
      `commit: gh label create "${label}" && gh pr edit ${pull.number} --add-label "${label}"`,
  );
}

const refused = (why: string, what: string): Trust => ({
  kind: 'refused',
  reason: `github: nothing was read or run: ${why}. ${what}.`,
});

/** @returns undefined where the payload is not as GitHub's are */
export function pullRequestOf(payload: unknown): PullRequest | undefined {
  const pull = field(payload, 'pull_request');
  const number = field(pull, 'number');
  const headSha = field(pull, 'head', 'sha');
  const baseBranch = field(pull, 'base', 'ref');
  const base = field(pull, 'base', 'repo', 'full_name');
  // A head without a repository is a fork that has been deleted.
  const head = field(pull, 'head', 'repo', 'full_name');
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1) return undefined;
  if (typeof headSha !== 'string' || !/^[0-9a-f]{40}$/.test(headSha)) return undefined;
  if (typeof baseBranch !== 'string' || typeof base !== 'string') return undefined;
  return { number, headSha, baseBranch, isFork: head !== base };
}

/** What is at the end of a path of keys; undefined where the path breaks off. */
export function field(value: unknown, ...path: readonly string[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

type Labelled = { readonly kind: 'writer' } | { readonly kind: 'no'; readonly why: string };

/** Whether the label for the head commit is on the pull request now, and was put there by someone who may write. */
async function labelledBy(github: GitHub, pull: PullRequest): Promise<Labelled> {
  const { owner, repo, api, paginate } = github;
  const label = labelFor(pull.headSha);
  const output = { what: 'a look at the labels', permission: 'pull-requests: read' } as const;
  const judged = await orWarn(github, output, async (): Promise<Labelled> => {
    const issue = { owner, repo, issue_number: pull.number, per_page: 100 };
    const labels = await paginate(api.issues.listLabelsOnIssue, issue);
    if (!labels.some(({ name }) => name === label)) return { kind: 'no', why: `it has no label "${label}"` };
    const events = await paginate(api.issues.listEvents, issue);
    const last = events.findLast((event) => field(event, 'label', 'name') === label);
    const actor = last?.event === 'labeled' ? last.actor?.login : undefined;
    if (actor === undefined) return { kind: 'no', why: `who set its label "${label}" cannot be told` };
    const answer = await unlessGone(
      api.repos.getCollaboratorPermissionLevel({ owner, repo, username: actor }),
    );
    return answer?.data.permission === 'admin' || answer?.data.permission === 'write'
      ? { kind: 'writer' }
      : { kind: 'no', why: `its label was set by ${actor}, who may not write to ${owner}/${repo}` };
  });
  return judged ?? { kind: 'no', why: 'its labels could not be read' };
}
