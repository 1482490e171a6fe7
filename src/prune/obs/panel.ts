/**
 * The removals of one panel: their c, u and v in double precision, each corrected for those before it.
 * @module
 */

/** The vectors of one panel, allocated once: a pass makes thousands of them. */
export function openPanel(size: number, n: number, rows: number) {
  const vectors = (length: number) => Array.from({ length: size }, () => new Float64Array(length));
  const [panelC, panelU, panelV] = [vectors(n), vectors(rows), vectors(n)];
  const [atPivot, overlap] = [new Float64Array(size), new Float64Array(size)];
  const g = new Float64Array(n);
  let filled = 0;
  return {
    clear() {
      filled = 0;
    },
    isFull: () => filled === size,
    /**
     * The c, u and, where the Gram column is given, Wᵀu of the next removal.
     * @param hinv column of H⁻¹ [m] as the panel began, as are the column of W [rows] and of G [m]
     * @param at the pivot's position
     */
    next(
      hinv: Float32Array,
      wt: Float32Array,
      at: number,
      positive: (pivot: number, at: number) => number,
      gram?: Float32Array,
    ): [c: Float64Array, u: Float64Array, g: Float64Array] {
      const m = hinv.length;
      const [c, u, v] = [panelC[filled], panelU[filled], panelV[filled]];
      c.set(hinv);
      u.set(wt);
      for (let p = 0; p < filled; p++) atPivot[p] = panelC[p][at];
      subtract(c, panelC, atPivot, filled, m);
      subtract(u, panelU, atPivot, filled, rows);
      const scale = 1 / Math.sqrt(positive(c[at], at));
      for (let r = 0; r < rows; r++) u[r] *= scale;
      for (let i = 0; i < m; i++) c[i] *= scale;
      if (gram !== undefined) {
        v.set(gram);
        subtract(v, panelV, atPivot, filled, m);
        for (let i = 0; i < m; i++) {
          v[i] *= scale; // Wᵀu with the W of the panel's beginning
          g[i] = v[i];
        }
        for (let p = 0; p < filled; p++) overlap[p] = dot(panelU[p], u, rows);
        subtract(g, panelC, overlap, filled, m); // with the W of now
      }
      filled++;
      return [c, u, g];
    },
  };
}

/** target −= Σ weights[p]·vectors[p] over p < count, four vectors at a time: the pass's innermost loop. */
function subtract(
  target: Float64Array,
  vectors: readonly Float64Array[],
  weights: Float64Array,
  count: number,
  length: number,
) {
  let p = 0;
  for (; p + 4 <= count; p += 4) {
    const [v0, v1, v2, v3] = [vectors[p], vectors[p + 1], vectors[p + 2], vectors[p + 3]];
    const [w0, w1, w2, w3] = [weights[p], weights[p + 1], weights[p + 2], weights[p + 3]];
    for (let i = 0; i < length; i++) target[i] -= w0 * v0[i] + w1 * v1[i] + (w2 * v2[i] + w3 * v3[i]);
  }
  for (; p < count; p++) {
    const [vector, weight] = [vectors[p], weights[p]];
    for (let i = 0; i < length; i++) target[i] -= weight * vector[i];
  }
}

export function dot(a: Float64Array, b: Float64Array, length: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    s0 += a[i] * b[i];
    s1 += a[i + 1] * b[i + 1];
    s2 += a[i + 2] * b[i + 2];
    s3 += a[i + 3] * b[i + 3];
  }
  for (; i < length; i++) s0 += a[i] * b[i];
  return s0 + s1 + (s2 + s3);
}
