/**
 * Folders of programs that are kept between jobs, in the runner's tool cache: `NAME/VERSION/ARCH`, and beside it
 * `ARCH.complete` once it is whole. The same layout as GitHub's own tools have, so that images can bring them along.
 * @module
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type LockOptions, withLock } from './lock.ts';

export interface Entry {
  /** The tool cache's folder. */
  readonly root: string;
  readonly name: string;
  readonly version: string;
}

/** Where an entry lies. */
export function entryPath({ root, name, version }: Entry): string {
  return join(root, name, version, process.arch);
}

/**
 * A finished folder: the one that is there if it passes `check`, else one that `fill` makes. Made beside its place,
 * checked, and renamed, under a lock: two jobs never see or make half of it.
 * @param check whether a folder holds what it should
 * @returns the folder
 */
export async function stored(
  entry: Entry,
  check: (folder: string) => Promise<boolean>,
  fill: (folder: string) => Promise<void>,
  lock: LockOptions = {},
): Promise<string> {
  const path = entryPath(entry);
  const complete = `${path}.complete`;
  const isThere = async () => existsSync(complete) && (await check(path));
  if (await isThere()) return path;
  await mkdir(dirname(path), { recursive: true });
  await withLock(
    `${path}.lock`,
    async () => {
      if (await isThere()) return; // another job made it while this one waited
      await rm(complete, { force: true });
      await rm(path, { recursive: true, force: true });
      await removePartial(dirname(path));
      const partial = `${path}.${randomUUID()}.partial`;
      try {
        await mkdir(partial);
        await fill(partial);
        if (!(await check(partial))) {
          throw new Error(`runtime: what was made for ${path} is not what it should be`);
        }
        await rename(partial, path);
        await writeFile(complete, '');
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
    },
    lock,
  );
  return path;
}

/** What killed jobs left: under the lock, nobody is at work on it. */
async function removePartial(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith('.partial')) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** SHA-256 of a file, in hexadecimal digits. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** Whether a folder holds every file of a list in the form of `sha256sum`, each as the list has it. */
export async function holdsAll(folder: string, sums: ReadonlyMap<string, string>): Promise<boolean> {
  for (const [name, sum] of sums) {
    const file = join(folder, name);
    if (!existsSync(file) || (await sha256Of(file)) !== sum) return false;
  }
  return true;
}

/** The lines of `sha256sum`: path → digest. */
export function parseSums(text: string): Map<string, string> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const match = /^([0-9a-f]{64}) [ *](.+)$/.exec(line);
      if (match === null) throw new Error(`runtime: "${line}" is no line of sha256sum`);
      return [match[2], match[1]] as const;
    }),
  );
}
