/** A training that is killed without a warning, again and again. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { scratch } from '../onnx/fixtures.ts';

const program = fileURLToPath(new URL('process.ts', import.meta.url));

/** @param steps after how many of its own steps it is killed */
async function run(checkpoint: string, steps = Number.POSITIVE_INFINITY) {
  const child = spawn(process.execPath, [program, checkpoint], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (lines.length === steps + 1) child.kill('SIGKILL');
  }
  return lines;
}

test('ends in the weights of one that nobody killed, bit for bit', async () => {
  const folder = await scratch();
  const whole = await run(join(folder, 'whole.train'));
  expect(whole.filter((line) => line.startsWith('steps 1'))).toHaveLength(40);
  const checkpoint = join(folder, 'killed.train');
  for (const steps of [3, 1, 9, 12]) {
    const lines = await run(checkpoint, steps);
    expect(lines.at(-1)).not.toMatch(/^weights/);
  }
  const last = await run(checkpoint);
  expect(Number(last[0].split(' ')[1])).toBeGreaterThanOrEqual(20);
  expect(last.at(-1)).toMatch(/^weights [0-9a-f]{64}$/);
  expect(last.at(-1)).toBe(whole.at(-1));
});
