/**
 * Naive float64 linear algebra on plain arrays of rows.
 * @module
 */
export type Matrix = readonly (readonly number[])[];

export function multiply(a: Matrix, b: Matrix): number[][] {
  return a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));
}

export function transpose(a: Matrix): number[][] {
  return a[0].map((_, j) => a.map((row) => row[j]));
}

/** Solves A·X = B by Gaussian elimination with partial pivoting. */
export function solve(a: Matrix, b: Matrix): number[][] {
  const n = a.length;
  const rows = a.map((row, i) => [...row, ...b[i]]);
  for (let i = 0; i < n; i++) {
    const pivot = rows.reduce(
      (best, row, r) => (r >= i && Math.abs(row[i]) > Math.abs(rows[best][i]) ? r : best),
      i,
    );
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let r = 0; r < n; r++) {
      if (r === i) continue;
      const factor = rows[r][i] / rows[i][i];
      for (let c = i; c < rows[r].length; c++) rows[r][c] -= factor * rows[i][c];
    }
  }
  return rows.map((row, i) => row.slice(n).map((value) => value / row[i]));
}

export function inverse(a: Matrix): number[][] {
  return solve(
    a,
    a.map((_, i) => a.map((__, j) => (i === j ? 1 : 0))),
  );
}

/** tr(A·H·Aᵀ). */
export function energy(a: Matrix, h: Matrix): number {
  return multiply(a, h).reduce((sum, row, i) => sum + row.reduce((s, value, j) => s + value * a[i][j], 0), 0);
}
