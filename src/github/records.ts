/**
 * Records that other jobs left as artifacts: of this run, of the run that triggered this one, of the base branch.
 *
 * They may be a stranger's. An archive is capped before it is fetched and while it is, nothing of it is unpacked but
 * `run.json`, that into memory, and that is checked against the schema. What the archive is called, or says about pull
 * requests, means nothing.
 * @module
 */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { parseRecord, type RunRecord } from '../record.ts';
import type { GitHub } from './client.ts';
import { orWarn } from './permission.ts';
import { unzip } from './zip.ts';

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
  /** The artifact with the record's models, where the run has one. */
  readonly modelsId?: number;
}

export interface BaseRequest {
  readonly branch: string;
  /** Records as they are reported now, with the artifact that each came in: the base's has the same name. */
  readonly records: readonly FoundRecord[];
  /** Whether two records may be compared: `isComparable` of report/base.ts. */
  readonly comparable: (record: RunRecord, base: RunRecord) => boolean;
}

/** An artifact's archive as it is listed, and the way to its bytes. */
interface Listed {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  fetch(): Promise<Buffer | undefined>;
}

/** Of an archive with a record and its reports, and of the record in it: real ones have some ten kilobytes. */
const MAX_ARCHIVE_BYTES = 16 * 2 ** 20;
const MAX_RECORD_BYTES = 8 * 2 ** 20;
const MAX_RECORDS = 64;
/** `ziplm-record-X` has its models beside it in `ziplm-models-X`. */
const MODELS = 'ziplm-models';
/** Runners of unequal hardware take turns; among so many of the base's last runs one of ours should be. */
const MAX_TRIED = 5;
const FETCH_MS = 120_000;

/**
 * The `run.json` of every artifact, checked against the schema, by the artifacts' names. What is too large, not a record,
 * or more than 64 is left out with a warning.
 */
export async function downloadRecords(
  github: GitHub,
  request: RecordsRequest,
): Promise<readonly FoundRecord[]> {
  const { prefix, runId, temporary } = request;
  const listed = await (runId === undefined ? listOwn(github, temporary) : listOther(github, runId));
  const records = listed
    .filter(({ name }) => name.startsWith(prefix))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (records.length > MAX_RECORDS) {
    github.warn(
      `github: ${records.length} artifacts begin with ${prefix}, expected at most ${MAX_RECORDS}: the first ${MAX_RECORDS} are reported.`,
    );
  }
  const found: FoundRecord[] = [];
  for (const artifact of records.slice(0, MAX_RECORDS)) {
    const record = await recordOf(github, artifact);
    if (record === undefined) continue;
    const suffix = artifact.name.slice(prefix.length);
    const models = suffix === '' ? undefined : listed.find(({ name }) => name === MODELS + suffix);
    const beside = models === undefined ? {} : { modelsId: models.id };
    found.push({ artifact: artifact.name, record, ...beside });
  }
  return found;
}

/**
 * Models' SHA-256 → the address of the artifact that holds them, of all records that have one.
 * @param runUrl of the run that the records are of
 */
export function modelLinks(found: readonly FoundRecord[], runUrl: string): ReadonlyMap<string, string> {
  return new Map(
    found.flatMap(({ record, modelsId }) =>
      modelsId === undefined
        ? []
        : record.targets.map(({ sha256 }) => [sha256, `${runUrl}/artifacts/${modelsId}`] as const),
    ),
  );
}

/**
 * For each record the newest one of the base branch, from an artifact of the same name, made in this repository (not by
 * a fork's branch of the same name) on equal hardware. Where there is none, it is left out; needs `actions: read`.
 */
export async function baseRecords(github: GitHub, request: BaseRequest): Promise<readonly RunRecord[]> {
  const found: RunRecord[] = [];
  for (const { artifact, record } of request.records) {
    const made = await listBase(github, artifact, request.branch);
    // Not permitted: the others are not either, and one warning is enough.
    if (made === undefined) break;
    for (const each of made.slice(0, MAX_TRIED)) {
      const base = await recordOf(github, each);
      if (base === undefined || !request.comparable(record, base)) continue;
      found.push(base);
      break;
    }
  }
  return found;
}

/** The record in an archive; undefined, with a warning, where there is none that could be believed. */
async function recordOf(github: GitHub, { name, size, fetch }: Listed): Promise<RunRecord | undefined> {
  const leave = (why: string) => {
    github.warn(`github: the artifact ${shown(name)} is left out: it ${oneLine(why)}.`);
    return undefined;
  };
  if (size > MAX_ARCHIVE_BYTES) return leave(`has ${size} bytes, more than ${MAX_ARCHIVE_BYTES}`);
  const archive = await fetch();
  if (archive === undefined) return leave(`could not be fetched within ${MAX_ARCHIVE_BYTES} bytes`);
  const file = unzip(archive, 'run.json', MAX_RECORD_BYTES);
  if (file.kind === 'no') return leave(file.why);
  try {
    return parseRecord(file.content.toString('utf8'), 'run.json');
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return leave(`holds no record (${error.message})`);
  }
}

/** This run's artifacts, by the service that made them: needs no permission. */
async function listOwn(github: GitHub, temporary: string): Promise<Listed[]> {
  const { DefaultArtifactClient } = await import('@actions/artifact');
  try {
    // `latest`: of one name, what the last attempt made.
    const { artifacts } = await new DefaultArtifactClient().listArtifacts({ latest: true });
    return artifacts.map(({ id, name, size }) => ({
      id,
      name,
      size,
      fetch: () => fetchOwn(github, temporary, id),
    }));
  } catch (error) {
    github.warn(`github: the artifacts of this run could not be listed. ${(error as Error).message}`);
    return [];
  }
}

/** The archive as it is: the client would unpack it by the paths that it names. */
async function fetchOwn(github: GitHub, temporary: string, id: number): Promise<Buffer | undefined> {
  const { DefaultArtifactClient } = await import('@actions/artifact');
  await mkdir(temporary, { recursive: true });
  const folder = await mkdtemp(join(temporary, 'artifact-'));
  try {
    await new DefaultArtifactClient().downloadArtifact(id, { path: folder, skipDecompress: true });
    const [file] = await readdir(folder);
    return await readFile(join(folder, file));
  } catch (error) {
    github.warn(`github: an artifact could not be fetched. ${(error as Error).message}`);
    return undefined;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Another run's artifacts, by the REST API. */
async function listOther(github: GitHub, runId: number): Promise<Listed[]> {
  const { owner, repo, api, paginate } = github;
  const output = { what: 'the list of records', permission: 'actions: read' } as const;
  const listed = await orWarn(github, output, () =>
    paginate(api.actions.listWorkflowRunArtifacts, { owner, repo, run_id: runId, per_page: 100 }),
  );
  // Attempts leave artifacts of the same name: the last counts.
  const oldestFirst = (listed ?? []).toSorted((a, b) => a.id - b.id);
  const latest = new Map(oldestFirst.map((each) => [each.name, each]));
  return [...latest.values()].filter((each) => !each.expired).map((each) => remote(github, each));
}

/** Artifacts of a name by the base branch of this very repository, the newest first. */
async function listBase(github: GitHub, name: string, branch: string): Promise<Listed[] | undefined> {
  const { owner, repo, api } = github;
  const output = { what: 'the comparison with the base branch', permission: 'actions: read' } as const;
  const answer = await orWarn(github, output, () =>
    api.actions.listArtifactsForRepo({ owner, repo, name, per_page: 100 }),
  );
  return (
    answer?.data.artifacts
      .filter((each) => each.name === name && !each.expired)
      .filter(({ workflow_run: run }) => run?.head_branch === branch)
      // A fork may have a branch of this name too.
      .filter(({ workflow_run: run }) => run?.head_repository_id === run?.repository_id)
      .sort((a, b) => b.id - a.id)
      .map((each) => remote(github, each))
  );
}

function remote(
  github: GitHub,
  artifact: { readonly id: number; readonly name: string; readonly size_in_bytes: number },
): Listed {
  const { id, name, size_in_bytes: size } = artifact;
  return { id, name, size, fetch: () => fetchOther(github, id, name) };
}

/** An artifact's archive by the REST API; the storage behind it never sees the token. */
async function fetchOther(github: GitHub, id: number, name: string): Promise<Buffer | undefined> {
  const { owner, repo, api } = github;
  const output = { what: `the artifact ${shown(name)}`, permission: 'actions: read' } as const;
  const request = { redirect: 'manual' } as const;
  const answer = await orWarn(github, output, () =>
    api.actions.downloadArtifact({ owner, repo, artifact_id: id, archive_format: 'zip', request }),
  );
  const location = (answer as { headers: { location?: string } } | undefined)?.headers.location;
  return location === undefined ? undefined : fetchCapped(location, MAX_ARCHIVE_BYTES);
}

/** What is at an address; undefined where it is larger, or does not come. */
async function fetchCapped(url: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS) });
    if (!answer.ok || answer.body === null) return undefined;
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of answer.body) {
      size += part.length;
      if (size > maxBytes) return undefined;
      parts.push(part);
    }
    return Buffer.concat(parts);
  } catch {
    return undefined;
  }
}

const shown = (name: string): string => JSON.stringify(oneLine(name.slice(0, 100)));

/** A stranger's words in a warning: without what steers a terminal or a reader's eye. */
const oneLine = (text: string): string => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?').slice(0, 400);
