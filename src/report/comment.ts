/**
 * The comment on a pull request, the check's text and the job summary: one report, from whole to shortest.
 * @module
 */
import type { RunRecord } from '../record.ts';

export interface CommentOptions {
  /** The comment's title; a sole record's name where it is left out. */
  readonly title?: string;
  /** Models' SHA-256 → where they can be had. */
  readonly artifacts?: ReadonlyMap<string, string>;
  /** The base branch's records; those on equal hardware are compared with. */
  readonly base?: { readonly branch: string; readonly records: readonly RunRecord[] };
  /** Where the whole report is, when this is not it. */
  readonly reportUrl?: string;
}

/** The same report from whole to shortest: sections go in a fixed order, none is ever cut. The last is below 2,000 characters. */
export declare function commentVersions(
  records: readonly RunRecord[],
  options?: CommentOptions,
): Iterable<string>;
