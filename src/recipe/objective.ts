/**
 * What the search asks: the loss of a candidate, what each block is worth, and of all assignments that are fast enough
 * the best.
 * @module
 */
import type { Config } from '../config.ts';
import { cloneModel } from '../onnx/edit.ts';
import { openCandidates } from '../prune/candidates.ts';
import type { BlockLevels } from '../prune/database.ts';
import { evolve } from '../prune/evolution.ts';
import { type LatencyTable, timeAt } from '../prune/latency.ts';
import { lossPriors, sampledLevels } from '../prune/sensitivity.ts';
import { type Assignment, type Candidate, search, solve, TIME_BUCKETS } from '../prune/spdy.ts';
import { openGraph } from '../runtime/graph.ts';
import { openSession } from '../runtime/session.ts';
import { random } from '../tensor/random.ts';
import type { Ground } from './ground.ts';
import type { Machine, OpenedModel } from './job.ts';
import { type Domain, type Judge, openJudge } from './judge.ts';
import type { Work } from './steps.ts';
import { taskOf } from './tasks/registry.ts';
import type { Criterion, Dataset, Feeds } from './tasks/task.ts';

/** The calibration loss of candidates, by the task's criterion. */
export interface Objective extends Judge, AsyncDisposable {
  /** Priors of every block and level, see `search`. */
  readonly priors: readonly (readonly (readonly number[])[])[];
  /** What some levels cost by themselves: the rise of the loss in each domain, [blocks][measured levels]. */
  readonly rises: readonly (readonly Rise[])[];
}

export interface Rise {
  readonly level: number;
  readonly domains: readonly number[];
}

/**
 * Opens the session that all candidates share, and measures what the search starts from.
 * @param domains the calibration rows that candidates are judged by
 */
export async function openObjective(
  work: Work,
  ground: Ground,
  databases: readonly BlockLevels[],
  domains: readonly Dataset[],
  key: unknown,
): Promise<Objective> {
  const { config, stages, progress } = work;
  const { judge, close } = await openLoss(work, ground, databases, domains);
  const levels = databases.map((database) => database.levels);
  const dense = levels.map(() => 0);
  const dependsOn = [key, domains.map(({ sha256 }) => sha256), config.calibration.combine];
  const { priors, rises } = await stages.json('sensitivity', dependsOn, async () => {
    const wanted = levels.map((row) => sampledLevels(row.length));
    const task = progress.task('measuring what each block is worth', wanted.flat().length);
    const priors = await lossPriors(levels, judge.loss, () => task.advance());
    task.done();
    const base = await judge.byDomain(dense);
    const rises: Rise[][] = [];
    for (const [b, own] of wanted.entries()) {
      const found = own.map(async (level) => {
        const losses = await judge.byDomain(dense.with(b, level));
        return { level, domains: losses.map((loss, d) => loss - base[d]) };
      });
      rises.push(await Promise.all(found));
    }
    return { priors, rises };
  });
  const errors = levels.map((row) => row.map(({ error }) => error));
  return { ...judge, priors: [priors, errors], rises, [Symbol.asyncDispose]: close };
}

/** The loss alone: the candidates' sessions, and what the dense model says on all rows. */
export async function openLoss(
  { opened, machine, config }: Work,
  { model, analysis, left }: Ground,
  databases: readonly BlockLevels[],
  domains: readonly Dataset[],
): Promise<{ judge: Judge; judged: readonly Domain[]; close: () => Promise<void> }> {
  const criteria = domains.map((rows) => taskOf(config).criterion(opened, rows));
  const [criterion] = criteria; // what a criterion adds to the graph is the model's, not the rows'
  const candidates = await openCandidates(model, analysis, databases, {
    ...machine.session,
    append: criterion.append?.bind(criterion),
    outputs: criterion.fetches,
    feedsCount: domains.reduce((sum, { batches }) => sum + batches.length, 0),
  });
  const widest = databases.map(() => 0);
  const judged: Domain[] = [];
  for (const [d, rows] of domains.entries()) {
    const { fetches, loss, againstDense } = criteria[d];
    const feeds = rows.batches.map((batch) => ({ ...batch.feeds, ...criteria[d].feeds?.(batch) }));
    const run = (assignment: Assignment, i: number) => candidates.run(assignment, feeds[i], fetches);
    const dense: Feeds[] = [];
    if (againstDense && left === undefined) for (const i of feeds.keys()) dense.push(await run(widest, i));
    if (againstDense && left !== undefined)
      dense.push(...(await denseAnswers(opened, machine, rows, criteria[d])));
    judged.push({
      costs: rows.batches.map(({ shape: [b, s] }) => b * s),
      measure: async (assignment, i) => loss(await run(assignment, i), rows.batches[i], dense[i] ?? {}),
    });
  }
  const judge = openJudge(judged, config.calibration.combine, config.search.seed);
  return { judge, judged, close: async () => await candidates[Symbol.asyncDispose]() };
}

/** What the dense model gives, when candidates begin at what is left of it. */
async function denseAnswers(
  { folder, model }: OpenedModel,
  machine: Machine,
  { batches }: Dataset,
  { append, feeds, fetches }: Criterion,
): Promise<Feeds[]> {
  const extended = append && cloneModel(model);
  if (extended) append(extended);
  await using session = extended
    ? await openGraph(extended, machine.session)
    : await openSession(folder.modelFile, machine.session);
  const answers: Feeds[] = [];
  for (const batch of batches)
    answers.push(await session.run({ ...batch.feeds, ...feeds?.(batch) }, fetches));
  return answers;
}

export interface Found extends Candidate {
  readonly assignment: Assignment;
  readonly loss: number;
  readonly evaluations: number;
  /** The loss in each domain. */
  readonly domains: readonly number[];
}

export interface Quest {
  readonly goal: number;
  /** Evaluations on all rows. */
  readonly steps: number;
  /** What was found for other goals. */
  readonly starts: readonly Candidate[];
}

/**
 * Searches the assignment whose predicted speedup is `goal`.
 * @returns null when none is that fast
 */
export function searchStep(
  { config, stages, progress, analysis }: Work,
  profile: LatencyTable,
  databases: readonly BlockLevels[],
  objective: Objective,
  key: unknown,
  quest: Quest,
): Promise<Found | null> {
  const { goal, steps, starts } = quest;
  const times = analysis.blocks.map(({ id }, b) =>
    databases[b].levels.map(({ kept }) => timeAt(profile.entries, id, kept)),
  );
  const budget = profile.modelMs / goal - profile.fixedMs;
  const dependsOn = [key, times, budget, steps, starts, config.search, config.calibration.combine];
  return stages.json(`search-${goal.toFixed(3)}`, dependsOn, async () => {
    const found = await strategies[config.search.strategy](objective, times, budget, quest, {
      seed: config.search.seed,
      progress,
    });
    return found === undefined ? null : { ...found, domains: await objective.byDomain(found.assignment) };
  });
}

type Strategy = (
  objective: Objective,
  times: readonly (readonly number[])[],
  budget: number,
  quest: Quest,
  how: { readonly seed: number } & Pick<Work, 'progress'>,
) => Promise<Omit<Found, 'domains'> | undefined>;

export const strategies: Readonly<Record<Config['search']['strategy'], Strategy>> = {
  async coefficients({ priors, loss }, times, budget, { goal, steps, starts }, { seed, progress }) {
    const inits = Math.round(steps / 4);
    const task = progress.task(`searching for ${goal.toFixed(2)}×`, steps + starts.length);
    const found = await search(
      { priors, times, budget, starts, evaluate: loss },
      { inits, steps: steps - inits },
      random(seed),
      (best) => task.advance(1, `loss ${best.toPrecision(3)}`),
    );
    task.done();
    return found;
  },

  async evolution({ priors, sampled, shares }, times, budget, { goal, steps, starts }, { seed, progress }) {
    const plain = priors.map((_, prior) => ({ prior, coefficients: times.map(() => 1) }));
    // The program rounds times to buckets, and so may promise half a bucket too much for each block.
    const strict = budget / (1 + times.length / (2 * TIME_BUCKETS));
    const programs = plain.flatMap((candidate) => {
      const solution = solve(priors, times, strict, candidate);
      return solution === undefined ? [] : [solution];
    });
    // Another goal's levels; of a ground with less left, at most its last.
    const others = starts.flatMap(({ assignment }) =>
      assignment === undefined ? [] : [assignment.map((level, b) => Math.min(level, times[b].length - 1))],
    );
    const task = progress.task(`evolving for ${goal.toFixed(2)}×`, steps);
    let done = 0;
    const found = await evolve(
      { starts: [...programs, ...others], times, budget, shares, evaluate: sampled },
      steps,
      random(seed),
      (spent, best) => {
        task.advance(spent - done, `loss ${best.toPrecision(3)}`);
        done = spent;
      },
    );
    task.done();
    return found && { ...plain[0], ...found };
  },
};
