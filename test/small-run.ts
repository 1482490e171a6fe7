/** Whole runs that take seconds: the embedded example with few rows, a small shape and a short search. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const example = fileURLToPath(new URL('../examples/spam-filter', import.meta.url));

export interface SmallRun {
  readonly calibration: string;
  readonly evaluation: string;
  /** Separated by commas. */
  readonly speedups: string;
  readonly output?: string;
}

/** The command line of a small run. One thread: on a busy machine, two would wait for each other. */
export function smallRun({ calibration, evaluation, speedups, output }: SmallRun): string[] {
  const flags = {
    model: example,
    'data-calibration': calibration,
    'data-evaluation': evaluation,
    speedups,
    ...(output !== undefined && { output }),
    'shape-batch': 4,
    'shape-sequence': 32,
    'max-length': 32,
    provider: 'cpu',
    threads: 1,
    'search-steps': 8,
    rounds: 3,
  };
  return ['run', ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)])];
}

/** Writes the first rows of the example's data into `folder`: 16 to calibrate on, 100 to evaluate. */
export function smallData(folder: string): { calibration: string; evaluation: string } {
  const first = (name: string, rows: number) => {
    const file = join(folder, name);
    writeFileSync(file, readFileSync(join(example, name), 'utf8').split('\n', rows).join('\n'));
    return file;
  };
  return { calibration: first('train.jsonl', 16), evaluation: first('test.jsonl', 100) };
}
