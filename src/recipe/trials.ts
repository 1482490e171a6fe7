/**
 * Calibration rows that serve best, and a damping that suits them: `select: adaptive`.
 *
 * After AdaPruner (Kong et al., AAAI 2025), which searches calibration data and the measure of importance together, by Bayesian
 * optimisation of what the pruned model loses. Taken from there: that joint search, by a tree-structured Parzen estimator, and a
 * loss on rows that no trial calibrates on. A trial here is a sample of the rows, described by how much it prefers long ones
 * and by which draw it is, and the damping of the Hessian, which decides how far OBS trusts it. Not taken: measures of
 * importance by Taylor expansion (OBS has its own), a fixed pruning ratio (a trial prunes to the middle one of the
 * speedups asked for, by the latency table), and a finished model in each trial (the dynamic program's solution is judged, its
 * weights from the trial's own database).
 * @module
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { otherRows, randomRows, tiltedRows } from '../data/select.ts';
import { type LatencyTable, timeAt } from '../prune/latency.ts';
import { optimise, type Point } from '../prune/parzen.ts';
import { solve } from '../prune/spdy.ts';
import { random } from '../tensor/random.ts';
import { type Calibration, calibrationOf, lengthsOf, partOf, partsOf, rowCounts } from './calibration.ts';
import type { Ground } from './ground.ts';
import { openLoss } from './objective.ts';
import { openStages } from './stages.ts';
import { databaseStep, type Work } from './steps.ts';
import type { Dataset } from './tasks/task.ts';

/** What a trial tries. */
export interface Choice {
  /** See `tiltedRows`. */
  readonly tilt: number;
  /** Which of the samples that are equally likely. */
  readonly draw: number;
  readonly damping: number;
}

export interface Tried extends Choice {
  /** Of the model pruned by it, on rows that no trial calibrates on. */
  readonly loss: number;
}

export interface Adapted {
  readonly calibration: Calibration;
  readonly damping: number;
  readonly tried: readonly Tried[];
}

/** Tilts and dampings that are tried: damping from a tenth of the configured one to ten times as much. */
const MAX_TILT = 1.5;
const MAX_FACTOR = 10;
/** Samples that a tilt may be drawn as. */
const DRAWS = 1000;

/** Tries choices and takes the best; the first two are the configured damping with rows that are drawn without a preference. */
export async function trialsStep(
  work: Work,
  ground: Ground,
  profile: LatencyTable,
  { domains }: Calibration,
): Promise<Adapted> {
  const { config, opened, stages, progress } = work;
  const { trials } = config.calibration;
  const [count, judged] = rowCounts(config);
  const next = random(config.search.seed);
  // What trials are compared on is set aside first.
  const pools = domains.map(({ name, pool }) => {
    const held = randomRows(pool!.count, Math.min(judged, Math.floor(pool!.count / 2)), next);
    const others = otherRows(pool!.count, held);
    const all = lengthsOf(pool!);
    return {
      name,
      pool: pool!,
      others,
      held: partOf(pool!, held, opened, config),
      lengths: others.map((r) => all[r]),
    };
  });
  const calibrationFor = ({ tilt, draw }: Choice) =>
    calibrationOf(
      pools.map(({ name, pool, others, lengths }, d) => {
        const drawn = tiltedRows(lengths, tilt, count, random(config.search.seed + DRAWS * d + draw));
        return {
          name,
          ...partsOf(
            pool,
            drawn.map((at) => others[at]),
            opened,
            config,
          ),
        };
      }),
      config,
    );
  const held = pools.map((pool) => pool.held);
  const goal = middleOf(config.speedups);
  const key = [ground.sha256, pools.map(({ pool }) => pool.sha256), goal, profile, count, config.damping];
  const tried = await stages.json('trials', [key, config.search.seed, config.calibration], async () => {
    const task = progress.task('trying calibration rows', trials);
    const choices: Choice[] = [];
    const found = await optimise(
      async (at, trial) => {
        choices.push(choiceAt(at, config.damping));
        // A trial's database is wanted for its loss only.
        const folder = join(stages.root, `trial-${trial}.partial`);
        const own = { ...work, stages: openStages(folder, progress) };
        const loss = await lossOf(
          own,
          ground,
          profile,
          goal,
          calibrationFor(choices[trial]),
          held,
          choices[trial],
        );
        rmSync(folder, { recursive: true });
        task.advance(1, `loss ${loss.toPrecision(3)}`);
        return loss;
      },
      {
        given: [
          [0.5, 0, 0.5],
          [0.5, 0.5, 0.5],
        ],
        count: trials,
        dimensions: 3,
      },
      next,
    );
    task.done();
    return found.map(({ loss }, i): Tried => ({ ...choices[i], loss }));
  });
  const best = tried.reduce((a, b) => (b.loss < a.loss ? b : a));
  return { calibration: calibrationFor(best), damping: best.damping, tried };
}

function choiceAt([tilt, draw, damping]: Point, configured: number): Choice {
  return {
    tilt: MAX_TILT * (2 * tilt - 1),
    draw: Math.min(DRAWS - 1, Math.floor(draw * DRAWS)),
    damping: configured * MAX_FACTOR ** (2 * damping - 1),
  };
}

/** What the dynamic program's solution loses with the choice's own database. */
async function lossOf(
  work: Work,
  ground: Ground,
  profile: LatencyTable,
  goal: number,
  calibration: Calibration,
  held: readonly Dataset[],
  { damping }: Choice,
): Promise<number> {
  const own = { ...work, config: { ...work.config, damping } };
  const databases = await databaseStep(own, ground, calibration);
  const errors = databases.map(({ levels }) => levels.map(({ error }) => error));
  const times = ground.analysis.blocks.map(({ id }, b) =>
    databases[b].levels.map(({ kept }) => timeAt(profile.entries, id, kept)),
  );
  const budget = profile.modelMs / goal - profile.fixedMs;
  const plain = { prior: 0, coefficients: times.map(() => 1) };
  const assignment = solve([errors], times, budget, plain);
  const { judge, close } = await openLoss(own, ground, databases, held);
  try {
    // Where the program has no answer, everything is gone but what it cannot remove.
    return await judge.loss(assignment ?? times.map((row) => row.length - 1));
  } finally {
    await close();
  }
}

function middleOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)];
}
