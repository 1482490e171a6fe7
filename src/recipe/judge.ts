/**
 * The loss of a candidate over the calibration's domains, computed batch by batch: only as far as it must be known, and
 * never twice.
 * @module
 */
import type { Combine } from '../prune/domains/mixture.ts';
import type { Assignment } from '../prune/spdy.ts';
import { integer, random } from '../tensor/random.ts';

/** The rows of one domain, in batches. */
export interface Domain {
  /** What each batch costs: its ids, padding included. */
  readonly costs: readonly number[];
  /** The loss of a batch: its rows' sum, never negative, and what they weigh, which must not depend on the candidate. */
  measure(assignment: Assignment, batch: number): Promise<{ readonly sum: number; readonly weight: number }>;
}

export interface Judge {
  /**
   * The loss on all rows: of each domain the rows' mean, and of these the mean or the greatest.
   * @returns +∞ as soon as it is certain to exceed `bound`
   */
  loss(assignment: Assignment, bound?: number): Promise<number>;
  /** The loss in each domain. */
  byDomain(assignment: Assignment): Promise<readonly number[]>;
  /** The loss on the first so many samples of the rows: each holds some batches of every domain. */
  sampled(assignment: Assignment, samples: number): Promise<number>;
  /** What each sample costs, as a share of all rows. */
  readonly shares: readonly number[];
}

/** What samples hold together, as shares of all rows: each at least a batch of every domain. */
const GROWTH = [1 / 8, 1 / 3, 1];

/** @param seed of the order in which batches are drawn: they are sorted by length, and a sample should hold all lengths */
export function openJudge(domains: readonly Domain[], combine: Combine, seed: number): Judge {
  const orders = domains.map(({ costs }, d) => shuffledOrder(costs.length, seed + d));
  const ends = samplesOf(domains, orders);
  const costOf = (upTo: readonly number[]) =>
    domains.reduce((sum, { costs }, d) => sum + total(orders[d].slice(0, upTo[d]).map((i) => costs[i])), 0);
  const all = costOf(ends.at(-1)!);
  const known = new Map<
    string,
    { readonly done: number[]; readonly sums: number[]; readonly weights: number[] }
  >();
  // Weights are the rows' alone, so that a bound is known before the second candidate's loss is.
  let weights: readonly number[] | undefined;

  const combined = (losses: readonly number[]) =>
    combine === 'worst' ? Math.max(...losses) : total(losses) / losses.length;

  async function tally(assignment: Assignment, upTo: readonly number[], bound: number) {
    const key = assignment.join();
    const zeros = () => domains.map(() => 0);
    const so = known.get(key) ?? { done: zeros(), sums: zeros(), weights: zeros() };
    known.set(key, so);
    for (const [d, domain] of domains.entries()) {
      while (so.done[d] < upTo[d]) {
        const part = await domain.measure(assignment, orders[d][so.done[d]]);
        so.done[d]++;
        so.sums[d] += part.sum;
        so.weights[d] += part.weight;
        const least = weights && combined(so.sums.map((sum, e) => sum / weights![e]));
        if (least !== undefined && least > bound) return undefined;
      }
    }
    if (upTo === ends.at(-1)) weights ??= [...so.weights];
    return so.sums.map((sum, d) => sum / so.weights[d]);
  }

  return {
    shares: ends.map((upTo, i) => (costOf(upTo) - (i > 0 ? costOf(ends[i - 1]) : 0)) / all),
    async loss(assignment, bound = Number.POSITIVE_INFINITY) {
      const losses = await tally(assignment, ends.at(-1)!, bound);
      return losses === undefined ? Number.POSITIVE_INFINITY : combined(losses);
    },
    async byDomain(assignment) {
      return (await tally(assignment, ends.at(-1)!, Number.POSITIVE_INFINITY))!;
    },
    async sampled(assignment, samples) {
      return combined((await tally(assignment, ends[samples - 1], Number.POSITIVE_INFINITY))!);
    },
  };
}

/** How many batches of each domain the first samples hold; samples that add nothing are left out. */
function samplesOf(domains: readonly Domain[], orders: readonly (readonly number[])[]): number[][] {
  const ends = GROWTH.map((share) =>
    domains.map(({ costs }, d) => {
      const enough = share * total(costs) * (1 - 1e-9);
      let end = 0;
      for (let sum = 0; sum < enough; end++) sum += costs[orders[d][end]];
      return end;
    }),
  );
  return ends.filter((end, i) => i === 0 || end.some((count, d) => count > ends[i - 1][d]));
}

function shuffledOrder(count: number, seed: number): number[] {
  const next = random(seed);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = integer(next, i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
