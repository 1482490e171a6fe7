/**
 * A metric with its interval, and two models on the same rows.
 * @module
 */
import { type Random, random } from '../tensor/random.ts';
import { bootstrap } from '../tensor/statistics.ts';
import { confusion, type MetricName, metrics } from './metrics.ts';

export interface Score {
  readonly name: MetricName;
  readonly value: number;
  /** The 95 % interval: percentiles of a bootstrap over the rows. */
  readonly low: number;
  readonly high: number;
}

export interface Comparison {
  /** The metric of the other model less that of the dense one. */
  readonly delta: number;
  /** Its 95 % interval: each resample takes the same rows of both. */
  readonly low: number;
  readonly high: number;
  /** How likely so great a difference is, either way, if the models were interchangeable. */
  readonly pValue: number;
}

export interface ScoreOptions {
  readonly classes: number;
  readonly seed?: number;
}

/** The metric over all rows. @param predictions [n] @param labels [n] */
export function score(
  predictions: Int32Array,
  labels: Int32Array,
  metric: MetricName,
  { classes, seed = 0 }: ScoreOptions,
): Score {
  const valueOn = (rows?: Int32Array) => metrics[metric](confusion(predictions, labels, classes, rows));
  return { name: metric, value: valueOn(), ...bootstrap(labels.length, valueOn, random(seed)) };
}

/**
 * Compares a model with the dense one on the same rows.
 *
 * The p-value is that of the randomisation test, in which each row's two predictions change places by a coin's
 * toss: for accuracy exactly (that is McNemar's exact test), for other metrics by 2,000 seeded draws.
 * @param dense [n] predictions @param other [n] @param labels [n]
 */
export function compareToDense(
  dense: Int32Array,
  other: Int32Array,
  labels: Int32Array,
  metric: MetricName,
  { classes, seed = 0 }: ScoreOptions,
): Comparison {
  const measure = metrics[metric];
  const deltaOn = (rows?: Int32Array) =>
    measure(confusion(other, labels, classes, rows)) - measure(confusion(dense, labels, classes, rows));
  const next = random(seed);
  const interval = bootstrap(labels.length, deltaOn, next);
  const delta = deltaOn();
  const pValue =
    metric === 'accuracy'
      ? mcNemar(dense, other, labels)
      : randomisation(
          dense,
          other,
          (a, b) => measure(confusion(b, labels, classes)) - measure(confusion(a, labels, classes)),
          next,
        );
  return { delta, ...interval, pValue };
}

/** McNemar's exact test: of the rows that one model alone gets right, each falls to either by a fair coin. */
export function mcNemar(dense: Int32Array, other: Int32Array, labels: Int32Array): number {
  let denseAlone = 0;
  let otherAlone = 0;
  for (const [row, label] of labels.entries()) {
    if (dense[row] === label && other[row] !== label) denseAlone++;
    if (dense[row] !== label && other[row] === label) otherAlone++;
  }
  const n = denseAlone + otherAlone;
  // P(Binomial(n, ½) ≤ least), term by term in logarithms: 2^-n alone is 0 in float64 beyond 1,074 rows.
  let logTerm = -n * Math.LN2;
  let tail = 0;
  for (let k = 0; k <= Math.min(denseAlone, otherAlone); k++) {
    tail += Math.exp(logTerm);
    logTerm += Math.log(n - k) - Math.log(k + 1);
  }
  return Math.min(1, 2 * tail);
}

function randomisation(
  dense: Int32Array,
  other: Int32Array,
  deltaOf: (dense: Int32Array, other: Int32Array) => number,
  next: Random,
  draws = 2000,
): number {
  const observed = Math.abs(deltaOf(dense, other));
  const differing = [...dense.keys()].filter((row) => dense[row] !== other[row]);
  let asGreat = 1; // the observed arrangement is one of them
  for (let draw = 0; draw < draws; draw++) {
    const [a, b] = [dense.slice(), other.slice()];
    for (const row of differing) if (next() < 0.5) [a[row], b[row]] = [b[row], a[row]];
    if (Math.abs(deltaOf(a, b)) >= observed - 1e-12) asGreat++;
  }
  return asGreat / (draws + 1);
}
