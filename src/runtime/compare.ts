/**
 * The speedup of a model over the dense one, truthfully: docs/decisions/0004 and 0008 say why each rule is there.
 *
 * Notation:
 *   round     each model alone in a fresh process, once; the order turns around from round to round
 *   ratio     dense latency / other latency within one round, medians of the runs: > 1 is faster
 *   state     for minutes at a time a machine may favour one model; ratios then fall into two groups
 * @module
 */
import { type Progress, silent } from '../progress.ts';
import { type Interval, mean, median, medianInterval } from '../tensor/statistics.ts';
import { warnWhenBusy } from './hardware.ts';
import { type TimedModel, type TimingOptions, timeFresh, withFeedsFile } from './timing.ts';

export interface Round {
  /** When it began: milliseconds since 1970. */
  readonly at: number;
  /** Model name → its median latency in milliseconds. */
  readonly medianMs: Readonly<Record<string, number>>;
}

export interface RoundOptions extends TimingOptions {
  readonly progress?: Progress;
  /** How many rounds came before, so that the order goes on alternating: 0 when left out. */
  readonly before?: number;
  readonly now?: () => number;
}

/** A median with the distribution-free 95 % interval over rounds: fewer than six rounds give their whole range. */
export interface Estimate extends Interval {
  readonly median: number;
}

export interface SpeedupSummary extends Estimate {
  readonly rounds: number;
  /** 2 when the rounds show the machine in two states. */
  readonly groups: 1 | 2;
  /** With two groups: the ratios of each. `slower` holds the smaller speedups. */
  readonly slower?: Estimate;
  readonly faster?: Estimate;
}

export type Verdict = 'met' | 'missed' | 'inconclusive';

/**
 * Measures rounds: in each, every model once, alone in a fresh process.
 * @param models the dense one first; their names must differ
 * @throws as `timeFresh`
 */
export function measureRounds(
  models: readonly TimedModel[],
  rounds: number,
  options: RoundOptions,
): Promise<Round[]> {
  const { progress = silent, before = 0, now = Date.now, ...timing } = options;
  if (new Set(models.map(({ name }) => name)).size < models.length) {
    throw new Error(
      `runtime: two of the models are called the same: ${models.map(({ name }) => name).join(', ')}`,
    );
  }
  const measure = async (feeds: string) => {
    await warnWhenBusy(progress);
    const done: Round[] = [];
    const task = progress.task('measuring', rounds * models.length);
    for (let i = 0; i < rounds; i++) {
      const at = now();
      const medianMs: Record<string, number> = {};
      for (const model of inTurn(models, before + i)) {
        medianMs[model.name] = (await timeFresh(model, { ...timing, feeds })).medianMs;
        task.advance(1, `${model.name} ${medianMs[model.name].toFixed(1)} ms`);
      }
      done.push({ at, medianMs });
    }
    task.done();
    return done;
  };
  return typeof timing.feeds === 'string' ? measure(timing.feeds) : withFeedsFile(timing.feeds, measure);
}

/** Forward in even rounds, backward in odd ones: what drifts steadily then favours none. */
function inTurn<T>(models: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? models : models.toReversed();
}

/**
 * The speedup of `other` over `dense`: ratios within rounds, over rounds.
 * Rounds that lack one of the two do not count.
 */
export function summarise(rounds: readonly Round[], dense: string, other: string): SpeedupSummary {
  const ratios = rounds
    .map(({ medianMs }) => medianMs[dense] / medianMs[other])
    .filter((ratio) => Number.isFinite(ratio));
  const states = twoStates(ratios);
  return {
    ...estimate(ratios),
    rounds: ratios.length,
    groups: states ? 2 : 1,
    ...(states && { slower: estimate(states.slower), faster: estimate(states.faster) }),
  };
}

function estimate(values: readonly number[]): Estimate {
  return { median: median(values), ...medianInterval(values) };
}

/**
 * Ratios in two groups, or undefined for one.
 *
 * The split that leaves the least variance inside, at least two rounds on each side, counts as two states when
 * the means are 3 % apart or more, and apart by more than 3 + 30/n of the standard deviation inside: n normal
 * ratios of one state exceed that once or twice in a hundred campaigns (simulated, n = 6 to 30).
 * Fewer than six rounds decide nothing; their interval is the whole range anyway.
 */
export function twoStates(ratios: readonly number[]): { slower: number[]; faster: number[] } | undefined {
  const n = ratios.length;
  if (n < 6) return undefined;
  const sorted = ratios.toSorted((a, b) => a - b);
  let best = { at: 0, within: Number.POSITIVE_INFINITY };
  for (let at = 2; at <= n - 2; at++) {
    const within = scatter(sorted.slice(0, at)) + scatter(sorted.slice(at));
    if (within < best.within) best = { at, within };
  }
  const slower = sorted.slice(0, best.at);
  const faster = sorted.slice(best.at);
  const apart = mean(faster) - mean(slower);
  const inside = Math.sqrt(best.within / (n - 2));
  return apart >= 0.03 * mean(slower) && apart > (3 + 30 / n) * inside ? { slower, faster } : undefined;
}

/** The sum of squared deviations from the mean. */
function scatter(values: readonly number[]): number {
  const centre = mean(values);
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
}

/**
 * Whether a target speedup was reached: `met` when the interval's lower end reaches it, `missed` when the upper
 * end does not, else `inconclusive`. With the machine in two states, `met` must hold in the slower one and `missed`
 * in the faster one.
 */
export function judge(target: number, summary: SpeedupSummary): Verdict {
  const { slower = summary, faster = summary } = summary;
  if (slower.low >= target) return 'met';
  return faster.high < target ? 'missed' : 'inconclusive';
}

export interface Comparison {
  readonly rounds: readonly Round[];
  readonly models: readonly {
    readonly name: string;
    readonly file: string;
    /** Over all rounds. */
    readonly latencyMs: Estimate;
    /** Over the first model; absent for it. */
    readonly speedup?: SpeedupSummary;
  }[];
}

/**
 * Compares model files by this protocol: the first is the dense one.
 * @throws as `timeFresh`
 */
export async function compareModels(
  files: readonly string[],
  { rounds = 6, ...options }: RoundOptions & { readonly rounds?: number },
): Promise<Comparison> {
  const models = files.map((file, i) => ({ name: nameOf(file, i, files), file }));
  const measured = await measureRounds(models, rounds, options);
  const [dense] = models;
  return {
    rounds: measured,
    models: models.map(({ name, file }) => ({
      name,
      file,
      latencyMs: estimate(measured.map(({ medianMs }) => medianMs[name])),
      ...(name === dense.name ? {} : { speedup: summarise(measured, dense.name, name) }),
    })),
  };
}

/** The path; with its position where the same file is given twice. */
function nameOf(file: string, i: number, files: readonly string[]): string {
  return files.indexOf(file) === i ? file : `${file} (${i + 1})`;
}
