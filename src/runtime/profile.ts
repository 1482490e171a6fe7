/**
 * The latencies of many small models, for a latency table.
 *
 * One process times them all, each alone: open, warm up, time, release, next. Starting a process for each would
 * cost more than what is measured. A round visits every model once, so that the minutes in which a
 * machine is slow touch all levels of a block alike, and not one level that then looks slow.
 * @module
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Progress, silent } from '../progress.ts';
import { median } from '../tensor/statistics.ts';
import { type Feeds, inTemporaryFolder, onDisk, writeFeeds } from './feeds.ts';
import { warnWhenBusy } from './hardware.ts';
import type { Provider } from './session.ts';
import { type ChildOptions, runChild } from './spawn.ts';

export interface SmallModel {
  readonly key: string;
  /** The model, or how to make it: then only one is in memory at a time. */
  readonly bytes: Uint8Array | (() => Uint8Array);
  /** Tensors shared between models are handed over once. */
  readonly feeds: Feeds;
}

export interface ProfileOptions extends ChildOptions {
  readonly provider: Provider;
  readonly threads?: number;
  /** Times that every model is visited: 3 when left out. */
  readonly rounds?: number;
  /** Runs dropped at each visit: 2 when left out. The first allocates, the second still moves memory. */
  readonly warmup?: number;
  /** Timed runs at each visit, of which the median counts: 5 when left out. */
  readonly runs?: number;
  readonly progress?: Progress;
}

/**
 * Times every model, round robin.
 * @returns for each key one median in milliseconds per round
 * @throws as `timeFresh`
 */
export function timeEach(
  models: readonly SmallModel[],
  options: ProfileOptions,
): Promise<Map<string, number[]>> {
  const { provider, threads, rounds = 3, warmup = 2, runs = 5, progress = silent, ...child } = options;
  return inTemporaryFolder(async (folder) => {
    const feedsFile = join(folder, 'feeds');
    await writeFeeds(feedsFile, Object.fromEntries(models.map(({ key, feeds }) => [key, feeds])));
    const files = models.map((_, i) => join(folder, `${i}.onnx`));
    for (const [i, { bytes }] of models.entries()) {
      await onDisk(folder, () => writeFile(files[i], typeof bytes === 'function' ? bytes() : bytes));
    }

    await warnWhenBusy(progress);
    const mediansMs = new Map(models.map(({ key }) => [key, [] as number[]]));
    const task = progress.task('timing levels', models.length * rounds);
    await runChild(
      {
        kind: 'time',
        models: models.map(({ key }, i) => ({ key, file: files[i], feeds: key })),
        feedsFile,
        session: { provider, ...(threads === undefined ? {} : { threads }) },
        rounds,
        warmup,
        runs,
        minSeconds: 0,
      },
      'the process that times the levels',
      (answer) => {
        if (answer.kind !== 'timed') return;
        const medianMs = median(answer.latenciesMs);
        mediansMs.get(answer.key)!.push(medianMs);
        task.advance(1, `${answer.key} ${medianMs.toFixed(2)} ms`);
      },
      child,
    );
    task.done();
    return mediansMs;
  });
}
