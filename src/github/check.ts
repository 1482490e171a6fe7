/**
 * The check run: in progress from the start, completed whatever happens, on the head commit of the pull request.
 * @module
 */
import type { GitHub, Run } from './client.ts';

export interface CheckRequest {
  /** Branch protection matches by name: keep it the same from run to run. */
  readonly name: string;
  /** `pull_request.head.sha`, never the merge commit that GITHUB_SHA is. */
  readonly headSha: string;
  readonly run: Run;
  readonly detailsUrl?: string;
}

export interface Conclusion {
  /** `neutral`: inconclusive. */
  readonly conclusion: 'success' | 'failure' | 'neutral' | 'cancelled';
  readonly title: string;
  /** From whole to shortest; the first that fits is shown. */
  readonly summaries: Iterable<string>;
  readonly annotations?: readonly Annotation[];
}

export interface Annotation {
  /** A file of the repository, and a line of it: as a rule ziplm.yml's `speedups`. */
  readonly path: string;
  readonly line: number;
  readonly level: 'notice' | 'warning' | 'failure';
  readonly message: string;
}

/** @returns the check's id, to keep for `completeCheck`; undefined when it may not be made, which has been warned of */
export declare function beginCheck(github: GitHub, request: CheckRequest): Promise<number | undefined>;

/** Completes a check, also one that is completed already (a re-run of the post step does no harm). */
export declare function completeCheck(github: GitHub, id: number, end: Conclusion): Promise<void>;

/** For the step that runs even when the job was cancelled: ends the check only if nothing else has. */
export declare function abandonCheck(github: GitHub, id: number): Promise<void>;
