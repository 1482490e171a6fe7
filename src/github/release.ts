/**
 * The family as assets of a release: archives, sums, record and report; a draft until all of it is there.
 * @module
 */
import type { GitHub } from './client.ts';

export interface ReleaseRequest {
  readonly tag: string;
  /** Commit or branch that the tag is made from where there is none. */
  readonly commit?: string;
  readonly name: string;
  readonly notes: Iterable<string>;
  readonly prerelease?: boolean;
  /** Files to attach, each under its base name. `SHA256SUMS` over all of them is made and added. */
  readonly files: readonly string[];
  /** RUNNER_TEMP */
  readonly temporary: string;
}

export interface ReleaseResult {
  readonly id: number;
  readonly url: string;
  readonly uploaded: readonly string[];
  /** Assets that were there already, byte for byte. */
  readonly kept: readonly string[];
}

/**
 * @throws InputError where the release is immutable and lacks something, or a file is over GitHub's 2 GiB
 */
export declare function publishRelease(
  github: GitHub,
  request: ReleaseRequest,
): Promise<ReleaseResult | undefined>;
