/**
 * Structured OBS without its formulas: at every step, refit W exactly for every structure that might go next, and
 * let the one go whose refit loses least. Float64.
 * @module
 */
import { energy, type Matrix, multiply, solve, transpose } from './linear.ts';

/** min over Ŵ with the columns outside `columns` zero of tr((Ŵ − W)·H·(Ŵ − W)ᵀ); W [rows, n], H [n, n]. */
export function refit(
  w: Matrix,
  h: Matrix,
  columns: readonly number[],
): { weight: number[][]; loss: number } {
  const target = transpose(multiply(w, h).map((row) => columns.map((j) => row[j])));
  const kept = transpose(
    solve(
      columns.map((i) => columns.map((j) => h[i][j])),
      target,
    ),
  );
  const weight = w.map((row, r) =>
    row.map((_, j) => (columns.includes(j) ? kept[r][columns.indexOf(j)] : 0)),
  );
  const change = w.map((row, r) => row.map((value, j) => weight[r][j] - value));
  return { weight, loss: energy(change, h) };
}

export function greedyRefit(
  w: Matrix,
  h: Matrix,
  groups: readonly (readonly number[])[],
): { order: number[]; weights: Map<number, number[][]>; losses: Map<number, number> } {
  let alive = groups.map((_, s) => s);
  const order: number[] = [];
  const weights = new Map([[alive.length, w.map((row) => [...row])]]);
  const losses = new Map([[alive.length, 0]]);
  while (alive.length > 1) {
    const tried = alive.map((gone) => {
      const rest = alive.filter((s) => s !== gone);
      return {
        gone,
        rest,
        ...refit(
          w,
          h,
          rest.flatMap((s) => groups[s]).sort((a, b) => a - b),
        ),
      };
    });
    const best = tried.reduce((a, b) => (b.loss < a.loss ? b : a));
    alive = best.rest;
    order.push(best.gone);
    weights.set(alive.length, best.weight);
    losses.set(alive.length, best.loss);
  }
  return { order, weights, losses };
}
