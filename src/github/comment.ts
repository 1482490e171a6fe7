/**
 * One comment per pull request and title, updated in place.
 * @module
 */
import type { GitHub, Run } from './client.ts';

export interface CommentRequest {
  readonly pullRequest: number;
  /** Tells several comments on one pull request apart. */
  readonly title: string;
  /** The run whose results these are: in a `workflow_run` job the run that triggered it. */
  readonly run: Run;
  /** The same text from whole to shortest; the first that fits is posted. `report/comment.ts` makes them. */
  readonly bodies: Iterable<string>;
  /** The login that our comments have. Left out: github-actions[bot], or whose personal token it is. */
  readonly author?: string;
}

export interface CommentResult {
  /** `superseded`: a later run has reported already, and its comment stays. */
  readonly kind: 'created' | 'updated' | 'unchanged' | 'superseded';
  readonly id: number;
  readonly url: string;
}

/** @returns undefined when it may not or cannot be posted; why has been warned of */
export declare function upsertComment(
  github: GitHub,
  request: CommentRequest,
): Promise<CommentResult | undefined>;
