/**
 * Whether what the workspace holds may be read at all: decided from the event, before anything else.
 * @module
 */
import type { GitHub } from './client.ts';

/** The event's name (GITHUB_EVENT_NAME) and payload (the JSON of GITHUB_EVENT_PATH), not yet checked. */
export interface Event {
  readonly name: string;
  readonly payload: unknown;
}

export type Trust =
  | {
      readonly kind: 'trusted';
      /** The commit that a check belongs on. */
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

/** `ziplm:` and the 40 digits of the commit that a maintainer has read. */
export declare function labelFor(headSha: string): string;

/**
 * For `benchmark` and `release`: refuses a fork's pull request and `pull_request_target`, unless someone who may write
 * has labelled the pull request for exactly this commit; and events that anybody can cause.
 */
export declare function forkPolicy(github: GitHub, event: Event): Promise<Trust>;
