/**
 * The pass over structures of one column: neurons.
 * @module
 */
import { startBase } from './base.ts';
import { dot, openPanel } from './panel.ts';
import type { Algebra, Columns, ObsProblem, Pass } from './problem.ts';

/** Removals per panel of single columns. */
const PANEL = 48;
/** Candidates per removal of a panel: with three times as many, a pivot is seldom none of them. */
const CANDIDATES = 3;
/** The span is applied to the base when this share of the base's columns is gone. */
const SPAN = 0.2;

/** Structures of one column: candidates for a panel of removals, a span of panels for each change of the base. */
export function columnPass(problem: ObsProblem, algebra: Algebra): Pass {
  const { rows, groups, panel: size = PANEL } = problem;
  const n = problem.wt.length / rows;
  const base = startBase(problem, algebra, size + Math.ceil(SPAN * n));
  const panel = openPanel(size, n, rows);
  const structureAt = new Int32Array(n);
  for (const [structure, [column]] of groups.entries()) structureAt[column] = structure;
  const diagonal = new Float64Array(n); // of H⁻¹, by position in the base
  const squaredNorm = new Float64Array(n); // of W's columns
  const rowOf = new Int32Array(n); // position → row among the candidates, −1 for the others
  const isGone = new Uint8Array(n); // by position
  let candidates: Columns | undefined;
  refresh();

  function refresh() {
    const { hinv, wt } = base;
    const m = base.m();
    for (let i = 0; i < m; i++) {
      diagonal[i] = hinv[i * m + i];
      let sum = 0;
      for (let r = i * rows; r < (i + 1) * rows; r++) sum += wt[r] * wt[r];
      squaredNorm[i] = sum;
    }
    isGone.fill(0);
  }

  function cheapest(): number {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0, m = base.m(); i < m; i++) {
      if (isGone[i] === 1) continue;
      const rho = squaredNorm[i] / diagonal[i];
      if (rho < least) {
        least = rho;
        best = i;
      }
    }
    return best;
  }

  /** The positions of the `count` least ρ. */
  function likely(count: number): Int32Array {
    const m = base.m();
    const rho = new Float64Array(m);
    for (let i = 0; i < m; i++) {
      rho[i] = isGone[i] === 1 ? Number.POSITIVE_INFINITY : squaredNorm[i] / diagonal[i];
    }
    const bound = rho.toSorted()[Math.min(count, m) - 1];
    const positions: number[] = [];
    for (let i = 0; i < m && positions.length < count; i++) {
      if (rho[i] <= bound && isGone[i] === 0) positions.push(i);
    }
    return Int32Array.from(positions);
  }

  async function newPanel() {
    if (base.gone() >= SPAN * base.m()) {
      await base.apply();
      refresh();
    }
    panel.clear();
    const m = base.m();
    const positions = likely(CANDIDATES * size);
    candidates = await algebra.columns(base.state(), positions);
    rowOf.fill(-1);
    for (const [row, at] of positions.entries()) {
      rowOf[at] = row;
      diagonal[at] = candidates.hinv[row * m + at];
      squaredNorm[at] = candidates.gram[row * m + at];
    }
  }

  return {
    ...base.tale,
    async removeCheapest() {
      let at = cheapest();
      if (candidates === undefined || panel.isFull() || rowOf[at] < 0) {
        await newPanel();
        at = cheapest();
      }
      const loss = squaredNorm[at] / diagonal[at];
      base.chosen({ structure: at < 0 ? -1 : structureAt[base.columnAt(at)], loss });
      const m = base.m();
      const row = rowOf[at];
      const { hinv, wt, gram } = candidates!;
      const [c, u, v] = panel.next(
        hinv.subarray(row * m, (row + 1) * m),
        wt.subarray(row * rows, (row + 1) * rows),
        at,
        base.positive,
        gram.subarray(row * m, (row + 1) * m),
      );
      const uu = dot(u, u, rows);
      for (let i = 0; i < m; i++) {
        squaredNorm[i] += c[i] * (uu * c[i] - 2 * v[i]);
        diagonal[i] -= c[i] * c[i];
      }
      base.push(c, u);
      isGone[at] = 1;
    },
  };
}
