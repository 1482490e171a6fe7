/**
 * Which pull request a finished run belongs to, asked of GitHub and never of what the run left behind: what a run of a
 * fork leaves behind could name any.
 * @module
 */
import type { GitHub } from './client.ts';
import { orWarn } from './permission.ts';

export interface Head {
  /** `workflow_run.head_sha` */
  readonly sha: string;
  /** `workflow_run.head_branch` */
  readonly branch: string;
  /** `workflow_run.head_repository.full_name`: the fork, where it is one. */
  readonly repository: string;
}

export type Found =
  | { readonly kind: 'found'; readonly number: number; readonly baseBranch: string }
  /** The branch has moved on since: nothing is to be said about the old commit, and nothing is wrong. */
  | { readonly kind: 'moved'; readonly number: number }
  | { readonly kind: 'none' };

/**
 * By the head's owner and branch: what GitHub lists by commit lacks the pull requests of forks. Open ones go before
 * closed ones, then those updated last.
 */
export async function findPullRequest(github: GitHub, head: Head): Promise<Found> {
  const { owner, repo, api, paginate } = github;
  const output = { what: 'the pull request of this run', permission: 'pull-requests: read' } as const;
  const listed = await orWarn(github, output, () =>
    paginate(api.pulls.list, {
      owner,
      repo,
      state: 'all',
      head: `${head.repository.split('/')[0]}:${head.branch}`,
      sort: 'updated',
      direction: 'desc',
      per_page: 100,
    }),
  );
  // The filter is by owner, who may have several forks; and a server that ignores it would list everything.
  const ours = (listed ?? [])
    .filter((pull) => same(pull.head.repo?.full_name, head.repository) && pull.head.ref === head.branch)
    .sort((a, b) => Number(b.state === 'open') - Number(a.state === 'open'));
  const exact = ours.find((pull) => pull.head.sha === head.sha);
  if (exact !== undefined) return { kind: 'found', number: exact.number, baseBranch: exact.base.ref };
  const moved = ours.find((pull) => pull.state === 'open');
  return moved === undefined ? { kind: 'none' } : { kind: 'moved', number: moved.number };
}

const same = (a: string | undefined, b: string): boolean => a?.toLowerCase() === b.toLowerCase();
