/**
 * The pass over structures of several columns: heads.
 * @module
 */
import { startBase } from './base.ts';
import { openPanel } from './panel.ts';
import type { Algebra, ObsProblem, Pass } from './problem.ts';

/** Structures of several columns: few removals, each applied to the base at once. */
export function groupPass(problem: ObsProblem, algebra: Algebra): Pass {
  const { rows, groups } = problem;
  const width = groups[0].length;
  const base = startBase(problem, algebra, width);
  const panel = openPanel(width, base.hinv.length ** 0.5, rows);
  let gram: Float32Array | undefined;
  return {
    ...base.tale,
    async removeCheapest() {
      const m = base.m();
      gram ??= await algebra.gram(base.wt, m, rows);
      let best = { structure: -1, loss: Number.POSITIVE_INFINITY };
      for (const [structure, columns] of groups.entries()) {
        if (!base.alive[structure]) continue;
        const at = columns.map((column) => base.positionOf(column));
        const loss = groupLoss(base.hinv, gram, m, at, base.positive);
        if (loss < best.loss) best = { structure, loss };
      }
      panel.clear();
      for (const column of groups[base.chosen(best)]) {
        const at = base.positionOf(column);
        const [c, u] = panel.next(
          base.hinv.subarray(at * m, (at + 1) * m),
          base.wt.subarray(at * rows, (at + 1) * rows),
          at,
          base.positive,
        );
        base.push(c, u);
      }
      await base.apply();
      gram = undefined;
    },
  };
}

/** ρ of one group: tr(G_SS · (H⁻¹_SS)⁻¹) by Cholesky of H⁻¹_SS; `at` holds the group's positions. */
function groupLoss(
  hinv: Float32Array,
  gram: Float32Array,
  m: number,
  at: readonly number[],
  positive: (pivot: number, at: number) => number,
): number {
  const d = at.length;
  const factor = new Float64Array(d * d);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      let value = hinv[at[i] * m + at[j]];
      for (let t = 0; t < j; t++) value -= factor[i * d + t] * factor[j * d + t];
      factor[i * d + j] = i === j ? Math.sqrt(positive(value, at[i])) : value / factor[j * d + j];
    }
  }
  // tr(G·L⁻ᵀ·L⁻¹) = tr(L⁻¹·G·L⁻ᵀ): solve for the columns of L⁻¹·G, then for the diagonal of the rest.
  const solved = new Float64Array(d * d);
  for (let column = 0; column < d; column++) {
    for (let i = 0; i < d; i++) {
      let value = gram[at[i] * m + at[column]];
      for (let t = 0; t < i; t++) value -= factor[i * d + t] * solved[t * d + column];
      solved[i * d + column] = value / factor[i * d + i];
    }
  }
  let trace = 0;
  const row = new Float64Array(d);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      let value = solved[i * d + j];
      for (let t = 0; t < j; t++) value -= factor[j * d + t] * row[t];
      row[j] = value / factor[j * d + j];
    }
    trace += row[i];
  }
  return trace;
}
