/**
 * A lock between processes: a file that is there while one of them works. Its holder touches it every few seconds,
 * so that the lock of a process that was killed is seen to be nobody's.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { MachineError } from '../../errors.ts';

export interface LockOptions {
  /** A lock that nobody touched for so long belongs to nobody. */
  readonly staleMs?: number;
  /** How long to wait for another's work before giving up. */
  readonly patienceMs?: number;
  readonly pollMs?: number;
}

/**
 * Does `work` while no other process does work under the same lock.
 * @throws MachineError when another holds it for longer than the patience
 */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  { staleMs = 60_000, patienceMs = 20 * 60_000, pollMs = 500 }: LockOptions = {},
): Promise<T> {
  const begin = Date.now();
  while (!(await take(file))) {
    await removeStale(file, staleMs);
    if (Date.now() - begin > patienceMs) {
      throw new MachineError(
        `runtime: another job has held ${file} for ${Math.round(patienceMs / 60_000)} min. Wait for it, or remove the file if no job runs.`,
      );
    }
    await sleep(pollMs);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => {}); // a lock that was taken away; the renames below stay whole anyway
  }, staleMs / 6);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    await rm(file, { force: true });
  }
}

async function take(file: string): Promise<boolean> {
  try {
    await (await open(file, 'wx')).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Moved aside before it is removed: of several that wait, one gets it, and a lock that was taken meanwhile is put back. */
async function removeStale(file: string, staleMs: number): Promise<void> {
  const isStale = async (path: string) => Date.now() - (await stat(path)).mtimeMs > staleMs;
  const aside = `${file}.${randomUUID()}`;
  try {
    if (!(await isStale(file))) return;
    await rename(file, aside);
    if (await isStale(aside)) await rm(aside);
    else await rename(aside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
