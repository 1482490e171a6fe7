/**
 * Any metric that is a function of what was found for each row: with its interval, and of two models on the same rows.
 * A row is what is drawn at random from the world: a text, a question, an image.
 * @module
 */
import { random } from '../tensor/random.ts';
import { bootstrap } from '../tensor/statistics.ts';
import type { MeasureName } from './measures.ts';
import type { Comparison, Score } from './score.ts';

/** The metric of rows; it is given resamples too, in which a row may occur several times. NaN where they do not define it. */
export type RowMetric<Row> = (rows: readonly Row[]) => number;

/** Draws of the randomisation test. */
const DRAWS = 2000;

/** The metric over all rows, with the 95 % interval of a bootstrap over them. */
export function scoreRows<Row>(
  name: MeasureName,
  rows: readonly Row[],
  metric: RowMetric<Row>,
  { seed = 0 }: { readonly seed?: number } = {},
): Score {
  const on = (indices: Int32Array) => metric(picked(rows, indices));
  return { name, value: metric(rows), ...bootstrap(rows.length, on, random(seed)) };
}

/**
 * Compares a model with the dense one on the same rows: each resample takes the same rows of both. The p-value is that of
 * the randomisation test, in which a row's two results change places by a coin's toss, by 2,000 seeded draws.
 * @param dense what was found for each row by the dense model
 * @param other by the other model
 */
export function compareRows<Row>(
  dense: readonly Row[],
  other: readonly Row[],
  metric: RowMetric<Row>,
  { seed = 0 }: { readonly seed?: number } = {},
): Comparison {
  if (dense.length !== other.length) {
    throw new RangeError(`evaluate: ${dense.length} rows of the dense model against ${other.length}`);
  }
  const next = random(seed);
  const delta = metric(other) - metric(dense);
  const on = (indices: Int32Array) => metric(picked(other, indices)) - metric(picked(dense, indices));
  const interval = bootstrap(dense.length, on, next);
  const slack = 1e-12 * Math.max(1, Math.abs(delta));
  let asGreat = 1; // the observed arrangement is one of them
  for (let draw = 0; draw < DRAWS; draw++) {
    const swapped = Array.from(dense, () => next() < 0.5);
    const one = dense.map((row, i) => (swapped[i] ? other[i] : row));
    const two = other.map((row, i) => (swapped[i] ? dense[i] : row));
    if (Math.abs(metric(two) - metric(one)) >= Math.abs(delta) - slack) asGreat++;
  }
  return { delta, ...interval, pValue: asGreat / (DRAWS + 1) };
}

function picked<Row>(rows: readonly Row[], indices: Int32Array): Row[] {
  return Array.from(indices, (i) => rows[i]);
}
