/**
 * Weights beside the model, in files of their own.
 *
 * Where they lie is written in the model, and a model is hostile until checked: a location must name a regular file
 * below the model's folder, reached through no symbolic link and shared by no hard link, and its range must lie
 * inside that file. Both are checked when the model is opened; the bytes are read when asked for, through a
 * descriptor that must still be the file that was checked.
 * @module
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { limits } from './limits.ts';

/** A file of weights as it was found at opening. */
export interface ExternalFile {
  /** As the model writes it: relative to the model's folder. */
  readonly location: string;
  readonly path: string;
  readonly size: bigint;
  /** What must not have changed when the file is read. */
  readonly identity: string;
}

export interface ExternalRange {
  readonly file: ExternalFile;
  readonly offset: bigint;
  readonly length: bigint;
}

/** Finds and checks the files below one model's folder; each is checked once. */
export interface ExternalFolder {
  /**
   * @param label the tensor, for messages
   * @param offset in bytes; absent is 0
   * @param length in bytes; absent is `expected`
   * @param expected bytes that the tensor's type and shape need
   * @throws InputError when the location is not a regular file inside the folder, or the range not inside the file.
   */
  range(
    label: string,
    entry: { location: string | undefined; offset: string | undefined; length: string | undefined },
    expected: bigint,
  ): ExternalRange;
}

/** @param model the model's name, for messages */
export function externalFolder(folder: string, model: string): ExternalFolder {
  const files = new Map<string, ExternalFile>();
  const claims = new Map<string, { ranges: Set<string>; bytes: bigint }>();
  /** Tied weights share a range; ranges that overlap otherwise would make a small file weigh any number of times. */
  const claim = (who: string, { file, offset, length }: ExternalRange) => {
    const known = claims.get(file.location) ?? { ranges: new Set<string>(), bytes: 0n };
    claims.set(file.location, known);
    const key = `${offset} ${length}`;
    if (known.ranges.has(key)) return;
    known.ranges.add(key);
    known.bytes += length;
    if (known.bytes > file.size * BigInt(limits.sharing)) {
      throw new InputError(
        `${who} overlaps others: the tensors in "${file.location}" are ${known.bytes} bytes long together, the file only ${file.size}.`,
      );
    }
  };
  return {
    range(label, { location, offset: offsetText, length: lengthText }, expected) {
      const who = `${model}: the external data of "${label}"`;
      if (!location) throw new InputError(`${who} names no file; export the model again.`);
      let file = files.get(location);
      if (!file) {
        file = check(folder, location, who, model);
        files.set(location, file);
      }
      const offset = natural(offsetText, 0n, `${who} has the offset`);
      const length = natural(lengthText, expected, `${who} has the length`);
      if (length !== expected) {
        throw new InputError(`${who} is ${length} bytes long, but its type and shape need ${expected}.`);
      }
      if (offset + length > file.size) {
        throw new InputError(
          `${who} ends at byte ${offset + length} of "${location}", which has only ${file.size} bytes; is the file truncated?`,
        );
      }
      const range = { file, offset, length };
      claim(who, range);
      return range;
    },
  };
}

/**
 * The bytes of a range, in memory of their own (so aligned for every element type).
 * @throws InputError when the file is no longer the one that was checked.
 */
export function readRange({ file, offset, length }: ExternalRange): Uint8Array {
  const descriptor = openChecked(file.path, file.location, `external data "${file.location}"`);
  try {
    const found = fstatSync(descriptor, { bigint: true });
    if (identityOf(found) !== file.identity) {
      throw new InputError(
        `external data "${file.location}" was changed after the model was opened; open it again.`,
      );
    }
    const bytes = new Uint8Array(Number(length));
    // A single read is limited to 2^31 − 1 bytes.
    for (let done = 0; done < bytes.length; ) {
      const wanted = Math.min(bytes.length - done, 2 ** 30);
      const got = readSync(descriptor, bytes, done, wanted, offset + BigInt(done));
      if (got === 0)
        throw new InputError(`external data "${file.location}" became shorter while it was read.`);
      done += got;
    }
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}

function natural(text: string | undefined, absent: bigint, what: string): bigint {
  if (text === undefined) return absent;
  // Nineteen digits hold every 64-bit offset, and bound what BigInt has to parse.
  if (!/^\d{1,19}$/.test(text)) {
    throw new InputError(`${what} "${text.slice(0, 40)}", which is not a whole number of bytes.`);
  }
  return BigInt(text);
}

function check(folder: string, location: string, who: string, model: string): ExternalFile {
  const parts = location.split(/[/\\]/);
  const outside =
    location.includes('\0') ||
    /^([/\\]|[A-Za-z]:)/.test(location) ||
    parts.includes('..') ||
    parts.includes('');
  if (outside) {
    throw new InputError(
      `${who} lies outside the model's folder (${JSON.stringify(location)}); keep it beside the model.`,
    );
  }
  // The folder itself may be reached through links: the user named it. Nothing below it may.
  const home = realpathSync(folder);
  let path = home;
  for (const part of parts) {
    path = join(path, part);
    const found = stateOf(path, who);
    if (!found) throw new InputError(`${who} is missing: there is no file "${location}" beside the model.`);
    if (found.isSymbolicLink()) {
      throw new InputError(
        `${who} is reached through a symbolic link ("${part}"); put the file itself there.`,
      );
    }
  }
  if (path === join(home, model)) throw new InputError(`${who} is said to lie in the model file itself.`);
  const descriptor = openChecked(path, location, who);
  try {
    const found = fstatSync(descriptor, { bigint: true });
    return { location, path, size: found.size, identity: identityOf(found) };
  } finally {
    closeSync(descriptor);
  }
}

/** Opens without following a link or waiting for a pipe, and looks at what was opened rather than at its name. */
function openChecked(path: string, location: string, who: string): number {
  let descriptor: number;
  try {
    descriptor = openSync(
      path,
      constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
    );
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const problem =
      code === 'ENOENT' ? 'is missing' : code === 'ELOOP' ? 'is a symbolic link' : `cannot be read (${code})`;
    throw new InputError(`${who} ${problem}: "${location}".`, { cause });
  }
  const found = fstatSync(descriptor, { bigint: true });
  const problem = !found.isFile()
    ? 'is not a regular file'
    : found.nlink !== 1n
      ? 'is shared by a hard link; copy it'
      : !isStillAt(path, found)
        ? 'was replaced while it was opened'
        : undefined;
  if (problem) {
    closeSync(descriptor);
    throw new InputError(`${who} ${problem}: "${location}".`);
  }
  return descriptor;
}

/** Whether the file that was opened is the one at its path, and no folder on the way has become a link meanwhile. */
function isStillAt(path: string, { dev, ino }: BigIntStats): boolean {
  try {
    const there = lstatSync(path, { bigint: true });
    return realpathSync(path) === path && there.dev === dev && there.ino === ino;
  } catch {
    return false;
  }
}

function stateOf(path: string, who: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    throw new InputError(`${who} cannot be looked for (${(cause as NodeJS.ErrnoException).code}).`, {
      cause,
    });
  }
}

function identityOf(stats: BigIntStats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs].join(':');
}
