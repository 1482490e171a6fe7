/**
 * Several calibration domains at once: one Hessian of them all.
 *
 * Notation:
 *   d        a domain: the rows of one calibration file
 *   H_d      its Hessian, as `database.ts` has it; tr(H_d) differs by how much a domain excites the layer
 *   w_d      weights of a mixture, Σ w_d = 1: H = Σ w_d·H_d, the Hessian of tokens drawn from domain d with chance w_d
 *
 * The *mean* of the domains is w_d ∝ 1/tr(H_d): each counts alike, however loud it is. The *worst* of them is what minimises the
 * greatest of the domains' errors. A mixture can express that: for a given mask the greatest of convex functions is least
 * where some mixture of them is, so w is raised for the domain that is served worst, and the pass is run again.
 * @module
 */
import type { Moments } from '../hessian.ts';

export type Combine = 'mean' | 'worst';

/** Weights that count every domain alike: 1/tr(H_d), together 1. A domain that never excites the layer has none. */
export function equalWeights(domains: readonly Moments[], centred: boolean): number[] {
  const inverse = domains.map((moments) => {
    const trace = traceOf(moments, centred);
    return trace > 0 ? 1 / trace : 0;
  });
  const total = inverse.reduce((sum, weight) => sum + weight, 0);
  return inverse.map((weight) => (total > 0 ? weight / total : 1 / domains.length));
}

function traceOf({ product, sum, tokens }: Moments, centred: boolean): number {
  const cols = sum.length;
  let trace = 0;
  for (let i = 0; i < cols; i++) {
    trace += (2 / tokens) * (product[i * cols + i] - (centred ? sum[i] ** 2 / tokens : 0));
  }
  return trace;
}

/** The moments of as many tokens as all domains have, drawn from domain d with chance `weights[d]`. */
export function mixture(domains: readonly Moments[], weights: readonly number[]): Moments {
  const tokens = domains.reduce((sum, domain) => sum + domain.tokens, 0);
  const mixed = (part: 'product' | 'sum') => {
    const out = new Float64Array(domains[0][part].length);
    for (const [d, domain] of domains.entries()) {
      const factor = (weights[d] * tokens) / domain.tokens;
      for (let i = 0; i < out.length; i++) out[i] += factor * domain[part][i];
    }
    return out;
  };
  return { product: mixed('product'), sum: mixed('sum'), tokens };
}

/** How often the weights are changed; each costs a pass. */
const ROUNDS = 4;
/** How strongly: the worst domain's weight grows by e to this, against one without any error. */
const RATE = 1;

/**
 * Weights for the worst domain, by multiplicative updates (Freund & Schapire, 1999).
 * @param errorsOf prunes by the mixture and tells each domain's relative error
 * @returns of all weights that were tried, those whose worst error is least; at first those given
 */
export async function worstWeights(
  given: readonly number[],
  errorsOf: (weights: readonly number[]) => Promise<readonly number[]>,
): Promise<readonly number[]> {
  let weights = given;
  let best = { weights, worst: Number.POSITIVE_INFINITY };
  for (let round = 0; round <= ROUNDS; round++) {
    const errors = await errorsOf(weights);
    const worst = Math.max(...errors);
    if (worst < best.worst) best = { weights, worst };
    const raised = weights.map((weight, d) => weight * Math.exp(worst > 0 ? (RATE * errors[d]) / worst : 0));
    const total = raised.reduce((sum, weight) => sum + weight, 0);
    weights = raised.map((weight) => weight / total);
  }
  return best.weights;
}
