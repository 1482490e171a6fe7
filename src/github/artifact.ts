/**
 * Files that outlive a job: models and reports up, records down.
 * @module
 */
import type { RunRecord } from '../record.ts';
import type { GitHub } from './client.ts';

export interface ArtifactRequest {
  readonly name: string;
  /** The folder that paths in the artifact are relative to. */
  readonly root: string;
  /** Absolute paths, all below `root`. */
  readonly files: readonly string[];
  readonly retentionDays?: number;
  /** `GITHUB_SERVER_URL` and `GITHUB_RUN_ID`, for the link. */
  readonly serverUrl: string;
  readonly runId: number;
}

export interface Artifact {
  readonly id: number;
  readonly name: string;
  readonly url: string;
  readonly sha256: string | undefined;
}

/** Uploads; one of the same name from an earlier attempt is replaced. @returns undefined when it failed, with a warning */
export declare function uploadArtifact(
  github: GitHub,
  request: ArtifactRequest,
): Promise<Artifact | undefined>;

export interface RecordsRequest {
  /** Only artifacts whose names begin with this: `ziplm-record`. */
  readonly prefix: string;
  /** Another run's artifacts, by the REST API (`actions: read`); left out: this run's. */
  readonly runId?: number;
  /** A folder that is ours alone, below RUNNER_TEMP. */
  readonly temporary: string;
}

export interface FoundRecord {
  readonly artifact: string;
  readonly record: RunRecord;
}

/**
 * The `run.json` of every artifact, checked against the schema. What is too large, not a record, or more than
 * 64 is left out with a warning; nothing but `run.json` is unpacked, and nothing into a file.
 */
export declare function downloadRecords(
  github: GitHub,
  request: RecordsRequest,
): Promise<readonly FoundRecord[]>;
