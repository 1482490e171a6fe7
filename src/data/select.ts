/**
 * Which of the available rows calibration uses. All ways draw without repeats, keep the file's order, and are functions of
 * their seed.
 * @module
 */
import type { Random } from '../tensor/random.ts';

/** `count` of the rows 0 … of − 1, all equally likely, ascending. */
export function randomRows(of: number, count: number, next: Random): number[] {
  return weightedRows(new Float64Array(of), count, next);
}

/**
 * Draws rows without replacement, the chance of each next one in proportion to its weight (Efraimidis and Spirakis, 2006, in
 * the logarithmic form: the greatest of log w + a Gumbel variate).
 * @param logWeights [rows]
 * @returns min(count, rows) of them, ascending
 */
export function weightedRows(logWeights: ArrayLike<number>, count: number, next: Random): number[] {
  const keys = Float64Array.from(logWeights, (weight) => weight - Math.log(-Math.log(1 - next() || 1e-300)));
  return greatest(keys, count);
}

function greatest(keys: Float64Array, count: number): number[] {
  const order = [...keys.keys()].sort((a, b) => keys[b] - keys[a] || a - b);
  return order.slice(0, count).sort((a, b) => a - b);
}

/**
 * Rows drawn with a preference for long or short ones.
 * @param lengths tokens of each row
 * @param tilt the log of how much likelier a row is that is one standard deviation longer; 0 prefers none
 */
export function tiltedRows(lengths: readonly number[], tilt: number, count: number, next: Random): number[] {
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  const deviation = Math.sqrt(
    lengths.reduce((sum, length) => sum + (length - mean) ** 2, 0) / lengths.length,
  );
  const weights = lengths.map((length) => (deviation > 0 ? (tilt * (length - mean)) / deviation : 0));
  return weightedRows(weights, count, next);
}

/** Tokens and pairs of neighbours are counted in so many classes. */
const CLASSES = 10_000;
/** Added to every count: a class that one side has never seen rules nothing out. */
const SMOOTHING = 1;

/**
 * Rows drawn so that together they resemble a target: importance resampling over hashed one- and two-token features (DSIR, Xie
 * et al., 2023). A row's log weight is Σ log p(f)/q(f) over its features f, p their frequencies in the target and q in the
 * pool, here divided by the square root of how many there are, so that long rows are not all or nothing.
 * @param pool token ids of each available row
 * @param target token ids of rows like those that the model will meet
 */
export function similarRows(
  pool: readonly ArrayLike<number>[],
  target: readonly ArrayLike<number>[],
  count: number,
  next: Random,
): number[] {
  const [p, q] = [frequencies(target), frequencies(pool)];
  const weights = pool.map((row) => {
    let [sum, features] = [0, 0];
    for (const f of featuresOf(row)) {
      sum += Math.log(p[f] / q[f]);
      features++;
    }
    return features === 0 ? 0 : sum / Math.sqrt(features);
  });
  return weightedRows(weights, count, next);
}

function frequencies(rows: readonly ArrayLike<number>[]): Float64Array {
  const counts = new Float64Array(CLASSES).fill(SMOOTHING);
  let total = CLASSES * SMOOTHING;
  for (const row of rows) {
    for (const feature of featuresOf(row)) {
      counts[feature]++;
      total++;
    }
  }
  return counts.map((n) => n / total);
}

function* featuresOf(row: ArrayLike<number>): Generator<number> {
  for (let i = 0; i < row.length; i++) {
    yield hashed(row[i], 0x9e3779b9);
    if (i > 0) yield hashed(row[i - 1], row[i] + 1);
  }
}

function hashed(a: number, b: number): number {
  const mixed = Math.imul(a ^ 0x85ebca6b, 0xc2b2ae35) ^ Math.imul(b, 0x27d4eb2f);
  return ((mixed ^ (mixed >>> 15)) >>> 0) % CLASSES;
}

/** Rows 0 … of − 1 that are not among those given, ascending. */
export function otherRows(of: number, rows: readonly number[]): number[] {
  const taken = new Set(rows);
  return Array.from({ length: of }, (_, row) => row).filter((row) => !taken.has(row));
}
