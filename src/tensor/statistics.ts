/**
 * Order statistics and intervals.
 * @module
 */
import { integer, type Random } from './random.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** The q-quantile (0 ≤ q ≤ 1) by linear interpolation between order statistics; NaN for no values. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  return low + (sorted[Math.ceil(at)] - low) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * The percentile bootstrap's interval of a statistic over `count` rows.
 * @param statistic receives the indices of the resampled rows
 */
export function bootstrap(
  count: number,
  statistic: (rows: Int32Array) => number,
  next: Random,
  { level = 0.95, resamples = 1000 } = {},
): Interval {
  const rows = new Int32Array(count);
  const values: number[] = [];
  for (let i = 0; i < resamples; i++) {
    for (let j = 0; j < count; j++) rows[j] = integer(next, count);
    const value = statistic(rows);
    if (!Number.isNaN(value)) values.push(value);
  }
  return { low: quantile(values, (1 - level) / 2), high: quantile(values, (1 + level) / 2) };
}

/**
 * The distribution-free interval of a median: order statistics k and n+1−k with the largest k whose
 * coverage, from the sign test's binomial, is still at least `level`. Fewer than 6 values never reach
 * 95 %: their whole range is the best that can be said.
 */
export function medianInterval(values: readonly number[], level = 0.95): Interval {
  const n = values.length;
  const sorted = values.toSorted((a, b) => a - b);
  let tail = 2 ** -n; // P(Binomial(n, ½) < k), summed as k grows
  let term = tail;
  let k = 1;
  while (k < Math.floor((n + 1) / 2)) {
    term = (term * (n - k + 1)) / k;
    if (2 * (tail + term) > 1 - level) break;
    tail += term;
    k++;
  }
  return { low: sorted[k - 1] ?? Number.NaN, high: sorted[n - k] ?? Number.NaN };
}
