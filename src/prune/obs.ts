/**
 * Structured Optimal Brain Surgeon: remove whole groups of columns from one matrix, cheapest first, and let
 * the columns that stay absorb the error. One greedy pass gives every level.
 *
 * Notation (ZipLM, section 3):
 *   W   [rows, n]  the layer computes W·x; held transposed, Wᵀ [n, rows], as an ONNX MatMul stores it
 *   H   [n, n]     2·X·Xᵀ/count + λI over the calibration tokens; H⁻¹ is what the pass works on
 *   G   [n, n]     WᵀW
 *   S              the columns that one structure owns: head_dim for a head, 1 for a neuron
 *   ρ_S            tr(G_SS · (H⁻¹_SS)⁻¹): the loss of removing S, after the best refit of the others
 *
 * The pass is the published one (same order, same losses) with its updates delayed. Removing column j is
 *   H⁻¹ ← H⁻¹ − c·cᵀ     W ← W − u·cᵀ     with  c = H⁻¹_:j/√H⁻¹_jj,  u = W_:j/√H⁻¹_jj
 * and choosing the next column takes only diag(H⁻¹) and the columns' norms, which c, u and v = Wᵀu keep up to date. So
 * nothing of size n² is written per step:
 *  - the *base* matrices stay as they are while the c and u of a *span* of removals gather beside them; when enough
 *    columns are gone, one product applies the span to the base, which shrinks;
 *  - the columns of H⁻¹ and G that are likely to go next, the *candidates*, are computed for a few dozen removals at
 *    a time (a *panel*), from base and span. A pivot that is no candidate begins a new panel.
 * Removing a group column by column equals removing it at once, so heads and neurons share the code.
 *
 * Pure: arguments in, new arrays out; the matrix products are the caller's `Algebra`.
 * @module
 */

import { columnPass } from './obs/columns.ts';
import { groupPass } from './obs/groups.ts';
import type { Algebra, ObsLevel, ObsProblem } from './obs/problem.ts';

export type { Algebra, Columns, ObsLevel, ObsProblem, State } from './obs/problem.ts';

/**
 * The greedy pass.
 * @returns the levels, dense first, and the structures in the order of their removal with their ρ.
 * @throws Error when H⁻¹ loses positive definiteness (its pivot is named): raise the damping.
 */
export async function obs(
  problem: ObsProblem,
  algebra: Algebra,
): Promise<{ levels: ObsLevel[]; order: number[]; losses: number[] }> {
  const count = problem.groups.length;
  const wanted = [...new Set(problem.levels)]
    .filter((kept) => kept > 0 && kept < count)
    .sort((a, b) => b - a);
  const pass = problem.groups[0].length === 1 ? columnPass(problem, algebra) : groupPass(problem, algebra);
  const levels = [await pass.level()];
  for (const kept of wanted) {
    while (pass.remaining() > kept) await pass.removeCheapest();
    levels.push(await pass.level());
  }
  return { levels, order: pass.order, losses: pass.losses };
}
