/**
 * The speedup of a model over the dense one, truthfully: docs/decisions/0004 and 0008 say why each rule is there.
 *
 * Notation:
 *   regime    a way of running a model: its inputs, and how often a request runs it (its weight)
 *   round     each model alone in a fresh process, once in each regime; the order turns around from round to round
 *   latency   the median of a process's runs; of several regimes their sum by weight: the time of a request
 *   ratio     dense latency / other latency within one round: > 1 is faster
 *   state     for minutes at a time a machine may favour one model; ratios then fall into two groups
 * @module
 */
import { type Progress, silent } from '../progress.ts';
import { type Interval, mean, median, medianInterval } from '../tensor/statistics.ts';
import type { Feeds } from './feeds.ts';
import { warnWhenBusy } from './hardware.ts';
import { type TimedModel, type TimingOptions, timeFresh, withFeedsFile } from './timing.ts';

export interface Round {
  /** When it began: milliseconds since 1970. */
  readonly at: number;
  /** Model name → its latency in milliseconds. */
  readonly medianMs: Readonly<Record<string, number>>;
  /** With several regimes: the latencies in each, by the regime's name. */
  readonly regimes?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** A way of running a model. */
export interface Regime {
  readonly name: string;
  /** How often a request runs it; above 0. */
  readonly weight: number;
  readonly feeds: Feeds;
}

export interface RoundOptions extends Omit<TimingOptions, 'feeds'> {
  /** At least one; their names must differ. */
  readonly regimes: readonly Regime[];
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
 * Measures rounds: in each, every model once in every regime, alone in a fresh process.
 * @param models the dense one first; their names must differ
 * @throws as `timeFresh`
 */
export function measureRounds(
  models: readonly TimedModel[],
  rounds: number,
  options: RoundOptions,
): Promise<Round[]> {
  const { progress = silent, before = 0, now = Date.now, regimes, ...timing } = options;
  for (const [what, names] of [
    ['models', models.map(({ name }) => name)],
    ['regimes', regimes.map(({ name }) => name)],
  ] as const) {
    if (new Set(names).size < names.length)
      throw new Error(`runtime: two of the ${what} are called the same: ${names.join(', ')}`);
  }
  const measure = async (files: readonly string[]) => {
    await warnWhenBusy(progress);
    const done: Round[] = [];
    const task = progress.task('measuring', rounds * models.length * regimes.length);
    for (let i = 0; i < rounds; i++) {
      const at = now();
      const times: Record<string, Record<string, number>> = {};
      for (const [r, { name: regime }] of regimes.entries()) {
        times[regime] = {};
        for (const model of inTurn(models, before + i)) {
          const { medianMs } = await timeFresh(model, { ...timing, feeds: files[r] });
          times[regime][model.name] = medianMs;
          const where = regimes.length > 1 ? `${model.name}, ${regime}` : model.name;
          task.advance(1, `${where} ${medianMs.toFixed(1)} ms`);
        }
      }
      const weighted = models.map(({ name }) => [name, weightedMs(times, regimes, name)] as const);
      done.push({
        at,
        medianMs: Object.fromEntries(weighted),
        ...(regimes.length > 1 && { regimes: times }),
      });
    }
    task.done();
    return done;
  };
  return withFeedsFiles(
    regimes.map(({ feeds }) => feeds),
    measure,
  );
}

/** The time of a request: what each regime takes, by how often it is run. */
function weightedMs(
  times: Readonly<Record<string, Readonly<Record<string, number>>>>,
  regimes: readonly Pick<Regime, 'name' | 'weight'>[],
  model: string,
): number {
  return regimes.reduce((sum, { name, weight }) => sum + weight * times[name][model], 0);
}

/** Lends `work` a file for each of `feeds`. */
function withFeedsFiles<T>(
  [first, ...others]: readonly Feeds[],
  work: (files: readonly string[]) => Promise<T>,
): Promise<T> {
  return first === undefined
    ? work([])
    : withFeedsFile(first, (file) => withFeedsFiles(others, (files) => work([file, ...files])));
}

/** Rounds as one regime has them; of a single regime, the rounds themselves. */
export function roundsIn(rounds: readonly Round[], regime: string): Round[] {
  return rounds.map(({ at, medianMs, regimes }) => ({ at, medianMs: regimes?.[regime] ?? medianMs }));
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
    /** With several regimes: the same in each. */
    readonly regimes?: readonly {
      readonly name: string;
      readonly latencyMs: Estimate;
      readonly speedup?: SpeedupSummary;
    }[];
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
  const told = (of: readonly Round[], name: string) => ({
    latencyMs: estimate(of.map(({ medianMs }) => medianMs[name])),
    ...(name === dense.name ? {} : { speedup: summarise(of, dense.name, name) }),
  });
  const { regimes } = options;
  return {
    rounds: measured,
    models: models.map(({ name, file }) => ({
      name,
      file,
      ...told(measured, name),
      ...(regimes.length > 1 && {
        regimes: regimes.map((one) => ({ name: one.name, ...told(roundsIn(measured, one.name), name) })),
      }),
    })),
  };
}

/** The path; with its position where the same file is given twice. */
function nameOf(file: string, i: number, files: readonly string[]): string {
  return files.indexOf(file) === i ? file : `${file} (${i + 1})`;
}
