/**
 * The base branch's record of the same measurement, for comparison.
 * @module
 */
import type { RunRecord } from '../record.ts';
import type { GitHub } from './client.ts';

export interface BaseRequest {
  readonly branch: string;
  /** Records as they are compared now, with the artifact that each came in: the base's has the same name. */
  readonly records: readonly { readonly artifact: string; readonly record: RunRecord }[];
}

/**
 * For each record the newest one of the base branch, from an artifact of the same name, made in this repository (not by
 * a fork's branch of the same name) on equal hardware. Where there is none, it is left out; needs `actions: read`.
 */
export declare function baseRecords(github: GitHub, request: BaseRequest): Promise<readonly RunRecord[]>;
