/**
 * A folder as one `.tar.gz` file, the same bytes for the same content: no owner, no time, names in order. (Format:
 * POSIX.1-1988 ustar.)
 * @module
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { InputError } from '../errors.ts';

const BLOCK = 512;
/** What a size field of eleven octal digits holds. */
const MAX_FILE_BYTES = 8 ** 11 - 1;

/** Regular files of `folder`, under `prefix/` in the archive. @returns the archive's size in bytes */
export async function packFolder(folder: string, prefix: string, file: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
  await pipeline(
    Readable.from(blocks(folder, prefix, paths)),
    createGzip({ level: 6 }),
    createWriteStream(file),
  );
  return (await stat(file)).size;
}

async function* blocks(folder: string, prefix: string, paths: readonly string[]): AsyncGenerator<Buffer> {
  for (const path of paths) {
    const { size } = await stat(join(folder, path));
    yield header(`${prefix}/${path.replaceAll(sep, '/')}`, size);
    let read = 0;
    for await (const chunk of createReadStream(join(folder, path))) {
      read += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
    if (read !== size) throw new Error(`github: ${path} changed while it was packed`);
    yield Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function header(path: string, size: number): Buffer {
  const slash = path.length <= 100 ? -1 : path.lastIndexOf('/', 155);
  const [name, prefix] = [path.slice(slash + 1), path.slice(0, Math.max(0, slash))];
  if (Buffer.byteLength(name) > 100 || Buffer.byteLength(prefix) > 155 || size > MAX_FILE_BYTES) {
    throw new InputError(
      `github: ${path} (${size} bytes) does not fit a tar archive, expected a name of at most 100 bytes and 8 GiB. Rename or split it.`,
    );
  }
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number, at: number) =>
    block.write(`${value.toString(8).padStart(digits, '0')}\0`, at);
  block.write(name, 0);
  octal(0o644, 7, 100);
  octal(0, 7, 108);
  octal(0, 7, 116);
  octal(size, 11, 124);
  octal(0, 11, 136);
  block.write('        0', 148);
  block.write('ustar\x0000', 257);
  block.write(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
