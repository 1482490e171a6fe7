/**
 * Files that outlive a job: models and reports.
 * @module
 */
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
  /** Of the archive: 64 hexadecimal digits. */
  readonly sha256: string | undefined;
}

/** Weights hardly shrink, and text is small: speed counts. */
const COMPRESSION = 1;

/**
 * Uploads; one of the same name from an earlier attempt is replaced. Needs no permission.
 * @returns undefined when it failed, with a warning
 */
export async function uploadArtifact(
  github: GitHub,
  request: ArtifactRequest,
): Promise<Artifact | undefined> {
  const { name, root, files, retentionDays, serverUrl, runId } = request;
  const { DefaultArtifactClient } = await import('@actions/artifact');
  const client = new DefaultArtifactClient();
  const options = {
    compressionLevel: COMPRESSION,
    ...(retentionDays === undefined ? {} : { retentionDays }),
  };
  const upload = () => client.uploadArtifact(name, [...files], root, options);
  try {
    const { id, digest } = await upload().catch(async (error: unknown) => {
      if (!/already exists|\b409\b/i.test(String(error))) throw error;
      await client.deleteArtifact(name);
      return upload();
    });
    if (id === undefined) throw new Error('the service gave it no number');
    const url = `${serverUrl}/${github.owner}/${github.repo}/actions/runs/${runId}/artifacts/${id}`;
    return { id, name, url, sha256: digest };
  } catch (error) {
    github.warn(
      `github: the artifact ${name} was not uploaded; everything else goes on. ${(error as Error).message}`,
    );
    return undefined;
  }
}
