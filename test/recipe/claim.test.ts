import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { claim } from '../../src/recipe/claim.ts';
import { ourselves } from '../../src/runtime/owner.ts';

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'claim-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const program = new URL('../../src/recipe/claim.ts', import.meta.url).href;

/** Another process that claims a folder and keeps it until it is killed. */
async function another(folder: string) {
  const code = `const { claim } = await import(${JSON.stringify(program)}); claim(${JSON.stringify(folder)}); console.log('claimed'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  await once(child.stdout!, 'data');
  return child;
}

test('two processes cannot work in one folder; when one is killed, the other can', async () => {
  const folder = scratch();
  const child = await another(folder);
  expect(() => claim(folder)).toThrow(InputError);
  expect(() => claim(folder)).toThrow(
    `ziplm: process ${child.pid} is at work in ${folder}, and two runs would spoil each other's results. Wait until it has ended, or choose another --output.`,
  );
  child.kill('SIGKILL');
  await once(child, 'exit');
  {
    using _ = claim(folder);
    expect(readdirSync(join(folder, '.work'))).toEqual(['lock']);
  }
  expect(readdirSync(join(folder, '.work'))).toEqual([]);
});

test.each([
  ['of another machine', JSON.stringify({ ...ourselves(), machine: '00000000', pid: 1 })],
  ['that is damaged', '{"pid": '],
  ['of this process, by number', JSON.stringify({ ...ourselves(), began: '1' })],
])('a claim %s is taken over', (_, lock) => {
  const folder = scratch();
  mkdirSync(join(folder, '.work'));
  writeFileSync(join(folder, '.work/lock'), lock);
  using _claim = claim(folder);
  expect(() => claim(folder)).not.toThrow();
});
