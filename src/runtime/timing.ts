/**
 * Latency as a deployed model has it: one model alone in a fresh process, in its steady state.
 *
 * Two live sessions in one process disturb each other (the threads of the one that just ran go on spinning and
 * take the cores from the other), which was seen to shift a speedup by 15 %. A process of its own ends that.
 * @module
 */
import { join } from 'node:path';
import { median } from '../tensor/statistics.ts';
import type { Answer } from './child.ts';
import { type Feeds, inTemporaryFolder, writeFeeds } from './feeds.ts';
import type { Provider } from './session.ts';
import { type ChildOptions, runChild } from './spawn.ts';

/** A model file on disk, external data beside it. */
export interface TimedModel {
  readonly name: string;
  readonly file: string;
}

export interface TimingOptions extends ChildOptions {
  readonly provider: Provider;
  /** Threads inside one operator; ONNX Runtime's default when left out. */
  readonly threads?: number;
  /** The inputs, or a file of them that `writeFeeds` wrote under the set "feeds". Inputs a model lacks are ignored. */
  readonly feeds: Feeds | string;
  /** Runs dropped at the start: 5 when left out. */
  readonly warmup?: number;
  /** Timed runs, at least: 15 when left out. */
  readonly runs?: number;
  /** Seconds of timed runs, at least: when left out none, or half a second where `runs` is left out as well. */
  readonly minSeconds?: number;
}

export interface Timing {
  readonly latenciesMs: number[];
  readonly medianMs: number;
}

/**
 * Times one model in a fresh process.
 * @throws InputError when the file is no model, or the feeds lack an input of it
 * @throws MachineError when the provider is not there, memory runs out, or the process dies or hangs
 */
export async function timeFresh(model: TimedModel, options: TimingOptions): Promise<Timing> {
  const { provider, threads, feeds, warmup = 5, runs = 15, ...rest } = options;
  const { minSeconds = options.runs === undefined ? 0.5 : 0, ...child } = rest;
  if (typeof feeds !== 'string') {
    return withFeedsFile(feeds, (file) => timeFresh(model, { ...options, feeds: file }));
  }
  let latenciesMs: number[] = [];
  await runChild(
    {
      kind: 'time',
      models: [{ key: model.name, file: model.file, feeds: feedsSet }],
      feedsFile: feeds,
      session: { provider, ...(threads === undefined ? {} : { threads }) },
      rounds: 1,
      warmup,
      runs,
      minSeconds,
    },
    `the process that timed ${model.name}`,
    (answer: Answer) => {
      if (answer.kind === 'timed') latenciesMs = [...answer.latenciesMs];
    },
    child,
  );
  return { latenciesMs, medianMs: median(latenciesMs) };
}

const feedsSet = 'feeds';

/** Lends `work` a file that holds `feeds`, for several `timeFresh` of the same inputs. */
export function withFeedsFile<T>(feeds: Feeds, work: (file: string) => Promise<T>): Promise<T> {
  return inTemporaryFolder(async (folder) => {
    const file = join(folder, 'feeds');
    await writeFeeds(file, { [feedsSet]: feeds });
    return work(file);
  });
}
