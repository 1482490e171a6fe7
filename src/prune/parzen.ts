/**
 * Tree-structured Parzen estimator (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011, section 4): the next
 * trial of an expensive function is drawn where good trials are dense and others are not.
 *
 * Notation:
 *   x       a point of the unit cube; what its coordinates mean is the caller's
 *   l, g    densities of the good trials and of the others, by coordinate: a mixture of one normal per trial, cut off at
 *           0 and 1, and the uniform one
 * Of points drawn from l the one of greatest l(x)/g(x) has the greatest expected improvement.
 * @module
 */
import { integer, type Random } from '../tensor/random.ts';

export type Point = readonly number[];

export interface Trial {
  readonly at: Point;
  readonly loss: number;
}

/** Trials of which the estimator knows too little to be asked. */
const UNGUIDED = 4;
/** The share of trials that counts as good. */
const GOOD = 0.25;
/** Points drawn from l. */
const DRAWS = 24;
/** A normal is never narrower than this: two trials at one place do not rule out its surroundings. */
const NARROWEST = 0.08;

/** Where to try next. @param dimensions of the cube */
export function suggest(trials: readonly Trial[], dimensions: number, next: Random): Point {
  if (trials.length < UNGUIDED) return Array.from({ length: dimensions }, next);
  const sorted = trials.toSorted((a, b) => a.loss - b.loss);
  const count = Math.max(2, Math.ceil(GOOD * sorted.length));
  const sides = [sorted.slice(0, count), sorted.slice(count)].map((side) =>
    Array.from({ length: dimensions }, (_, d) => mixtureOf(side.map(({ at }) => at[d]))),
  );
  const [good, others] = sides;
  let best: { point: Point; gain: number } | undefined;
  for (let draw = 0; draw < DRAWS; draw++) {
    const point = good.map((mixture) => drawn(mixture, next));
    const gain = point.reduce((sum, x, d) => sum + Math.log(density(good[d], x) / density(others[d], x)), 0);
    if (best === undefined || gain > best.gain) best = { point, gain };
  }
  return best!.point;
}

/**
 * Tries points until `count` have been tried.
 * @param given points that are tried first, whatever they promise: the defaults
 * @returns the trials in order
 */
export async function optimise(
  loss: (at: Point, trial: number) => Promise<number>,
  {
    given,
    count,
    dimensions,
  }: { readonly given: readonly Point[]; readonly count: number; readonly dimensions: number },
  next: Random,
): Promise<Trial[]> {
  const trials: Trial[] = [];
  while (trials.length < count) {
    const at = given[trials.length] ?? suggest(trials, dimensions, next);
    trials.push({ at, loss: await loss(at, trials.length) });
  }
  return trials;
}

/** The best trial; of equals the earliest. */
export function bestOf(trials: readonly Trial[]): Trial {
  return trials.reduce((best, trial) => (trial.loss < best.loss ? trial : best));
}

interface Mixture {
  readonly centres: readonly number[];
  readonly width: number;
}

/** As wide as the trials are scattered, less with more of them (Scott's rule). */
function mixtureOf(centres: readonly number[]): Mixture {
  const mean = centres.reduce((sum, x) => sum + x, 0) / centres.length;
  const variance = centres.reduce((sum, x) => sum + (x - mean) ** 2, 0) / centres.length;
  return { centres, width: Math.max(NARROWEST, Math.sqrt(variance) * centres.length ** -0.2) };
}

/** Normals cut off at the ends, each of mass 1, and the uniform density, all of equal weight. */
function density({ centres, width }: Mixture, x: number): number {
  const normals = centres.map((centre) => {
    const within = cumulative((1 - centre) / width) - cumulative(-centre / width);
    return Math.exp(-0.5 * ((x - centre) / width) ** 2) / (Math.sqrt(2 * Math.PI) * width * within);
  });
  return normals.reduce((sum, value) => sum + value, 1) / (centres.length + 1);
}

function drawn({ centres, width }: Mixture, next: Random): number {
  const which = integer(next, centres.length + 1);
  if (which === centres.length) return next();
  for (;;) {
    const x = centres[which] + width * normal(next);
    if (x >= 0 && x <= 1) return x;
  }
}

/** Box and Muller's. */
function normal(next: Random): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** The normal distribution function, by its logistic approximation (error below 0.0002). */
function cumulative(z: number): number {
  return 1 / (1 + Math.exp(-1.5976 * z - 0.070565916 * z ** 3));
}
