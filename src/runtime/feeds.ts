/**
 * Feeds on disk, to hand them to another process: sets of named tensors in one file, each distinct tensor once.
 *
 * Representation: the length of the header as a little-endian uint32, the header as JSON, then the tensors' bytes,
 * each at a multiple of 64 so that every element type is aligned and ONNX Runtime reads them in place.
 * @module
 */
import { closeSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MachineError } from '../errors.ts';
import { arrayOf, type DataType, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { removeAbandoned, temporaryPrefix } from './owner.ts';

/** Input name → tensor. */
export type Feeds = Readonly<Record<string, Tensor>>;

interface Header {
  readonly tensors: readonly { type: DataType; shape: readonly number[]; offset: number }[];
  /** Set → input name → index into `tensors`. */
  readonly sets: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const alignment = 64;
const aligned = (offset: number) => Math.ceil(offset / alignment) * alignment;

/**
 * Writes sets of feeds. Tensors over the same memory are written once, however many sets share them.
 * @throws MachineError when the disk is full
 */
export async function writeFeeds(file: string, sets: Readonly<Record<string, Feeds>>): Promise<void> {
  const tensors: Tensor[] = [];
  const indexOf = (value: Tensor) => {
    const known = tensors.findIndex(
      ({ type, shape, data }) =>
        type === value.type &&
        data.buffer === value.data.buffer &&
        data.byteOffset === value.data.byteOffset &&
        shape.join() === value.shape.join(),
    );
    return known >= 0 ? known : tensors.push(value) - 1;
  };
  const indexed = Object.fromEntries(
    Object.entries(sets).map(([set, feeds]) => [
      set,
      Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, indexOf(value)])),
    ]),
  );
  let end = 0; // offsets count from the end of the header, which does not know its own length
  const placed = tensors.map(({ type, shape, data }) => {
    const offset = aligned(end);
    end = offset + data.byteLength;
    return { type, shape, offset };
  });
  const header = Buffer.from(JSON.stringify({ tensors: placed, sets: indexed } satisfies Header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);

  await onDisk(file, async () => {
    await using handle = await open(file, 'w');
    await handle.write(length, 0, 4, 0);
    await handle.write(header, 0, header.length, 4);
    const start = aligned(4 + header.length);
    await handle.truncate(start + end); // where the last tensors are empty, nothing is written at their place
    for (const [i, { data }] of tensors.entries()) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      await writeAll(handle, bytes, start + placed[i].offset);
    }
  });
}

async function writeAll(handle: Awaited<ReturnType<typeof open>>, bytes: Uint8Array, position: number) {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

/** Reads what `writeFeeds` wrote: set → feeds, all over one buffer. */
export function readFeeds(file: string): Record<string, Feeds> {
  const handle = openSync(file, 'r');
  try {
    const buffer = new ArrayBuffer(fstatSync(handle).size);
    const bytes = new Uint8Array(buffer);
    for (let read = 0; read < bytes.length; ) {
      const count = readSync(handle, bytes, read, bytes.length - read, read);
      if (count === 0) throw new Error(`runtime: "${file}" ended after ${read} of ${bytes.length} bytes`);
      read += count;
    }
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(Buffer.from(buffer, 4, length).toString()) as Header;
    const start = aligned(4 + length);
    const tensors = header.tensors.map(
      ({ type, shape, offset }) =>
        ({ type, shape, data: new arrayOf[type](buffer, start + offset, sizeOf(shape)) }) as Tensor,
    );
    return Object.fromEntries(
      Object.entries(header.sets).map(([set, named]) => [
        set,
        Object.fromEntries(Object.entries(named).map(([name, index]) => [name, tensors[index]])),
      ]),
    );
  } finally {
    closeSync(handle);
  }
}

/**
 * A folder that is there while `work` runs; it goes as well when the process exits meanwhile. What a killed process left
 * goes when the next one makes its own.
 */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await onDisk(tmpdir(), async () => {
    removeAbandoned(tmpdir());
    return mkdtemp(join(tmpdir(), temporaryPrefix()));
  });
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    return await work(folder);
  } finally {
    process.off('exit', remove);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs `work`; a disk that is full or not writable becomes a MachineError that names the path. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new MachineError(
        `runtime: the disk is full at "${path}". Free some space, or set TMPDIR to another disk.`,
        {
          cause: error,
        },
      );
    }
    if (code === 'EACCES' || code === 'EROFS') {
      throw new MachineError(
        `runtime: "${path}" cannot be written (${code}). Set TMPDIR to a folder that can.`,
        {
          cause: error,
        },
      );
    }
    throw error;
  }
}
