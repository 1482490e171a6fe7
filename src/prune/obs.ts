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
 * and since only the pivot's column of each matrix is needed next, the c, u and v = Wᵀu are gathered in panels, and
 * H⁻¹, W and G are brought up to date by one matrix product each when a panel is full or a level is reached.
 * Removing a group column by column equals removing it at once, so heads and neurons share the code.
 *
 * Pure: arguments in, new arrays out; the matrix products are the caller's `Algebra`.
 * @module
 */

/** The state between panels, over the columns that are still carried (m of the n; removed ones are dropped lazily). */
export interface Matrices {
  /** H⁻¹ [m, m], row-major. */
  readonly hinv: Float32Array;
  /** Wᵀ [m, rows]. */
  readonly wt: Float32Array;
  /** WᵀW [m, m]. */
  readonly gram: Float32Array;
}

/** k delayed column removals. C, U and V are held transposed: one row per removed column. */
export interface Panel {
  /** c vectors [k, m]. */
  readonly c: Float32Array;
  /** u vectors [k, rows]. */
  readonly u: Float32Array;
  /** v = Wᵀu vectors [k, m], W as it was when the panel began. */
  readonly v: Float32Array;
}

export interface Algebra {
  /** WᵀW [n, n] of Wᵀ [n, rows]. */
  gram(wt: Float32Array, n: number, rows: number): Promise<Float32Array>;
  /** H⁻¹ − C·Cᵀ, Wᵀ − C·Uᵀ, and the Gram matrix of the new W: G − C·Vᵀ − V·Cᵀ + C·(UᵀU)·Cᵀ. */
  downdate(matrices: Matrices, panel: Panel, m: number, rows: number, k: number): Promise<Matrices>;
}

export interface ObsLevel {
  /** Structures that stay. */
  readonly kept: number;
  /** Their indices, ascending. */
  readonly structures: readonly number[];
  /** Wᵀ [kept columns, rows], columns in ascending order, refitted. */
  readonly wt: Float32Array;
  /** Σρ of the removals so far: the squared error under the damped H. */
  readonly loss: number;
}

export interface ObsProblem {
  /** Wᵀ [n, rows]. */
  readonly wt: Float32Array;
  /** H⁻¹ [n, n]. */
  readonly hinv: Float32Array;
  readonly rows: number;
  /** The columns of each structure. */
  readonly groups: readonly (readonly number[])[];
  /** Kept counts at which to report, in any order; the dense count is always reported, 0 never is. */
  readonly levels: readonly number[];
  /** Columns per panel (more: fewer, fatter products and longer panels). */
  readonly panel?: number;
}

/** Drop removed columns from the carried matrices once this share of them is dead. */
const COMPACT_AT = 0.12;

/**
 * The greedy pass.
 * @returns the levels, dense first, and the structures in the order of their removal with their ρ.
 * @throws Error when H⁻¹ loses positive definiteness (its pivot is named): raise the damping.
 */
export async function obs(
  problem: ObsProblem,
  algebra: Algebra,
): Promise<{ levels: ObsLevel[]; order: number[]; losses: number[] }> {
  const pass = await startPass(problem, algebra);
  const count = problem.groups.length;
  const wanted = [...new Set(problem.levels)]
    .filter((kept) => kept > 0 && kept < count)
    .sort((a, b) => b - a);
  const levels = [pass.level()];
  for (const kept of wanted) {
    while (pass.remaining() > kept) {
      pass.remove(pass.cheapest());
      if (pass.panelFull() && pass.remaining() > kept) await pass.flush();
    }
    await pass.flush();
    levels.push(pass.level());
  }
  return { levels, order: pass.order, losses: pass.losses };
}

async function startPass({ wt, hinv, rows, groups, panel }: ObsProblem, algebra: Algebra) {
  const n = wt.length / rows;
  const width = groups[0].length;
  const panelSize = width === 1 ? (panel ?? Math.min(64, Math.max(16, n >> 5))) : width;

  let m = n; // carried columns
  let columnAt = Int32Array.from({ length: n }, (_, i) => i); // carried position → column
  let positionOf = columnAt.slice(); // column → carried position, −1 when dropped
  let matrices: Matrices = { hinv, wt, gram: await algebra.gram(wt, n, rows) };
  const alive = new Uint8Array(groups.length).fill(1);
  let remaining = groups.length;
  let loss = 0;
  const order: number[] = [];
  const losses: number[] = [];

  const panelC: Float64Array[] = [];
  const panelU: Float64Array[] = [];
  const panelV: Float64Array[] = [];
  // Single columns only: ρ needs no more than these two vectors over the carried columns.
  let diagonal: Float64Array;
  let squaredNorm: Float64Array;
  const structureOf = new Int32Array(n);
  for (const [s, columns] of groups.entries()) for (const column of columns) structureOf[column] = s;

  function refresh() {
    diagonal = new Float64Array(m);
    squaredNorm = new Float64Array(m);
    for (let i = 0; i < m; i++) {
      diagonal[i] = matrices.hinv[i * m + i];
      let sum = 0;
      for (let r = i * rows; r < (i + 1) * rows; r++) sum += matrices.wt[r] * matrices.wt[r];
      squaredNorm[i] = sum;
    }
  }
  refresh();

  /** ρ of one group from the up-to-date matrices: tr(G_SS · (H⁻¹_SS)⁻¹) by Cholesky of H⁻¹_SS. */
  function groupLoss(columns: readonly number[]): number {
    const d = columns.length;
    const at = columns.map((column) => positionOf[column]);
    const factor = new Float64Array(d * d);
    for (let i = 0; i < d; i++) {
      for (let j = 0; j <= i; j++) {
        let value = matrices.hinv[at[i] * m + at[j]];
        for (let t = 0; t < j; t++) value -= factor[i * d + t] * factor[j * d + t];
        factor[i * d + j] = i === j ? Math.sqrt(positive(value, columns[i])) : value / factor[j * d + j];
      }
    }
    // tr(G·L⁻ᵀ·L⁻¹) = tr(L⁻¹·G·L⁻ᵀ): solve for the columns of L⁻¹·G, then for the diagonal of the rest.
    const solved = new Float64Array(d * d);
    for (let column = 0; column < d; column++) {
      for (let i = 0; i < d; i++) {
        let value = matrices.gram[at[i] * m + at[column]];
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

  function positive(pivot: number, column: number): number {
    if (pivot > 0) return pivot;
    throw new Error(
      `obs: the inverse Hessian is not positive at column ${column} of ${n} (${pivot.toExponential(1)}) after ` +
        `${order.length} of ${groups.length} removals; raise the damping or calibrate on more rows`,
    );
  }

  /** Delays the removal of one carried column: appends c, u, v and updates what ρ needs. */
  function eliminate(j: number) {
    const [c, u, v] = [new Float64Array(m), new Float64Array(rows), new Float64Array(m)];
    for (let i = 0, from = j * m; i < m; i++) {
      c[i] = matrices.hinv[from + i];
      v[i] = matrices.gram[from + i];
    }
    for (let r = 0, from = j * rows; r < rows; r++) u[r] = matrices.wt[from + r];
    // Bring the pivot's columns of H⁻¹, W and WᵀW up to date.
    const atPivot = panelC.map((vector) => vector[j]);
    subtract(c, panelC, atPivot);
    subtract(v, panelV, atPivot);
    subtract(u, panelU, atPivot);
    const scale = 1 / Math.sqrt(positive(c[j], columnAt[j]));
    for (let r = 0; r < rows; r++) u[r] *= scale;
    for (let i = 0; i < m; i++) {
      c[i] *= scale;
      v[i] *= scale;
    }
    const g = v.slice(); // Wᵀu with the W of now
    subtract(
      g,
      panelC,
      panelU.map((vector) => dot(vector, u)),
    );
    const uu = dot(u, u);
    for (let i = 0; i < m; i++) {
      squaredNorm[i] += c[i] * (uu * c[i] - 2 * g[i]);
      diagonal[i] -= c[i] * c[i];
    }
    panelC.push(c);
    panelU.push(u);
    panelV.push(v);
  }

  return {
    order,
    losses,
    remaining: () => remaining,
    panelFull: () => panelC.length >= panelSize,

    cheapest(): { structure: number; loss: number } {
      let best = { structure: -1, loss: Number.POSITIVE_INFINITY };
      if (width === 1) {
        for (let i = 0; i < m; i++) {
          const structure = structureOf[columnAt[i]];
          if (!alive[structure]) continue;
          const rho = squaredNorm[i] / diagonal[i];
          if (rho < best.loss) best = { structure, loss: rho };
        }
      } else {
        for (const [structure, columns] of groups.entries()) {
          if (!alive[structure]) continue;
          const rho = groupLoss(columns);
          if (rho < best.loss) best = { structure, loss: rho };
        }
      }
      if (best.structure < 0) {
        throw new Error(
          `obs: no structure of ${remaining} has a finite loss; the weights or the Hessian hold NaN`,
        );
      }
      return best;
    },

    remove(choice: { structure: number; loss: number }) {
      for (const column of groups[choice.structure]) eliminate(positionOf[column]);
      alive[choice.structure] = 0;
      remaining--;
      order.push(choice.structure);
      losses.push(choice.loss);
      loss += choice.loss;
    },

    async flush() {
      const k = panelC.length;
      if (k === 0) return;
      matrices = await algebra.downdate(
        matrices,
        { c: stack(panelC, m), u: stack(panelU, rows), v: stack(panelV, m) },
        m,
        rows,
        k,
      );
      for (const list of [panelC, panelU, panelV]) list.length = 0;
      const keep: number[] = [];
      for (let i = 0; i < m; i++) if (alive[structureOf[columnAt[i]]]) keep.push(i);
      if (keep.length <= (1 - COMPACT_AT) * m || width > 1) {
        matrices = compact(matrices, m, rows, keep);
        columnAt = Int32Array.from(keep, (i) => columnAt[i]);
        positionOf = new Int32Array(n).fill(-1);
        for (const [i, column] of columnAt.entries()) positionOf[column] = i;
        m = keep.length;
      }
      refresh();
    },

    level(): ObsLevel {
      const structures = [...alive.keys()].filter((s) => alive[s]);
      const columns = structures.flatMap((s) => groups[s]).sort((a, b) => a - b);
      const out = new Float32Array(columns.length * rows);
      for (const [to, column] of columns.entries()) {
        const from = positionOf[column] * rows;
        out.set(matrices.wt.subarray(from, from + rows), to * rows);
      }
      return { kept: remaining, structures, wt: out, loss };
    },
  };
}

/** target −= Σ weights[p]·vectors[p], four vectors at a time: the pass's innermost loop. */
function subtract(target: Float64Array, vectors: readonly Float64Array[], weights: readonly number[]) {
  const length = target.length;
  let p = 0;
  for (; p + 4 <= vectors.length; p += 4) {
    const [v0, v1, v2, v3] = [vectors[p], vectors[p + 1], vectors[p + 2], vectors[p + 3]];
    const [w0, w1, w2, w3] = [weights[p], weights[p + 1], weights[p + 2], weights[p + 3]];
    for (let i = 0; i < length; i++) target[i] -= w0 * v0[i] + w1 * v1[i] + (w2 * v2[i] + w3 * v3[i]);
  }
  for (; p < vectors.length; p++) {
    const [vector, weight] = [vectors[p], weights[p]];
    for (let i = 0; i < length; i++) target[i] -= weight * vector[i];
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 4 <= a.length; i += 4) {
    s0 += a[i] * b[i];
    s1 += a[i + 1] * b[i + 1];
    s2 += a[i + 2] * b[i + 2];
    s3 += a[i + 3] * b[i + 3];
  }
  for (; i < a.length; i++) s0 += a[i] * b[i];
  return s0 + s1 + (s2 + s3);
}

function stack(vectors: readonly Float64Array[], length: number): Float32Array {
  const out = new Float32Array(vectors.length * length);
  for (const [row, vector] of vectors.entries()) out.set(vector, row * length);
  return out;
}

/** The carried matrices without the removed columns. */
function compact({ hinv, wt, gram }: Matrices, m: number, rows: number, keep: readonly number[]): Matrices {
  const kept = Int32Array.from(keep);
  const size = kept.length;
  const square = (from: Float32Array) => {
    const out = new Float32Array(size * size);
    for (let i = 0; i < size; i++) {
      const [source, target] = [kept[i] * m, i * size];
      for (let j = 0; j < size; j++) out[target + j] = from[source + kept[j]];
    }
    return out;
  };
  const tall = new Float32Array(size * rows);
  for (let i = 0; i < size; i++) tall.set(wt.subarray(kept[i] * rows, (kept[i] + 1) * rows), i * rows);
  return { hinv: square(hinv), wt: tall, gram: square(gram) };
}
