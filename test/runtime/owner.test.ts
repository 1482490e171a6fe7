import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { inTemporaryFolder } from '../../src/runtime/feeds.ts';
import { isAlive, ourselves, removeAbandoned, temporaryPrefix } from '../../src/runtime/owner.ts';

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'owner-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The number of a process that has ended. */
async function dead(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(child, 'exit');
  return child.pid!;
}

test('this process is alive, one that ended is not, one elsewhere cannot be asked', async () => {
  const us = ourselves();
  expect(isAlive(us)).toBe(true);
  expect(isAlive({ ...us, pid: await dead() })).toBe(false);
  expect(isAlive({ ...us, machine: '00000000' })).toBeUndefined();
});

test('a number that was given out again is not the same process', () => {
  const us = ourselves();
  expect(isAlive({ ...us, began: us.began === '' ? '' : '1' })).toBe(us.began === '');
});

test('folders of killed processes go, all others stay', async () => {
  const folder = scratch();
  const us = ourselves();
  const gone = { ...us, pid: await dead() };
  const names = {
    ours: `${temporaryPrefix(us)}abcdef`,
    theirs: `${temporaryPrefix({ ...gone, machine: '00000000' })}abcdef`,
    left: `${temporaryPrefix(gone)}abcdef`,
    another: 'ziplm-record-abcdef',
  };
  for (const name of Object.values(names)) mkdirSync(join(folder, name));
  writeFileSync(join(folder, names.left, 'feeds'), 'x');
  // A link of such a name leads to something that is not ours to remove.
  const kept = scratch();
  writeFileSync(join(kept, 'kept'), 'x');
  symlinkSync(kept, join(folder, `${temporaryPrefix(gone)}linked`));
  removeAbandoned(folder);
  expect(readdirSync(folder).sort()).toEqual([names.ours, names.theirs, names.another].sort());
  expect(existsSync(join(kept, 'kept'))).toBe(true);
});

test('a temporary folder names its owner', async () => {
  await inTemporaryFolder(async (folder) => {
    expect(basename(folder).startsWith(temporaryPrefix())).toBe(true);
  });
});
