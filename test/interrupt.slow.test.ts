/** Ctrl-C while the machine is being measured. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ziplm } from './command.ts';

const config = fileURLToPath(new URL('../examples/spam-filter/ziplm.yml', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ziplm-interrupt-'));
});
afterAll(() => rm(folder, { recursive: true }));

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

function isAlive(pid: number): boolean {
  try {
    // A zombie has ended: only its parent has not asked yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i === 600) throw new Error(`waited a minute for ${what}`);
    await sleep(100);
  }
}

describe.skipIf(process.platform !== 'linux')('a signal stops the run and its measuring processes', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends with %d', async (signal, code) => {
    const output = join(folder, signal);
    const temporary = await mkdtemp(join(folder, 'tmp-'));
    let children: number[] = [];
    const outcome = await ziplm(['run', config, '--output', output, '--json'], {
      env: { TMPDIR: temporary },
      onStart: async (child) => {
        await until(() => {
          children = child.exitCode === null ? childrenOf(child.pid!) : [-1];
          // Its inputs lie in a temporary folder while the machine is measured, not while providers are tried.
          return children.length > 0 && (child.exitCode !== null || readdirSync(temporary).length > 0);
        }, 'a measuring process');
        child.kill(signal);
      },
    });
    expect(outcome).toMatchObject({ code, stdout: '' });
    expect(outcome.stderr.trimEnd().split('\n').at(-1)).toBe(
      `Stopped by ${signal}. Finished stages are kept: the same command goes on from there.`,
    );
    await until(() => !children.some(isAlive), 'the measuring processes to end');
    expect(await readdir(temporary)).toEqual([]);
    // Only the stages' own folder may be there: no report, no record, no model.
    expect((await readdir(output).catch(() => [])).filter((name) => name !== '.work')).toEqual([]);
  });
});
