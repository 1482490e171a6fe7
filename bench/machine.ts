/**
 * What a bench prints before its numbers: the machine, and whether others were at work on it.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { currentLoad, fingerprint } from '../src/runtime/hardware.ts';

/** The interpreter that runs the peers. */
export const python = process.env.PYTHON ?? 'python3';

/** A line on the machine, one on the versions, and one more when it is busy. */
export async function machineLines(): Promise<string[]> {
  const machine = await fingerprint('cpu');
  const busy = await currentLoad(1000);
  const gigabytes = (machine.memoryBytes / 1e9).toFixed(0);
  return [
    `${machine.cpu}, ${machine.cores} cores, ${gigabytes} GB, ${machine.os}${machine.virtual ? ', virtual' : ''}; fingerprint ${machine.fingerprint}`,
    `node ${machine.node}, ${machine.runtime}; ${pythonVersions()}`,
    ...(busy >= 0.1
      ? [
          `**Other programs kept ${Math.round(busy * 100)} % of the processors busy when this began.** The times say little.`,
        ]
      : []),
  ];
}

function pythonVersions(): string {
  const program = [
    'import importlib.metadata as m, platform',
    "found = ['python ' + platform.python_version()]",
    "for name in ('torch', 'numpy', 'onnxruntime'):",
    '    try: found.append(name + " " + m.version(name))',
    '    except m.PackageNotFoundError: pass',
    "print(', '.join(found))",
  ].join('\n');
  return execFileSync(python, ['-c', program], { encoding: 'utf8' }).trim();
}

/** `0.36 [0.35-0.39]`: median and range of the repeats. */
export function spread(values: readonly number[], digits = 2): string {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  const show = (value: number) => value.toFixed(digits);
  return `${show(median)} [${show(sorted[0])}-${show(sorted[sorted.length - 1])}]`;
}
