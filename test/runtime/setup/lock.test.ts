import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { withLock } from '../../../src/runtime/setup/lock.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-lock-'));
  file = join(folder, 'lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

test('works one after the other, never at once', async () => {
  let inside = 0;
  let most = 0;
  const work = async () => {
    inside++;
    most = Math.max(most, inside);
    await sleep(15);
    inside--;
  };
  await Promise.all(Array.from({ length: 6 }, () => withLock(file, work, { pollMs: 3 })));
  expect(most).toBe(1);
  expect(existsSync(file)).toBe(false);
});

test('is given back when the work fails', async () => {
  await expect(withLock(file, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(existsSync(file)).toBe(false);
});

test('a killed holder’s lock is taken over, by one of those that wait', async () => {
  writeFileSync(file, '');
  const long = new Date(Date.now() - 3_600_000);
  utimesSync(file, long, long);
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await sleep(10);
    inside--;
  };
  await Promise.all(Array.from({ length: 4 }, () => withLock(file, work, { pollMs: 3 })));
  expect(most).toBe(1);
});

test('a holder at work keeps its lock beyond the time after which it would be stale', async () => {
  let isInside = false;
  const first = withLock(
    file,
    async () => {
      isInside = true;
      await sleep(250);
      isInside = false;
    },
    { staleMs: 60 },
  );
  await sleep(10);
  await withLock(file, async () => expect(isInside).toBe(false), { staleMs: 60, pollMs: 5 });
  await first;
});

test('patience ends, with the lock’s path', async () => {
  writeFileSync(file, '');
  await expect(withLock(file, async () => {}, { patienceMs: 20, pollMs: 5 })).rejects.toMatchObject({
    name: 'MachineError',
    message: expect.stringContaining(file),
  });
});
