/**
 * A whole run from nothing, with its wall time and the memory of all its processes.
 *
 *   npx node bench/run.ts bench/minilm.yml --output /tmp/minilm [FLAGS OF `ziplm run`]
 *   npx node bench/run.ts examples/spam-filter/ziplm.yml --output /tmp/demo
 *
 * The output folder must not exist: a reused stage would make the time meaningless. Writes `OUTPUT.measured.json`, which
 * bench/table.ts reads, and exits as the run did. Peak memory is the largest sum of resident memory over the process and its
 * descendants (Linux), pages that two of them share counted twice, looked at every quarter of a second.
 * @module
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machineLines } from './machine.ts';

const LOOK_EVERY_MS = 250;

export interface Measured {
  readonly machine: readonly string[];
  readonly wallSeconds: number;
  readonly peakBytes: number;
  readonly exitCode: number;
}

/** Resident bytes of a process and of all that descend from it. */
function treeBytes(root: number): number {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statusOf(Number(name)));
  const tree = new Set([root]);
  // A child's number may be lower than its parent's once numbers wrap around: go on until nothing is new.
  for (let before = 0; before < tree.size; ) {
    before = tree.size;
    for (const { id, parent } of processes) if (tree.has(parent)) tree.add(id);
  }
  return processes.reduce((sum, { id, bytes }) => sum + (tree.has(id) ? bytes : 0), 0);
}

/** Empty when the process has gone. */
function statusOf(id: number): { id: number; parent: number; bytes: number }[] {
  try {
    const status = readFileSync(`/proc/${id}/status`, 'utf8');
    const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    return [{ id, parent: field('PPid'), bytes: 1024 * field('VmRSS') }];
  } catch {
    return [];
  }
}

async function measure(command: readonly string[]): Promise<Omit<Measured, 'machine'>> {
  const begun = performance.now();
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'inherit', 'inherit'] });
  let peakBytes = 0;
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, treeBytes(child.pid!));
  }, LOOK_EVERY_MS);
  const exitCode = await new Promise<number>((done, fail) => {
    child.on('error', fail);
    child.on('close', (code) => done(code ?? 1));
  });
  clearInterval(timer);
  return { wallSeconds: (performance.now() - begun) / 1e3, peakBytes, exitCode };
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { output: { type: 'string' } },
    allowPositionals: true,
    strict: false,
  });
  const output = typeof values.output === 'string' ? resolve(values.output) : undefined;
  if (positionals.length === 0 || output === undefined) {
    console.error('usage: npx node bench/run.ts CONFIG --output FOLDER [FLAGS OF `ziplm run`]');
    process.exit(2);
  }
  if (existsSync(output)) {
    console.error(`bench: ${output} exists, expected a new folder, so that no stage is reused. Remove it.`);
    process.exit(2);
  }
  const machine = await machineLines();
  const cli = fileURLToPath(new URL('../src/cli.ts', import.meta.url));
  const measured: Measured = { machine, ...(await measure([cli, 'run', ...process.argv.slice(2)])) };
  writeFileSync(`${output}.measured.json`, `${JSON.stringify(measured, null, 1)}\n`);
  console.log(machine.join('\n'));
  console.log(
    `${measured.wallSeconds.toFixed(0)} s, at most ${(measured.peakBytes / 1e9).toFixed(2)} GB resident, exit ${measured.exitCode}`,
  );
  process.exitCode = measured.exitCode;
}
