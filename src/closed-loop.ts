/**
 * The closed loop of one target: search within a time budget, cut, measure the file that was written, and correct
 * the budget by what was measured, until the file meets its target without wasting accuracy.
 * @module
 */
import type { Progress } from './progress.ts';

/** What the loop aims at above the target, so that the interval's lower end clears it too. */
const MARGIN = 0.03;
/** A measured speedup this far above its target is given back to accuracy. */
const SURPLUS = 0.05;
const MAX_TURNS = 5;

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
  let goal = (target * (1 + MARGIN)) / correction;
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const shot = await shoot(goal, turn);
    if (shot === undefined) break;
    turns.push({ goal, shot });
    const { predicted, measured, low } = shot;
    progress.say(
      `${target}×, turn ${turn + 1}: predicted ${predicted.toFixed(3)}, measured ${measured.toFixed(3)} (at least ${low.toFixed(3)})`,
    );
    if (low >= target && measured <= target * (1 + SURPLUS)) break;
    // The next goal is where this shot's ratio of measured to predicted would put the margin.
    const next = (target * (1 + MARGIN) * predicted) / Math.min(measured, low / (1 - MARGIN / 2));
    // Assignments are discrete: a goal that hardly moves would find the same one again.
    if (Math.abs(next / goal - 1) < 0.002) break;
    goal = next;
  }
  return turns;
}

/** The turn to keep: the least surplus among those that clear the target, else the fastest. */
export function bestTurn<S extends Shot>(target: number, turns: readonly Turn<S>[]): Turn<S> {
  const clear = turns.filter(({ shot }) => shot.low >= target);
  if (clear.length > 0) return clear.reduce((a, b) => (b.shot.measured < a.shot.measured ? b : a));
  return turns.reduce((a, b) => (b.shot.low > a.shot.low ? b : a));
}
