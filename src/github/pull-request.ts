/**
 * Which pull request a finished run belongs to, asked of GitHub and never of what the run left behind.
 * @module
 */
import type { GitHub } from './client.ts';

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

export declare function findPullRequest(github: GitHub, head: Head): Promise<Found>;
