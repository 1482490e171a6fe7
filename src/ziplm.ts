/**
 * The recipe: name speedups, get models that measure them.
 * @module
 */
import { join } from 'node:path';
import type { Config } from './config.ts';
import { InputError } from './errors.ts';
import type { Progress } from './progress.ts';
import type { Level } from './prune/database.ts';
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
import { type Field, openFields } from './recipe/field.ts';
import { denseGround, type Ground } from './recipe/ground.ts';
import { openDataset, openMachine, openModelFolder, prunableBlocks } from './recipe/job.ts';
import { openRecovery } from './recipe/recovery.ts';
import { openStages } from './recipe/stages.ts';
import { DENSE, type Found, profileStep, searchStep, type Work } from './recipe/steps.ts';
import { type RunRecord, writeRecord } from './record.ts';
import { type Round, summarise } from './runtime/compare.ts';

export { trainModel } from './recipe/fine-tune.ts';
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
  /** The level of each block. */
  readonly levels: readonly Level[];
}

/** A target's way: what it started from, what is to choose from, and all that was shot for it. */
interface Lineage {
  readonly ground: () => Promise<Ground>;
  turns: Turn<PrunedShot>[];
  readonly shots: PrunedShot[];
}

/**
 * The whole job into `output`: profile, calibrate, build the database, and for each target search, cut and measure
 * until the file holds its speedup; then time the whole family again, evaluate it, and record. A gradual run prunes each
 * target from the one before, and distils it from the dense model.
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

  const recovery = config.method === 'gradual' ? await openRecovery(work) : undefined;
  const profile = await profileStep(work);
  requireReachable(config.speedups, profile);
  const judged = Math.min(config.search.rows, config.calibrationRows);
  const searched = await openDataset(opened, config, 'calibration', telling, judged);
  await using fields = openFields(work, calibration, searched);

  const rounds: Round[] = [];
  const measured = (model: Pruned) => summarise(rounds, DENSE, nameInRounds(model));
  const starts: Candidate[] = [];
  let correction = 1;

  /** Time a file against the dense model, more often where rounds scatter. */
  const time = async (pruned: Pruned, occasion: string) => {
    rounds.push(...(await measureStep(work, [pruned], LOOP_ROUNDS, occasion)));
    if (isScattered(measured(pruned))) {
      rounds.push(...(await measureStep(work, [pruned], LOOP_ROUNDS, `${occasion} again`)));
    }
    const { median, low } = measured(pruned);
    return { measured: median, low };
  };
  /** Search for `goal` by the table, cut, and measure the file. */
  const shoot = async (
    field: Field,
    goal: number,
    steps: number,
    occasion: string,
  ): Promise<PrunedShot | undefined> => {
    const { ground, databases, objective, key } = field;
    const found = await searchStep(work, profile, databases, objective, key, { goal, steps, starts });
    if (found === null) return undefined;
    starts.unshift({ prior: found.prior, coefficients: found.coefficients });
    starts.length = Math.min(starts.length, KEPT_STARTS);
    const levels = databases.map((database, b) => database.levels[found.assignment[b]]);
    const pruned = await modelStep(work, ground, databases, key, found.assignment, calibration);
    const timed = await time(pruned, occasion);
    const kept = levels.map((level) => level.kept);
    const predicted = predictedSpeedup(profile, analysis.blocks, kept);
    correction = timed.measured / predicted;
    return { pruned, found, levels, predicted, ...timed };
  };
  /** What a gradual run makes of a cut model. Its file is another one, and measured for itself. */
  const recovered = async (field: Field, shot: PrunedShot, occasion: string): Promise<PrunedShot> => {
    if (recovery === undefined) return shot;
    const pruned = await recovery.recover(field, shot);
    return { ...shot, pruned, ...(await time(pruned, `${occasion} recovered`)) };
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
  const family = new Map<number, Lineage>();
  const first = recovery?.ground ?? denseGround(opened, analysis);
  let ground = async () => first;
  for (const target of config.speedups.toSorted((a, b) => a - b)) {
    const field = await fields.at(await ground());
    const turns = await closedLoop(
      target,
      correction,
      (goal, turn) => shoot(field, goal, turn === 0 ? steps : later, `${target}/${turn}`),
      telling,
    );
    const lineage = { ground, turns, shots: turns.map((turn) => turn.shot) };
    if (recovery !== undefined) {
      const { goal, shot } = choose(target, turns);
      const better = await recovered(field, shot, `${target}`);
      lineage.turns = [{ goal, shot: better }];
      ground = recovery.next(ground, field.databases, better);
    }
    family.set(target, lineage);
  }
  // The whole family again, at the end: rounds spread over the run are what the verdict rests on.
  const chosen = (target: number) => choose(target, family.get(target)!.turns).shot;
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
      const lineage = family.get(target)!;
      const field = await fields.at(await lineage.ground());
      const occasion = `${target}/repair ${repair}`;
      const shot = await shoot(field, goal, later, occasion);
      if (shot !== undefined) {
        lineage.shots.push(shot);
        lineage.turns.push({ goal, shot: await recovered(field, shot, occasion) });
      }
      tightened.add(target);
    }
  }
  recovery?.finish();

  const dense = await predictStep(work, opened.folder.modelFile, opened.sha256, evaluation);
  const members: Member[] = [];
  for (const target of config.speedups) {
    const { turns, shots } = family.get(target)!;
    const { shot } = choose(target, turns);
    const { pruned } = shot;
    members.push({
      target,
      ...shot,
      classified: await predictStep(work, pruned.file, pruned.sha256, evaluation),
      folder: `${target}x`,
      evaluations: shots.reduce((sum, { found }) => sum + found.evaluations, 0),
      turns: shots.length,
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
