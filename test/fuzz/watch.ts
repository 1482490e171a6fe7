/**
 * Watches over the processes that meet mutants: each has little memory, may write into two folders only, and is ended
 * when a mutant takes too long. A process that ends is replaced, and the mutant that it was at has failed.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Case, Folders, Outcome } from './child.ts';

export interface Watched {
  readonly mutant: Case;
  readonly outcome: Outcome;
}

export interface WatchOptions {
  readonly processes?: number;
  /** For one mutant, the start of a process included. */
  readonly seconds?: number;
  readonly memoryMiB?: number;
}

/** Meets every mutant, in processes of their own. The outcomes come in the order of the cases. */
export async function watch(cases: readonly Case[], options: WatchOptions = {}): Promise<Watched[]> {
  const { processes = 2 } = options;
  const parts = Array.from({ length: processes }, (_, i) => cases.filter((__, at) => at % processes === i));
  const outcomes = await Promise.all(parts.map((part) => watchAll(part, options)));
  return cases.map((mutant, at) => ({
    mutant,
    outcome: outcomes[at % processes][Math.floor(at / processes)],
  }));
}

async function watchAll(cases: readonly Case[], options: WatchOptions): Promise<Outcome[]> {
  const root = mkdtempSync(join(tmpdir(), 'ziplm-fuzz-'));
  const folders: Folders = { model: join(root, 'model'), out: join(root, 'out') };
  const outcomes: Outcome[] = [];
  try {
    while (outcomes.length < cases.length) {
      for (const folder of Object.values(folders)) {
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder);
      }
      outcomes.push(...(await watchOne(cases.slice(outcomes.length), folders, options)));
    }
    return outcomes;
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Outcomes until the process ended, a last failed one for what it ended of. */
function watchOne(
  cases: readonly Case[],
  folders: Folders,
  { seconds = 60, memoryMiB = 512 }: WatchOptions,
): Promise<Outcome[]> {
  return new Promise((resolve, reject) => {
    const permissions = [
      '--permission',
      '--allow-fs-read=*',
      ...Object.values(folders).map((folder) => `--allow-fs-write=${folder}`),
    ];
    const child = spawn(
      process.execPath,
      [`--max-old-space-size=${memoryMiB}`, ...permissions, join(import.meta.dirname, 'child.ts')],
      { stdio: ['pipe', 'ignore', 'pipe', 'pipe'] },
    );
    const outcomes: Outcome[] = [];
    let printed = '';
    let pending = '';
    let late = false;
    const patience = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, seconds * 1000);
    (child.stdio[3] as Readable).setEncoding('utf8').on('data', (piece: string) => {
      patience.refresh();
      const lines = (pending + piece).split('\n');
      pending = lines.pop() ?? '';
      outcomes.push(...lines.map((line) => JSON.parse(line) as Outcome));
    });
    child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      printed = (printed + piece).slice(-2000);
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(patience);
      const why = late
        ? `did not end within ${seconds} s`
        : `ended the process (${signal ?? code}): ${printed}`;
      if (outcomes.length < cases.length) outcomes.push({ kind: 'failed', sentence: why });
      resolve(outcomes);
    });
    child.stdin?.on('error', () => {}); // a child that ended early; 'close' says how
    child.stdin?.end(JSON.stringify({ cases, folders }));
  });
}
