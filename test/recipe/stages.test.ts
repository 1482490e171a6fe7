import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { silent } from '../../src/progress.ts';
import { digest, openStages } from '../../src/recipe/stages.ts';

const folder = () => mkdtempSync(join(tmpdir(), 'stages-'));

test('a stage is computed once for a key, also by a later run, and again for another key', async () => {
  const at = folder();
  let computed = 0;
  const compute = async () => ({ value: ++computed });
  const first = openStages(at, silent);
  expect(await first.json('table', { shape: 1 }, compute)).toEqual({ value: 1 });
  const second = openStages(at, silent);
  expect(await second.json('table', { shape: 1 }, compute)).toEqual({ value: 1 });
  expect(second.reused).toEqual(['table']);
  expect(second.seconds).toEqual({});
  expect(await second.json('table', { shape: 2 }, compute)).toEqual({ value: 2 });
  expect(second.has('table', { shape: 2 })).toBe(true);
  expect(second.has('table', { shape: 3 })).toBe(false);
});

test('a stage that fails leaves nothing, and what a killed run left half-written is cleared away', async () => {
  const at = folder();
  const stages = openStages(at, silent);
  const failing = stages.folder('levels', 1, async (partial) => {
    writeFileSync(join(partial, 'half'), 'x');
    throw new Error('disk full');
  });
  await expect(failing).rejects.toThrow('disk full');
  expect(readdirSync(at)).toEqual([]);
  writeFileSync(join(at, 'levels-00.partial'), 'left by a killed run');
  openStages(at, silent);
  expect(readdirSync(at)).toEqual([]);
});

test('a folder stage returns the finished folder', async () => {
  const stages = openStages(folder(), silent);
  const done = await stages.folder('levels', 1, async (partial) => writeFileSync(join(partial, 'a'), 'all'));
  expect(readFileSync(join(done, 'a'), 'utf8')).toBe('all');
});

test('the digest does not depend on the order of keys, but on every value', () => {
  expect(digest({ a: 1, b: [{ c: 2, d: 3 }] })).toBe(digest({ b: [{ d: 3, c: 2 }], a: 1 }));
  expect(digest({ a: 1 })).not.toBe(digest({ a: 2 }));
  expect(digest([1, [2]])).not.toBe(digest([[1], 2]));
});

test('times add up by chapter', async () => {
  let clock = 0;
  const stages = openStages(folder(), silent, () => clock);
  const taking = (ms: number) => async () => {
    clock += ms;
    return ms;
  };
  await stages.json('levels-mlp.0', 1, taking(1000));
  await stages.json('levels-mlp.1', 1, taking(500));
  await stages.json('levels-mlp.1', 1, taking(9000)); // reused: costs nothing
  expect(await stages.timed('calibrate', taking(250))).toBe(250);
  expect(stages.seconds).toEqual({ levels: 1.5, calibrate: 0.25 });
});
