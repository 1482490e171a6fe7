/**
 * How long the bundles take to start, interleaved with a Node that does nothing: what the action and the command line
 * cost before they work. ONNX Runtime must not be loaded by then.
 *
 *   npx node bench/start.ts [ROUNDS]
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from '../src/tensor/statistics.ts';
import { machineLines } from './machine.ts';

const rounds = Number(process.argv[2] ?? 30);
const dist = join(import.meta.dirname, '../dist');
const folder = mkdtempSync(join(tmpdir(), 'ziplm-start-'));
const event = join(folder, 'event.json');
writeFileSync(event, '{}');

/** A job that ends when it has looked at its inputs and its event: nothing allows this one. */
const job = {
  INPUT_MODE: 'benchmark',
  INPUT_TOKEN: 'none',
  GITHUB_EVENT_NAME: 'issue_comment',
  GITHUB_EVENT_PATH: event,
  GITHUB_RUN_ID: '1',
  GITHUB_REPOSITORY: 'octo/models',
  GITHUB_WORKSPACE: folder,
};
const programs: Readonly<Record<string, readonly string[]>> = {
  'node -e 0': ['-e', '0'],
  'ziplm --version': [join(dist, 'cli.cjs'), '--version'],
  'ziplm --help': [join(dist, 'cli.cjs'), '--help'],
  'the action, until it knows who asks': [join(dist, 'index.cjs')],
};

const ms = new Map(Object.keys(programs).map((name) => [name, [] as number[]]));
for (let round = -2; round < rounds; round++) {
  for (const [name, args] of Object.entries(programs)) {
    const start = performance.now();
    const { stdout } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env: { ...process.env, ...job },
    });
    const took = performance.now() - start;
    if (name.startsWith('the action') && !stdout.includes('nothing was read or run')) throw new Error(stdout);
    if (round >= 0) ms.get(name)!.push(took);
  }
}
rmSync(folder, { recursive: true });
console.log((await machineLines()).join('\n'));
for (const [name, all] of ms) {
  const sorted = all.toSorted((a, b) => a - b);
  console.log(
    `${name}: median ${median(all).toFixed(0)} ms, from ${sorted[0].toFixed(0)} to ${sorted.at(-1)!.toFixed(0)} (${rounds} rounds)`,
  );
}
