/**
 * What a run computed once for this hardware, kept between runs: the latency table and the stages. Data only.
 *
 * A cache is advice from whoever could write it. The client hands its archive to the system's tar, which is told by
 * its environment to leave out what climbs (`..`) or starts at the root, and to point no link anywhere. From the folder of ours
 * that this fills, only what looks like a stage's file in every respect goes on, and one thing that does not makes all
 * of it suspect. What was measured of a pruned model (its rounds, its predictions) is never kept: a run reports what
 * it measured itself.
 * @module
 */
import { cp, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface StagesRequest {
  /** `<output>/.work` */
  readonly folder: string;
  /** `hardware.fingerprint` */
  readonly fingerprint: string;
  /** What else tells one cache from another, as the configuration's digest; of the same hardware the newest will do. */
  readonly key: string;
  /** RUNNER_TEMP: the same path on every runner that shares the cache, which GitHub keeps caches by. */
  readonly temporary: string;
  readonly warn: (message: string) => void;
}

/** Raise this when the layout of what is kept changes. */
const FORMAT = 1;
const MAX_BYTES = 2 * 2 ** 30;
const MAX_ENTRIES = 10_000;
/** As recipe/stages.ts names results: a JSON file or a folder of files. */
const STAGE = /^[A-Za-z][\w.-]*-[0-9a-f]{16}(\.json)?$/;
const STAGE_FILE = /^[A-Za-z][\w-]*\.(json|bin|onnx|data)$/;
/**
 * GNU tar's options against an archive that the client has not made. It extracts with -P, because as a rule its paths do
 * climb (from the workspace to RUNNER_TEMP); ours do not, as RUNNER_TEMP stands in for the workspace. The transformation
 * is of links' targets only: regular names (R) keep theirs.
 */
const CAREFUL = '--exclude=.. --anchored --exclude=/* --no-anchored --transform=s,.*,_,R';
const MEASURED = /^(rounds|predictions)-/;

/**
 * Puts cached stages into `folder`, beside what is there. An entry that is no stage's file (a link, an executable, a
 * strange name, too large) makes the whole cache be left alone, with a warning.
 * @returns how many stages came back
 */
export async function restoreStages(request: StagesRequest): Promise<number> {
  const { folder, warn } = request;
  const cache = await import('@actions/cache');
  if (!cache.isFeatureAvailable()) return 0;
  const place = placeOf(request);
  await rm(place, { recursive: true, force: true });
  try {
    const older = [keyOf({ ...request, key: '' })];
    const environment = { GITHUB_WORKSPACE: request.temporary, TAR_OPTIONS: CAREFUL };
    const hit = await within(environment, () => cache.restoreCache([place], keyOf(request), older));
    if (hit === undefined) return 0;
    const stages = await stagesIn(place);
    if ('why' in stages) {
      warn(`github: the cache ${hit} is left alone: ${stages.why}. Delete it under Actions, Caches.`);
      return 0;
    }
    await mkdir(folder, { recursive: true });
    let restored = 0;
    for (const { name } of stages.found)
      if (await putBeside(join(place, name), join(folder, name))) restored++;
    return restored;
  } catch (error) {
    warn(`github: the cache could not be restored: everything is computed anew. ${(error as Error).message}`);
    return 0;
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

/** @returns whether something was saved: not when this key exists already */
export async function saveStages(request: StagesRequest): Promise<boolean> {
  const { folder, warn } = request;
  const cache = await import('@actions/cache');
  if (!cache.isFeatureAvailable()) return false;
  const place = placeOf(request);
  try {
    const stages = await stagesIn(folder);
    if ('why' in stages) {
      warn(`github: the stages are not cached: ${stages.why}.`);
      return false;
    }
    await rm(place, { recursive: true, force: true });
    await mkdir(place, { recursive: true });
    // The smallest first: the latency table and what the search found fit always.
    let total = 0;
    for (const { name, bytes } of stages.found.toSorted((a, b) => a.bytes - b.bytes)) {
      total += bytes;
      if (total <= MAX_BYTES) await cp(join(folder, name), join(place, name), { recursive: true });
    }
    const environment = { GITHUB_WORKSPACE: request.temporary };
    return (await within(environment, () => cache.saveCache([place], keyOf(request)))) >= 0;
  } catch (error) {
    warn(`github: the stages are not cached. ${(error as Error).message}`);
    return false;
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

const placeOf = ({ temporary }: StagesRequest): string => join(temporary, 'ziplm-stages');

function keyOf({ fingerprint, key }: StagesRequest): string {
  const clean = (text: string) => text.replace(/[^\w.-]/g, '_').slice(0, 100);
  return `ziplm-stages-${FORMAT}-${clean(fingerprint)}-${clean(key)}`;
}

/** Work for which the environment is another: the client, and the tar that it starts, take no such options. */
async function within<T>(environment: Readonly<Record<string, string>>, work: () => Promise<T>): Promise<T> {
  const before = Object.keys(environment).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, environment);
  try {
    return await work();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

/** The finished stages of a folder that may travel; or why none may. */
async function stagesIn(
  folder: string,
): Promise<
  { readonly found: readonly { readonly name: string; readonly bytes: number }[] } | { readonly why: string }
> {
  const found: { name: string; bytes: number }[] = [];
  let entries = 0;
  let total = 0;
  const names = await readdir(folder).catch(() => []);
  for (const name of names.sort()) {
    if (name.endsWith('.partial') || MEASURED.test(name)) continue;
    if (!STAGE.test(name)) return { why: `${shown(name)} is no stage's name` };
    const top = await lstat(join(folder, name));
    const files = top.isDirectory()
      ? (await readdir(join(folder, name))).map((file) => join(name, file))
      : [name];
    let bytes = 0;
    for (const file of files) {
      const why = await strangeness(folder, file, file !== name);
      if (why !== undefined) return { why };
      bytes += (await lstat(join(folder, file))).size;
    }
    entries += files.length;
    total += bytes;
    if (entries > MAX_ENTRIES || total > 4 * MAX_BYTES) return { why: 'it is larger than stages are' };
    found.push({ name, bytes });
  }
  return { found };
}

/** Why a file is not one of a stage; undefined when it is. */
async function strangeness(folder: string, file: string, isInner: boolean): Promise<string | undefined> {
  const path = join(folder, file);
  const name = file.slice(file.lastIndexOf('/') + 1);
  const status = await lstat(path);
  if (!status.isFile()) return `${shown(file)} is no regular file`;
  if (status.nlink !== 1) return `${shown(file)} is linked from elsewhere`;
  if ((status.mode & 0o111) !== 0) return `${shown(file)} may be executed`;
  if (isInner && !STAGE_FILE.test(name)) return `${shown(file)} is no file of a stage`;
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const magic = buffer.toString('latin1', 0, bytesRead);
    return /^(\x7fELF|MZ|#!|[\xca\xcf\xfe\xce]\xfa)/.test(magic) ? `${shown(file)} is a program` : undefined;
  } finally {
    await handle.close();
  }
}

/** Moves a stage into the folder, whole or not at all. @returns whether it was not there before */
async function putBeside(from: string, to: string): Promise<boolean> {
  if ((await lstat(to).catch(() => undefined)) !== undefined) return false;
  const partial = `${to}.partial`;
  await cp(from, partial, { recursive: true });
  await rename(partial, to);
  return true;
}

const shown = (name: string): string => JSON.stringify(name.slice(0, 100));
