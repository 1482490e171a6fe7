/**
 * A prior measured as loss: what the calibration loss does when one block alone is at a level and all others are
 * dense. The layer-wise error knows how well a block's output is kept, not how much the model needs it.
 * @module
 */
import type { Level } from './database.ts';
import type { Assignment } from './spdy.ts';

/** Levels measured per block, spread over the grid; between them the loss is interpolated along the layer's error. */
const SAMPLES = 5;

/**
 * @param levels [blocks][levels], dense first, the removed module last
 * @param evaluate the calibration loss of an assignment
 * @returns [blocks][levels]: the rise of the loss above the dense model's, never falling with the layer's error
 */
export async function lossPriors(
  levels: readonly (readonly Level[])[],
  evaluate: (assignment: Assignment) => Promise<number>,
  onStep: () => void = () => {},
): Promise<number[][]> {
  const dense = levels.map(() => 0);
  const base = await evaluate(dense);
  const priors: number[][] = [];
  for (const [b, row] of levels.entries()) {
    const points: [error: number, rise: number][] = [[0, 0]];
    for (const level of sampled(row.length)) {
      const loss = await evaluate(dense.with(b, level));
      points.push([row[level].error, Math.max(0, loss - base, points.at(-1)![1])]);
      onStep();
    }
    priors.push(row.map(({ error }) => interpolate(points, error)));
  }
  return priors;
}

/** How many evaluations `lossPriors` takes, for its progress. */
export function sampleCount(levels: readonly (readonly Level[])[]): number {
  return levels.reduce((sum, row) => sum + sampled(row.length).length, 0);
}

/** Indices spread evenly over a grid, its last level (the removed module) included, the dense one not. */
function sampled(length: number): number[] {
  const last = length - 1;
  const picks = Array.from({ length: SAMPLES }, (_, i) => Math.round(((i + 1) * last) / SAMPLES));
  return [...new Set(picks)].filter((level) => level > 0);
}

function interpolate(points: readonly (readonly [number, number])[], at: number): number {
  for (let i = 1; i < points.length; i++) {
    const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
    if (at <= x1) return x1 > x0 ? y0 + ((y1 - y0) * (at - x0)) / (x1 - x0) : Math.max(y0, y1);
  }
  return points.at(-1)![1];
}
