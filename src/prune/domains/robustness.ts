/**
 * What pruning does in each of several domains, and what is important in all of them.
 *
 * After GPrune-LLM (2026): structures whose rank differs between data sets are important to some text only. Taken from there: ranks
 * by domain and their spread. Not taken: its modules of neurons, and metrics that ignore activations.
 *
 *   ρ_S   what the removal of structure S alone costs in one domain, after the best refit of the others (see `obs.ts`)
 * @module
 */
import type { Block } from '../../structure/block.ts';
import { type BlockLevels, energy, hessian, invert } from '../database.ts';
import type { Moments } from '../hessian.ts';
import type { Kernels } from '../kernels.ts';

/**
 * What levels lose in each domain: E‖(Ŵ − W)·x + b̂ − b‖² over the domain's tokens, relative to the variance of W·x there (to
 * E‖W·x‖² without a bias). Not below 0; above 1 where a domain's mean is far from the mixture's.
 * @param wt Wᵀ [cols, rows], bias [rows]: the dense ones
 * @param wanted indices into `levels`
 * @returns [wanted][domains]
 */
export async function domainErrors(
  { columns }: Pick<Block, 'columns'>,
  wt: Float32Array,
  bias: Float32Array | undefined,
  database: BlockLevels,
  wanted: readonly number[],
  domains: readonly Moments[],
  kernels: Kernels,
): Promise<number[][]> {
  const cols = domains[0].sum.length;
  const rows = wt.length / cols;
  const second = domains.map((moments) => hessian(moments, false)); // 2·E[x·xᵀ]
  const whole = await kernels.gram(wt, cols, rows);
  const energies = domains.map((moments, d) =>
    energy(whole, bias === undefined ? second[d] : hessian(moments, true)),
  );
  const out: number[][] = [];
  for (const level of wanted) {
    const { structures, kept } = database.levels[level];
    const pruned = database.weights(level);
    const change = Float32Array.from(wt, (value) => -value);
    const stays = structures.flatMap((s) => columns[s]).sort((a, b) => a - b);
    for (const [at, column] of stays.entries()) {
      for (let r = 0; r < rows; r++) change[column * rows + r] += pruned.wt[at * rows + r];
    }
    if (kept === columns.length) change.fill(0);
    const gram = await kernels.gram(change, cols, rows);
    const shift = bias?.map((value, r) => (pruned.bias?.[r] ?? value) - value);
    out.push(
      domains.map(({ sum, tokens }, d) => {
        let loss = energy(gram, second[d]);
        if (shift !== undefined) {
          // 2·(2·shiftᵀ·(Ŵ − W)·x̄ + ‖shift‖²)
          for (let r = 0; r < rows; r++) {
            let moved = 0;
            for (let j = 0; j < cols; j++) moved += change[j * rows + r] * sum[j];
            loss += 2 * shift[r] * ((2 * moved) / tokens + shift[r]);
          }
        }
        return energies[d] > 0 ? Math.max(0, loss / energies[d]) : 0;
      }),
    );
  }
  return out;
}

/**
 * ρ_S of every structure of the dense block in one domain.
 * @returns [structures]
 */
export async function saliencies(
  { id, columns }: Pick<Block, 'id' | 'columns'>,
  wt: Float32Array,
  moments: Moments,
  centred: boolean,
  damping: number,
  kernels: Kernels,
): Promise<Float64Array> {
  const cols = moments.sum.length;
  const rows = wt.length / cols;
  const h = hessian(moments, centred);
  for (let j = 0; j < cols; j++) if (!(h[j * cols + j] > 0)) h[j * cols + j] = 1;
  const { hinv } = await invert(h, cols, damping, kernels, id);
  const out = new Float64Array(columns.length);
  for (const [s, own] of columns.entries()) {
    const size = own.length;
    const part = Float64Array.from({ length: size * size }, (_, at) => {
      return hinv[own[Math.floor(at / size)] * cols + own[at % size]];
    });
    const inverse = size === 1 ? [1 / part[0]] : await kernels.inverse(part, size);
    if (inverse === undefined) continue; // to rounding it costs nothing
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        let product = 0;
        for (let r = 0; r < rows; r++) product += wt[own[i] * rows + r] * wt[own[j] * rows + r];
        out[s] += inverse[i * size + j] * product;
      }
    }
  }
  return out;
}

/** How many structures are less important, as a share of the others: 0 for the least, 1 for the most important. */
export function ranksOf(importance: ArrayLike<number>): number[] {
  const order = Array.from(importance, (_, s) => s).sort((a, b) => importance[a] - importance[b] || a - b);
  const ranks = new Array<number>(order.length);
  for (const [rank, s] of order.entries()) ranks[s] = order.length > 1 ? rank / (order.length - 1) : 1;
  return ranks;
}

/** Ranks of one structure that are no further apart agree. */
const AGREEMENT = 0.1;
/** Structures that rank so high are important. */
const IMPORTANT = 0.75;

/**
 * What the domains agree on.
 * @param ranks [domains][structures]
 */
export function agreement(ranks: readonly (readonly number[])[]): {
  /** The structures that are important in every domain, ascending. */
  readonly important: number[];
  /** The structures whose ranks agree, ascending. */
  readonly agreeing: number[];
} {
  const structures = ranks[0].map((_, s) => ranks.map((own) => own[s]));
  const those = (is: (of: readonly number[]) => boolean) =>
    structures.flatMap((own, s) => (is(own) ? [s] : []));
  return {
    important: those((own) => Math.min(...own) >= IMPORTANT),
    agreeing: those((own) => Math.max(...own) - Math.min(...own) <= AGREEMENT + 1e-9),
  };
}
