/**
 * A model on the disk: the model file, and its weights beside it where they are external. Files appear whole or not
 * at all: each is written under another name and then renamed.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, copyFile, type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { InputError, MachineError } from '../errors.ts';
import { encodeWith, type TensorEncoder } from './encode.ts';
import type { ExternalFile } from './external.ts';
import type { ModelRest } from './load.ts';
import type { Model, StoredTensor } from './model.ts';
import { encodeExternal, encodeTensor, encodeUnmoved, externalRange, isMovable, payload } from './stored.ts';
import { storedTensors } from './walk.ts';

export { encodeModel } from './encode.ts';
export { storedTensor } from './stored.ts';

/** Smaller tensors stay in the model file, where shapes and axes can be read without the weights. */
const smallestExternal = 1024;
/** What fits into one protobuf message, less room for the graph itself. */
const largestInline = 2 ** 31 - 2 ** 26;

/**
 * Writes a model. External data that was opened and not touched is copied as it is; otherwise all of it is laid out
 * anew in one file beside the model.
 * @param options.external whether weights go into a file of their own; 'auto' keeps them where they were, and moves
 * them out when the model would exceed protobuf's 2 GiB
 * @throws MachineError when the disk is full or may not be written
 */
export async function saveModel(
  model: Model,
  file: string,
  options: { external?: 'auto' | boolean } = {},
): Promise<void> {
  const tensors = storedTensors(model);
  const temporary: { from: string; to: string }[] = [];
  const stage = (to: string) => {
    const from = `${to}.${randomBytes(4).toString('hex')}.tmp`;
    temporary.push({ from, to });
    return from;
  };
  try {
    let encode: TensorEncoder = encodeTensor;
    if (wantsExternal(tensors, options.external ?? 'auto')) {
      encode =
        (await copyUntouched(model, tensors, file, stage)) ?? (await layOut(model, tensors, file, stage));
    }
    const to = stage(file);
    await writeWhole(to, async (handle) => {
      await handle.writeFile(encodeWith(model, encode));
    });
    for (const { from, to } of temporary) await rename(from, to);
  } catch (cause) {
    for (const { from } of temporary) await rm(from, { force: true });
    throw translated(cause, file);
  }
}

function wantsExternal(tensors: ReadonlySet<StoredTensor>, external: 'auto' | boolean): boolean {
  if (external !== 'auto') return external;
  let inline = 0;
  for (const stored of tensors) {
    if (externalRange(stored)) return true;
    inline += stored.byteLength;
  }
  return inline > largestInline;
}

/**
 * If every external tensor is one that was opened, none is missing and none was added, the files of weights are
 * copied whole, gaps and all. Only under names that go with the model's own: the model chose them, and a folder that
 * is written to holds other things.
 */
async function copyUntouched(
  model: Model,
  tensors: ReadonlySet<StoredTensor>,
  file: string,
  stage: (to: string) => string,
): Promise<TensorEncoder | undefined> {
  const rest = model.rest as ModelRest | undefined;
  if (!rest?.folder || rest.external.length === 0) return undefined;
  const external = [...tensors].filter(externalRange);
  const opened = new Set(rest.external);
  if (external.length !== opened.size || !external.every((stored) => opened.has(stored))) return undefined;
  if ([...tensors].some((stored) => stored.rest === undefined && stored.byteLength >= smallestExternal)) {
    return undefined;
  }
  const files = new Map<string, ExternalFile>();
  for (const stored of external) {
    const range = externalRange(stored);
    if (range) files.set(range.file.path, range.file);
  }
  if (![...files.values()].every(({ location }) => goesWith(location, rest.name))) return undefined;
  const folder = dirname(resolve(file));
  const renamed = basename(file) !== rest.name;
  const targets = [...files.values()].map((source) => ({ source, to: join(folder, source.location) }));
  // Under another name, weights that lie there already may be those of another model.
  for (const { to } of targets) if (renamed && (await exists(to))) return undefined;
  for (const { source, to } of targets) {
    const found = await stat(source.path, { bigint: true });
    const identity = [found.dev, found.ino, found.size, found.mtimeNs].join(':');
    if (identity !== source.identity) {
      throw new InputError(`"${source.location}" was changed after the model was opened; open it again.`);
    }
    const there = await stat(to, { bigint: true }).catch(() => undefined);
    if (there?.dev === found.dev && there.ino === found.ino) continue; // saved where it was opened
    await mkdir(dirname(to), { recursive: true });
    await copyFile(source.path, stage(to), constants.COPYFILE_FICLONE);
  }
  return (stored, name) => (externalRange(stored) ? encodeUnmoved(stored, name) : encodeTensor(stored, name));
}

/** Writes every large tensor into one new file of weights. */
async function layOut(
  model: Model,
  tensors: ReadonlySet<StoredTensor>,
  file: string,
  stage: (to: string) => string,
): Promise<TensorEncoder> {
  const location = locationFor(model, file);
  const placed = new Map<StoredTensor, { location: string; offset: number; length: number }>();
  // Tensors that shared their bytes go on sharing them.
  const shared = new Map<string, { location: string; offset: number; length: number }>();
  let end = 0;
  for (const stored of tensors) {
    if (!isMovable(stored) || stored.byteLength < smallestExternal) continue;
    const range = externalRange(stored);
    const key = range && [range.file.path, range.offset, range.length].join('\0');
    const known = key === undefined ? undefined : shared.get(key);
    if (known) {
      placed.set(stored, known);
      continue;
    }
    // A page's boundary lets a runtime map the tensor; small ones need only their elements' alignment.
    const boundary = stored.byteLength >= 2 ** 20 ? 4096 : 64;
    const offset = Math.ceil(end / boundary) * boundary;
    const place = { location, offset, length: stored.byteLength };
    placed.set(stored, place);
    if (key !== undefined) shared.set(key, place);
    end = offset + stored.byteLength;
  }
  if (placed.size > 0) {
    const to = stage(join(dirname(file), location));
    await writeWhole(to, async (handle) => {
      const written = new Set<number>();
      for (const [stored, { offset }] of placed) {
        if (written.has(offset)) continue;
        written.add(offset);
        const bytes = payload(stored);
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await handle.write(
            bytes,
            done,
            Math.min(bytes.length - done, 2 ** 30),
            offset + done,
          );
          done += bytesWritten;
        }
      }
    });
  }
  return (stored, name) => {
    const range = placed.get(stored);
    return range ? encodeExternal(stored, name, range) : encodeTensor(stored, name);
  };
}

/** The name of a model's file of weights: as its exporter would call it. */
function locationFor(model: Model, file: string): string {
  const rest = model.rest as ModelRest | undefined;
  const first = rest?.external[0];
  const known = first && externalRange(first)?.file.location;
  const name = basename(file);
  if (known && rest.name && goesWith(known, rest.name)) return name + known.slice(rest.name.length);
  return `${name}.data`;
}

/** `model.onnx_data`, `model.onnx.data` and the like, beside `model.onnx`. */
function goesWith(location: string, model: string | undefined): boolean {
  return (
    model !== undefined && location.startsWith(model) && /^[._-][\w.-]+$/.test(location.slice(model.length))
  );
}

async function writeWhole(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function translated(cause: unknown, file: string): unknown {
  const { code } = cause as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new MachineError(
        `the disk is full: ${file} could not be written; free some space and run again.`,
        { cause },
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new MachineError(`${file} may not be written (${code}); choose another folder.`, { cause });
    case 'ENOENT':
      return new InputError(`the folder of ${file} does not exist.`, { cause });
    default:
      return cause;
  }
}
