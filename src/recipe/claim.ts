/**
 * One run at a time in an output folder: a second one would sweep away what the first has half written.
 * @module
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { isAlive, type Owner, ourselves } from '../runtime/owner.ts';

const LOCK = 'lock';

/**
 * Claims an output folder for this process until it is disposed of, or the process exits. A claim of a process that is gone is
 * taken over; so is one of another machine, which a folder keeps that was carried here with a killed run's stages.
 * @throws InputError when another process of this machine works there
 */
export function claim(output: string): Disposable {
  const folder = join(output, '.work');
  mkdirSync(folder, { recursive: true });
  const lock = join(folder, LOCK);
  for (let attempt = 0; !take(lock); attempt++) {
    const owner = read(lock);
    const isOther = owner !== undefined && owner.pid !== process.pid;
    if (isOther && isAlive(owner) === true) {
      throw new InputError(
        `ziplm: process ${owner.pid} is at work in ${output}, and two runs would spoil each other's results. ` +
          'Wait until it has ended, or choose another --output.',
      );
    }
    if (attempt === 3) throw new InputError(`ziplm: ${lock} cannot be taken over. Remove it and run again.`);
    discard(lock);
  }
  const release = () => rmSync(lock, { force: true });
  process.once('exit', release);
  return {
    [Symbol.dispose]() {
      process.off('exit', release);
      release();
    },
  };
}

/** Makes the lock, with its owner in it from the first moment on. */
function take(lock: string): boolean {
  try {
    writeFileSync(lock, JSON.stringify(ourselves()), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Away under another name first: of two processes that find the same dead owner, one takes the lock over. */
function discard(lock: string): void {
  const aside = `${lock}.${process.pid}.partial`;
  try {
    renameSync(lock, aside);
    rmSync(aside, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Undefined for a lock that is gone or damaged. */
function read(lock: string): Owner | undefined {
  try {
    const { machine, pid, began } = JSON.parse(readFileSync(lock, 'utf8')) as Partial<Owner>;
    return typeof machine === 'string' && typeof pid === 'number' && typeof began === 'string'
      ? { machine, pid, began }
      : undefined;
  } catch {
    return undefined;
  }
}
