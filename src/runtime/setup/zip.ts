/**
 * Single files out of a zip archive, streamed to disk: all that taking a library out of a wheel needs.
 *
 * Read from the directory at the archive's end, whose sizes are what is believed: what unpacks to more is refused.
 * Archives of more than 4 GiB, encrypted ones, and methods other than "stored" and "deflate" are refused as well.
 * @module
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';

export interface ZipEntry {
  readonly name: string;
  readonly method: number;
  readonly compressed: number;
  readonly bytes: number;
  /** Where its local header begins. */
  readonly at: number;
}

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_DIRECTORY = 64 * 2 ** 20;

/**
 * The archive's directory.
 * @throws Error where it is no zip archive, or one of a kind that is not read
 */
export async function zipEntries(file: string): Promise<ZipEntry[]> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    // The end record is 22 bytes and a comment of at most 64 KiB.
    const tail = await read(handle, Math.max(0, size - 22 - 0xffff), Math.min(size, 22 + 0xffff));
    const end = lastIndexOf(tail, END);
    if (end < 0 || end + 22 > tail.length) throw new Error('it is no zip archive');
    const count = tail.readUInt16LE(end + 10);
    const length = tail.readUInt32LE(end + 12);
    const start = tail.readUInt32LE(end + 16);
    if (count === 0xffff || start === 0xffffffff || length > MAX_DIRECTORY || start + length > size) {
      throw new Error('its directory is larger than a wheel has');
    }
    return parseDirectory(await read(handle, start, length), count);
  } finally {
    await handle.close();
  }
}

/**
 * Unpacks one entry to `target`.
 * @throws Error where it is encrypted, packed otherwise, or has not as many bytes as the directory says
 */
export async function unpackEntry(file: string, entry: ZipEntry, target: string): Promise<void> {
  if (entry.method !== 0 && entry.method !== 8)
    throw new Error(`"${entry.name}" is packed by method ${entry.method}`);
  const handle = await open(file, 'r');
  let start: number;
  try {
    const header = await read(handle, entry.at, 30);
    if (header.readUInt32LE(0) !== LOCAL) throw new Error(`"${entry.name}" is not where the directory says`);
    start = entry.at + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  } finally {
    await handle.close();
  }
  let bytes = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length;
      done(bytes > entry.bytes ? new Error(`"${entry.name}" unpacks to more than it says`) : null, chunk);
    },
  });
  const packed = createReadStream(file, { start, end: start + entry.compressed - 1 });
  const sink = createWriteStream(target, { flags: 'wx' });
  if (entry.method === 0) await pipeline(packed, counted, sink);
  else await pipeline(packed, createInflateRaw(), counted, sink);
  if (bytes !== entry.bytes)
    throw new Error(`"${entry.name}" unpacks to ${bytes} bytes, expected ${entry.bytes}`);
}

function parseDirectory(directory: Buffer, count: number): ZipEntry[] {
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== ENTRY) {
      throw new Error(`its directory breaks off after ${i} of ${count} entries`);
    }
    const nameLength = directory.readUInt16LE(at + 28);
    const name = directory.toString('utf8', at + 46, at + 46 + nameLength);
    if ((directory.readUInt16LE(at + 8) & 1) !== 0) throw new Error(`"${name}" is encrypted`);
    entries.push({
      name,
      method: directory.readUInt16LE(at + 10),
      compressed: directory.readUInt32LE(at + 20),
      bytes: directory.readUInt32LE(at + 24),
      at: directory.readUInt32LE(at + 42),
    });
    at += 46 + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}

async function read(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position);
  if (bytesRead !== length) throw new Error('it breaks off');
  return buffer;
}

function lastIndexOf(buffer: Buffer, signature: number): number {
  for (let at = buffer.length - 22; at >= 0; at--) if (buffer.readUInt32LE(at) === signature) return at;
  return -1;
}
