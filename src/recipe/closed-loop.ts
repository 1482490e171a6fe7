/**
 * The closed loop of one target: search within a time budget, cut, measure the file that was written, and correct
 * the budget by what was measured, until the file meets its target without wasting accuracy.
 *
 * The loop steers by medians; the verdict is the interval's, over all rounds of the run (`judge`).
 * @module
 */
import type { Progress } from '../progress.ts';

/** What the loop aims at above the target, so that the interval's lower end clears it too. */
const MARGIN = 0.035;
/** A shot whose median is at least this far above the target is not corrected upwards. */
const ENOUGH = 0.02;
/** A measured speedup this far above its target is given back to accuracy. */
const SURPLUS = 0.05;
const MAX_TURNS = 3;
/** A turn moves the goal by at most this factor: a larger step would follow noise. */
const MAX_STEP = 1.15;

/** No goal asks for less: the dense model itself is that fast. */
const SLOWEST = 1;

/** A pruned model and what was measured of it. */
export interface Shot {
  /** The speedup by the latency table. */
  readonly predicted: number;
  /** Measured against the dense model: the median over rounds, and the interval's lower end. */
  readonly measured: number;
  readonly low: number;
}

export interface Turn<S extends Shot> {
  readonly goal: number;
  readonly shot: S;
}

/** The goal by the table that should measure `target` and the margin, for a table that is off by `correction`. */
export function goalFor(target: number, correction: number): number {
  return (target * (1 + MARGIN)) / correction;
}

/**
 * Turns the loop.
 * @param correction measured over predicted, as earlier targets showed it; 1 at first
 * @param shoot searches for `goal` by the table, cuts and measures; undefined when no assignment is that fast
 * @returns the turns; the last is not always the best, see `bestTurn`
 */
export async function closedLoop<S extends Shot>(
  target: number,
  correction: number,
  shoot: (goal: number, turn: number) => Promise<S | undefined>,
  progress: Progress,
): Promise<Turn<S>[]> {
  const turns: Turn<S>[] = [];
  let goal = goalFor(target, correction);
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const shot = await shoot(goal, turn);
    if (shot === undefined) break;
    turns.push({ goal, shot });
    const { predicted, measured, low } = shot;
    progress.say(
      `${target}×, turn ${turn + 1}: predicted ${predicted.toFixed(3)}, measured ${measured.toFixed(3)} (at least ${low.toFixed(3)})`,
    );
    if (isOnTarget(target, shot)) break;
    const next = goalFor(target, measured / predicted);
    const bounded = Math.min(goal * MAX_STEP, Math.max(goal / MAX_STEP, next, SLOWEST));
    // Assignments are discrete: a goal that hardly moves would find the same one again.
    if (Math.abs(bounded / goal - 1) < 0.002) break;
    goal = bounded;
  }
  return turns;
}

function isOnTarget(target: number, { measured }: Shot): boolean {
  return measured >= target * (1 + ENOUGH) && measured <= target * (1 + SURPLUS);
}

/** More surplus than this is not kept if anything else will do. */
const MOST = 0.08;

/**
 * The turn to keep: of those that clear the target the one with the least surplus; else, without great surplus, the
 * one whose median is the surest to clear it when more is measured; else the least surplus, else the fastest.
 * @param anySurplus a target that clears with a great surplus is better than one that does not: once more rounds
 *   have been tried
 */
export function bestTurn<S extends Shot>(
  target: number,
  turns: readonly Turn<S>[],
  { anySurplus = false } = {},
): Turn<S> {
  const slowest = (of: readonly Turn<S>[]) =>
    of.reduce((a, b) => (b.shot.measured < a.shot.measured ? b : a));
  const fastest = (of: readonly Turn<S>[]) =>
    of.reduce((a, b) => (b.shot.measured > a.shot.measured ? b : a));
  const modest = turns.filter(({ shot }) => shot.measured <= target * (1 + MOST));
  const clear = (anySurplus ? turns : modest).filter(({ shot }) => shot.low >= target);
  const enough = modest.filter(({ shot }) => shot.measured >= target * (1 + ENOUGH));
  const ample = turns.filter(({ shot }) => shot.measured > target * (1 + MOST));
  if (clear.length > 0) return slowest(clear);
  if (enough.length > 0) return fastest(enough);
  return ample.length > 0 ? slowest(ample) : fastest(turns);
}

/**
 * What to do about a target after the family's rounds.
 * @param before how often more rounds were tried already
 */
export function verdict(
  target: number,
  { measured, low }: Shot,
  before: number,
): 'keep' | 'measure' | 'tighten' {
  if (low >= target) return 'keep';
  // Fast enough, but rounds scatter: more of them narrow the interval. Where they do not, or the model is what is
  // slow, it must become faster.
  return measured >= target * (1 + ENOUGH) && before === 0 ? 'measure' : 'tighten';
}

/** The goal after a shot whose interval stays below the target: what lifts its lower end to the target. */
export function tighterGoal(target: number, { predicted, measured, low }: Shot): number {
  return Math.max(goalFor(target, measured / predicted), (predicted * target * (1 + ENOUGH / 2)) / low);
}
