/**
 * One small file out of a ZIP archive that a stranger may have made: read in memory, unpacked to memory, and never by
 * a path that the archive names. (Format: PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.)
 * @module
 */
import { inflateRawSync } from 'node:zlib';

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
/** Entries that are looked at; ours have a handful. */
const MAX_ENTRIES = 10_000;

/** A file's content, or why it cannot be had, to complete "the archive …". */
export type Unzipped =
  | { readonly kind: 'file'; readonly content: Buffer }
  | { readonly kind: 'no'; readonly why: string };

/**
 * The one entry of this base name.
 * @param maxBytes of the content, whatever the archive says that it has
 */
export function unzip(archive: Buffer, name: string, maxBytes: number): Unzipped {
  const end = archive.lastIndexOf(signature(END));
  if (end < 0 || end + END_BYTES > archive.length) return no('is no ZIP file');
  const entries = archive.readUInt16LE(end + 10);
  let at = archive.readUInt32LE(end + 16);
  if (entries > MAX_ENTRIES) return no(`has ${entries} entries, more than ${MAX_ENTRIES}`);
  const found: number[] = [];
  for (let i = 0; i < entries; i++) {
    if (at + CENTRAL_BYTES > archive.length || archive.readUInt32LE(at) !== CENTRAL) return no('is broken');
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) =>
      archive.readUInt16LE(at + field),
    );
    const path = archive.toString('utf8', at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameBytes);
    if (path.split('/').at(-1) === name) found.push(at);
    at += CENTRAL_BYTES + nameBytes + extraBytes + commentBytes;
  }
  if (found.length !== 1) return no(`has ${found.length} files ${name}, expected one`);
  return content(archive, found[0], name, maxBytes);
}

function content(archive: Buffer, entry: number, name: string, maxBytes: number): Unzipped {
  const method = archive.readUInt16LE(entry + 10);
  const [packed, unpacked] = [archive.readUInt32LE(entry + 20), archive.readUInt32LE(entry + 24)];
  const local = archive.readUInt32LE(entry + 42);
  if (unpacked > maxBytes) return no(`has a ${name} of ${unpacked} bytes, more than ${maxBytes}`);
  if (local + LOCAL_BYTES > archive.length || archive.readUInt32LE(local) !== LOCAL) return no('is broken');
  const from = local + LOCAL_BYTES + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  if (from + packed > archive.length) return no('is broken');
  const bytes = archive.subarray(from, from + packed);
  if (method !== 0 && method !== 8) return no(`packs ${name} by method ${method}, expected 0 or 8`);
  try {
    const file = method === 0 ? bytes : inflateRawSync(bytes, { maxOutputLength: maxBytes });
    return file.length === unpacked ? { kind: 'file', content: file } : no('is broken');
  } catch {
    return no(`has a ${name} that cannot be unpacked into ${maxBytes} bytes`);
  }
}

const no = (why: string): Unzipped => ({ kind: 'no', why });

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
