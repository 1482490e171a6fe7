import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { silent } from '../../src/progress.ts';
import {
  currentLoad,
  fingerprint,
  type Hardware,
  latencyKey,
  requireMemory,
  warnWhenBusy,
} from '../../src/runtime/hardware.ts';

const machine: Hardware = await fingerprint('cpu');

test('the fingerprint is the same each time it is taken, in this process and in another', async () => {
  expect(await fingerprint('cpu')).toEqual(machine);
  const program = `
    const { fingerprint } = await import('${new URL('../../src/runtime/hardware.ts', import.meta.url)}');
    console.log((await fingerprint('cpu')).fingerprint);`;
  const other = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  expect(other.trim()).toBe(machine.fingerprint);
});

describe('the key of latencies', () => {
  test.each<[keyof Hardware, unknown]>([
    ['cpu', 'another'],
    ['cores', 64],
    ['physicalCores', 64],
    ['runtime', 'onnxruntime-node 9.9.9'],
    ['provider', 'cuda'],
    ['gpus', ['another']],
    ['virtual', !machine.virtual],
  ])('changes with %s', (field, value) => {
    expect(latencyKey({ ...machine, [field]: value })).not.toBe(machine.fingerprint);
  });

  test.each<[keyof Hardware, unknown]>([
    ['memoryBytes', 1],
    ['os', 'another'],
    ['node', '99.0.0'],
    ['gpus', [...machine.gpus].reverse()],
  ])('does not change with %s', (field, value) => {
    expect(latencyKey({ ...machine, [field]: value })).toBe(machine.fingerprint);
  });
});

test('the load is a share of all processors', async () => {
  const load = await currentLoad(50);
  expect(load).toBeGreaterThanOrEqual(0);
  expect(load).toBeLessThanOrEqual(1);
});

test('a busy machine is warned of, an idle one is not', async () => {
  const warned: string[] = [];
  const progress = { ...silent, warn: (message: string) => void warned.push(message) };
  await warnWhenBusy(progress, async () => 0.1);
  expect(warned).toEqual([]);
  await warnWhenBusy(progress, async () => 0.5);
  expect(warned).toEqual([expect.stringContaining('50 %')]);
});

test('work that does not fit into memory is refused with the two sizes', () => {
  requireMemory(1e6, 'a little', 2e6);
  requireMemory(1, 'one byte');
  expect(() => requireMemory(3e9, 'calibrating', 2e9)).toThrow(
    expect.objectContaining({
      name: 'MachineError',
      message: expect.stringMatching(/calibrating takes about 3000 MB of memory, 2000 MB is free/),
    }),
  );
});
