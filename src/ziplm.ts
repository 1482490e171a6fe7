/**
 * The recipe: name speedups, get models that measure them.
 * @module
 */
import { join } from 'node:path';
import type { Config } from './config.ts';
import { InputError } from './errors.ts';
import type { Progress } from './progress.ts';
import { type LatencyTable, predictedSpeedup } from './prune/latency.ts';
import type { Candidate } from './prune/spdy.ts';
import { recordOf } from './recipe/assemble.ts';
import { claim } from './recipe/claim.ts';
import { bestTurn, closedLoop, type Shot, type Turn, tighterGoal, verdict } from './recipe/closed-loop.ts';
import {
  type Member,
  measureStep,
  modelStep,
  nameInRounds,
  type Pruned,
  predictStep,
  publish,
} from './recipe/family.ts';
import { openDataset, openMachine, openModelFolder, prunableBlocks } from './recipe/job.ts';
import { openStages } from './recipe/stages.ts';
import {
  DENSE,
  databaseStep,
  type Found,
  openObjective,
  profileStep,
  searchStep,
  type Work,
} from './recipe/steps.ts';
import { type RunRecord, writeRecord } from './record.ts';
import { type Round, summarise } from './runtime/compare.ts';

export { compare, cutModel, evaluate, inspect, profile } from './recipe/verbs.ts';

/** Rounds in the loop, after each cut: fewer than for the verdict, which pools them all. */
const LOOP_ROUNDS = 3;
/** Times that targets are shot at again when the family's last rounds found them short. */
const REPAIRS = 2;
/** Rounds of one file that differ by more than this factor are repeated before anything is concluded. */
const SCATTER = 1.08;
/** Solutions of earlier targets and turns that a search starts from, the latest first. */
const KEPT_STARTS = 8;

interface PrunedShot extends Shot {
  readonly pruned: Pruned;
  readonly found: Found;
}

/**
 * The whole job into `output`: profile, calibrate, build the database, and for each target search, cut and measure
 * until the file holds its speedup; then time the whole family again, evaluate it, and record.
 */
export async function run(config: Config, output: string, progress: Progress): Promise<RunRecord> {
  const warnings: string[] = [];
  const telling = recording(progress, warnings);
  const opened = await openModelFolder(config.model);
  const analysis = prunableBlocks(opened);
  const machine = await openMachine(config, telling);
  const calibration = await openDataset(opened, config, 'calibration', telling, config.calibrationRows);
  const evaluation = await openDataset(opened, config, 'evaluation', telling);
  using _claim = claim(output);
  const stages = openStages(join(output, '.work'), telling);
  const work: Work = { opened, analysis, machine, config, stages, progress: telling };

  const profile = await profileStep(work);
  requireReachable(config.speedups, profile);
  const databases = await databaseStep(work, calibration);
  const key = [opened.sha256, calibration.sha256, config.damping, machine.session.provider];
  const judged = Math.min(config.search.rows, config.calibrationRows);
  const searched = await openDataset(opened, config, 'calibration', telling, judged);
  await using objective = await openObjective(work, databases, searched, key);

  const rounds: Round[] = [];
  const measured = (model: Pruned) => summarise(rounds, DENSE, nameInRounds(model));
  const starts: Candidate[] = [];
  let correction = 1;

  /** Search for `goal` by the table, cut, and measure the file. */
  const shoot = async (goal: number, steps: number, occasion: string): Promise<PrunedShot | undefined> => {
    const found = await searchStep(work, profile, objective, key, { goal, steps, starts });
    if (found === null) return undefined;
    starts.unshift({ prior: found.prior, coefficients: found.coefficients });
    starts.length = Math.min(starts.length, KEPT_STARTS);
    const pruned = await modelStep(work, databases, key, found.assignment, calibration);
    rounds.push(...(await measureStep(work, [pruned], LOOP_ROUNDS, occasion)));
    if (isScattered(measured(pruned))) {
      rounds.push(...(await measureStep(work, [pruned], LOOP_ROUNDS, `${occasion} again`)));
    }
    const { median, low } = measured(pruned);
    const predicted = predictedSpeedup(profile, analysis.blocks, found.assignment);
    correction = median / predicted;
    return { pruned, found, predicted, measured: median, low };
  };
  const tightened = new Set<number>();
  /** A target's best turn, judged by all rounds so far. */
  const choose = (target: number, turns: readonly Turn<PrunedShot>[]) => {
    const now = turns.map(({ goal, shot }) => {
      const { median, low, slower } = measured(shot.pruned);
      return { goal, shot: { ...shot, measured: median, low: slower?.low ?? low } };
    });
    return bestTurn(target, now, { anySurplus: tightened.has(target) });
  };

  const { steps } = config.search;
  const later = Math.ceil(steps / 4);
  const family = new Map<number, Turn<PrunedShot>[]>();
  for (const target of config.speedups.toSorted((a, b) => a - b)) {
    const turns = await closedLoop(
      target,
      correction,
      (goal, turn) => shoot(goal, turn === 0 ? steps : later, `${target}/${turn}`),
      telling,
    );
    family.set(target, turns);
  }
  // The whole family again, at the end: rounds spread over the run are what the verdict rests on.
  const chosen = (target: number) => choose(target, family.get(target)!).shot;
  let remeasured = [...family.keys()];
  for (let repair = 0; remeasured.length > 0 && repair <= REPAIRS; repair++) {
    const models = remeasured.map((target) => chosen(target).pruned);
    rounds.push(...(await measureStep(work, models, config.rounds, `family/${repair}`)));
    remeasured = remeasured.filter((target) => verdict(target, chosen(target), repair) !== 'keep');
    if (repair === REPAIRS) break;
    for (const target of remeasured) {
      const { measured: speedup, low } = chosen(target);
      telling.say(`${target}×: ${speedup.toFixed(3)}, at least ${low.toFixed(3)}, over all rounds`);
      if (verdict(target, chosen(target), repair) === 'measure') continue;
      const goal = tighterGoal(target, chosen(target));
      const shot = await shoot(goal, later, `${target}/repair ${repair}`);
      if (shot !== undefined) family.get(target)!.push({ goal, shot });
      tightened.add(target);
    }
  }

  const dense = await predictStep(work, opened.folder.modelFile, opened.sha256, evaluation);
  const members: Member[] = [];
  for (const target of config.speedups) {
    const turns = family.get(target)!;
    const { shot } = choose(target, turns);
    const { pruned } = shot;
    const evaluations = turns.reduce((sum, turn) => sum + turn.shot.found.evaluations, 0);
    members.push({
      target,
      ...shot,
      classified: await predictStep(work, pruned.file, pruned.sha256, evaluation),
      folder: `${target}x`,
      levels: databases.map(({ levels }, b) => levels[shot.found.assignment[b]]),
      evaluations,
      turns: turns.length,
    });
  }
  const record = recordOf(work, profile, rounds, dense, members, warnings);
  for (const { pruned, folder } of members) publish(pruned, opened.folder.companions, output, folder);
  await writeRecord(join(output, 'run.json'), record);
  return record;
}

/** Whether rounds differ by more than the margin that the loop aims at, so that it would steer by noise. */
function isScattered({ low, high }: { readonly low: number; readonly high: number }): boolean {
  return high > low * SCATTER;
}

/** @throws InputError for a speedup that even the removal of every block would not give */
function requireReachable(speedups: readonly number[], { modelMs, fixedMs }: LatencyTable): void {
  const highest = modelMs / fixedMs;
  const beyond = speedups.filter((speedup) => speedup >= highest);
  if (beyond.length === 0) return;
  throw new InputError(
    `config: a speedup of ${beyond.join(' and ')} cannot be reached: with every block removed the model is ` +
      `${highest.toFixed(2)} times as fast here (${fixedMs.toFixed(1)} of ${modelMs.toFixed(1)} ms are outside the blocks). ` +
      'Ask for less in speedups.',
  );
}

/** The same progress, with every warning kept for the record. */
function recording(progress: Progress, warnings: string[]): Progress {
  return {
    say: (message) => progress.say(message),
    task: (label, total) => progress.task(label, total),
    warn(message) {
      warnings.push(message);
      progress.warn(message);
    },
  };
}
