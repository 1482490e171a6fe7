/**
 * Structured SPDY (ZipLM, section 3.2; Frantar & Alistarh, "SPDY", 2022): pick one level for each block so that
 * the predicted time fits the budget and the calibration loss is least.
 *
 * Notation:
 *   p_l(s)   the prior: what level s of block l is expected to cost in quality
 *   c_l      the coefficient of block l; the program minimises Σ c_l·p_l(s_l) subject to Σ time_l(s_l) ≤ budget
 *
 * For given coefficients the minimum is exact up to the rounding of times to buckets; the coefficients are what
 * the search varies, and the calibration loss of the whole pruned model is what it accepts by.
 * @module
 */
import type { Random } from '../tensor/random.ts';

/** One level index for each block. */
export type Assignment = readonly number[];

export const TIME_BUCKETS = 10_000;

/**
 * The dynamic program: argmin Σ costs[l][s_l] subject to Σ times[l][s_l] ≤ budget, times rounded to
 * budget/buckets. O(buckets · Σ levels).
 * @returns undefined when even the fastest levels exceed the budget
 */
export function assign(
  costs: readonly ArrayLike<number>[],
  times: readonly ArrayLike<number>[],
  budget: number,
  buckets = TIME_BUCKETS,
): Assignment | undefined {
  if (!(budget > 0)) return undefined;
  let best = new Float64Array(buckets + 1); // best[t]: least cost of the blocks so far within time t
  const choice: Int16Array[] = [];
  const steps = times.map((row) => Int32Array.from(row, (time) => Math.round((time / budget) * buckets)));
  for (const [l, cost] of costs.entries()) {
    const next = new Float64Array(buckets + 1).fill(Number.POSITIVE_INFINITY);
    const chosen = new Int16Array(buckets + 1).fill(-1);
    for (let s = 0; s < cost.length; s++) {
      const [step, add] = [steps[l][s], cost[s]];
      for (let t = step; t <= buckets; t++) {
        const value = best[t - step] + add;
        if (value < next[t]) {
          next[t] = value;
          chosen[t] = s;
        }
      }
    }
    best = next;
    choice.push(chosen);
  }
  if (!Number.isFinite(best[buckets])) return undefined;
  const assignment = new Array<number>(costs.length);
  for (let l = costs.length - 1, t = buckets; l >= 0; l--) {
    assignment[l] = choice[l][t];
    t -= steps[l][assignment[l]];
  }
  return assignment;
}

export interface SearchProblem {
  /** Priors by name, each [blocks][levels]: every one is a starting point, and mutations begin from the best. */
  readonly priors: readonly (readonly ArrayLike<number>[])[];
  /** [blocks][levels], in the unit of the budget. */
  readonly times: readonly ArrayLike<number>[];
  readonly budget: number;
  /** Assignments known to be good (from another budget, from an earlier round), as coefficient vectors. */
  readonly starts?: readonly Candidate[];
  /** The calibration loss; may answer +∞ as soon as it is certain to exceed `bound`. */
  evaluate(assignment: Assignment, bound: number): Promise<number>;
}

export interface Candidate {
  readonly prior: number;
  readonly coefficients: readonly number[];
}

export interface SearchResult extends Candidate {
  readonly assignment: Assignment;
  readonly loss: number;
  /** Distinct assignments whose loss was computed. */
  readonly evaluations: number;
}

/** The chance that a mutation redraws a coefficient (ZipLM: 10 %). */
const MUTATION = 0.1;

/**
 * Random search over the coefficients: uniform draws, then mutations of the best so far.
 * @param inits draws over each prior, the plain program (all coefficients 1) included
 * @param steps mutations, each accepted only if the loss falls
 * @returns undefined when no assignment fits the budget
 */
export async function search(
  problem: SearchProblem,
  { inits, steps }: { inits: number; steps: number },
  next: Random,
  onStep: (best: number) => void = () => {},
): Promise<SearchResult | undefined> {
  const { priors, times, budget } = problem;
  const blocks = times.length;
  const seen = new Map<string, number>();
  let best: SearchResult | undefined;

  const attempt = async (candidate: Candidate) => {
    const costs = priors[candidate.prior].map((row, l) =>
      Float64Array.from(row, (prior) => prior * candidate.coefficients[l]),
    );
    const assignment = assign(costs, times, budget);
    if (assignment !== undefined) {
      const key = assignment.join();
      if (!seen.has(key)) {
        const loss = await problem.evaluate(assignment, best?.loss ?? Number.POSITIVE_INFINITY);
        seen.set(key, loss);
        if (best === undefined || loss < best.loss) best = { ...candidate, assignment, loss, evaluations: 0 };
      }
    }
    onStep(best?.loss ?? Number.NaN);
  };

  for (const start of problem.starts ?? []) await attempt(start);
  for (const prior of priors.keys()) await attempt({ prior, coefficients: new Array(blocks).fill(1) });
  if (best === undefined) return undefined;
  for (let i = priors.length; i < inits; i++) {
    await attempt({ prior: i % priors.length, coefficients: Array.from({ length: blocks }, next) });
  }
  for (let i = 0; i < steps; i++) {
    const { prior, coefficients }: Candidate = best;
    await attempt({ prior, coefficients: coefficients.map((c) => (next() < MUTATION ? next() : c)) });
  }
  return { ...(best as SearchResult), evaluations: seen.size };
}
