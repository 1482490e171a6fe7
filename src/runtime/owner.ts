/**
 * Which process something belongs to, so that what a killed one left behind can be told from what is in use.
 *
 * A process is known by its machine, its number, and, where the system tells (Linux), when it began: numbers are given
 * out again.
 * @module
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

export interface Owner {
  /** A digest of the machine's name; containers that share a folder have names of their own. */
  readonly machine: string;
  readonly pid: number;
  /** Ticks from the machine's start to the process's; '' where the system does not tell. */
  readonly began: string;
}

/** This process. */
export function ourselves(): Owner {
  return { machine: thisMachine(), pid: process.pid, began: beginningOf(process.pid) };
}

/**
 * Whether the process still runs. One of another machine cannot be asked: `undefined`.
 */
export function isAlive({ machine, pid, began }: Owner): boolean | undefined {
  if (machine !== thisMachine()) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: somebody else's, but there.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return began === '' || began === beginningOf(pid);
}

function thisMachine(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
}

function beginningOf(pid: number): string {
  try {
    // The name, in parentheses, may hold anything; the 22nd field is the 20th after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

const temporary = /^ziplm-([0-9a-f]{8})-(\d+)-(\d*)-\w{6}$/;

/** The beginning of a temporary folder's name, which tells its owner. */
export function temporaryPrefix({ machine, pid, began }: Owner = ourselves()): string {
  return `ziplm-${machine}-${pid}-${began}-`;
}

/** Removes temporary folders of processes that were killed. What cannot be removed stays. */
export function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [, machine, pid, began] = temporary.exec(name) ?? [];
    if (machine === undefined || isAlive({ machine, pid: Number(pid), began }) !== false) continue;
    try {
      rmSync(join(folder, name), { recursive: true, force: true });
    } catch {
      // Somebody else's, or somebody else removes it at this moment.
    }
  }
}
