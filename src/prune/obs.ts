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

/** The base, over its m columns, and the c [k, m] and u [k, rows] of the span's removals since. */
export interface State {
  /** H⁻¹ [m, m], row-major. */
  readonly hinv: Float32Array;
  /** Wᵀ [m, rows]. */
  readonly wt: Float32Array;
  readonly c: Float32Array;
  readonly u: Float32Array;
  readonly m: number;
  readonly rows: number;
  readonly k: number;
}

/** Columns of the matrices as they are now, one row per column asked for. */
export interface Columns {
  /** [count, m] */
  readonly hinv: Float32Array;
  /** [count, rows] */
  readonly wt: Float32Array;
  /** [count, m] */
  readonly gram: Float32Array;
}

export interface Algebra {
  /** WᵀW [n, n] of Wᵀ [n, rows]. */
  gram(wt: Float32Array, n: number, rows: number): Promise<Float32Array>;
  /** The columns at `positions` of H⁻¹ − C·Cᵀ, of W − U·Cᵀ, and of that W's Gram matrix. */
  columns(state: State, positions: Int32Array): Promise<Columns>;
  /** Wᵀ − C·Uᵀ [m, rows]. */
  weights(state: State): Promise<Float32Array>;
  /** H⁻¹ − C·Cᵀ [m, m]. */
  inverseHessian(state: State): Promise<Float32Array>;
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
  /** Removals per panel, for single columns (more: fewer products, longer panels). */
  readonly panel?: number;
}

/** Removals per panel of single columns. */
const PANEL = 48;
/** Candidates per removal of a panel: with three times as many, a pivot is seldom none of them. */
const CANDIDATES = 3;
/** The span is applied to the base when this share of the base's columns is gone. */
const SPAN = 0.2;

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

interface Pass {
  readonly order: number[];
  readonly losses: number[];
  remaining(): number;
  removeCheapest(): Promise<void>;
  level(): Promise<ObsLevel>;
}

/** Structures of several columns: few removals, each applied to the base at once. */
function groupPass(problem: ObsProblem, algebra: Algebra): Pass {
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

/** Structures of one column: candidates for a panel of removals, a span of panels for each change of the base. */
function columnPass(problem: ObsProblem, algebra: Algebra): Pass {
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

/** The base and its span, and the tale of what was removed. */
function startBase({ wt: wt0, hinv: hinv0, rows, groups }: ObsProblem, algebra: Algebra, room: number) {
  const n = wt0.length / rows;
  const alive = new Uint8Array(groups.length).fill(1);
  const structureOf = new Int32Array(n);
  for (const [s, columns] of groups.entries()) for (const column of columns) structureOf[column] = s;
  let [hinv, wt, m, k] = [hinv0, wt0, n, 0];
  let columnAt = Int32Array.from({ length: n }, (_, i) => i);
  const positionOf = columnAt.slice(); // column → position, −1 when dropped
  // One row of zeros stands for the empty span: no operator then meets an empty matrix.
  let spanC = new Float32Array((room + 1) * m);
  const spanU = new Float32Array((room + 1) * rows);
  const order: number[] = [];
  const losses: number[] = [];
  let total = 0;

  const state = (): State => {
    const used = Math.max(1, k);
    if (k === 0) {
      spanC.fill(0, 0, m);
      spanU.fill(0, 0, rows);
    }
    return { hinv, wt, c: spanC.subarray(0, used * m), u: spanU.subarray(0, used * rows), m, rows, k: used };
  };
  const isGone = (position: number) => alive[structureOf[columnAt[position]]] === 0;

  return {
    alive,
    get hinv() {
      return hinv;
    },
    get wt() {
      return wt;
    },
    m: () => m,
    /** Columns of the base that the span has removed. */
    gone: () => k,
    columnAt: (position: number) => columnAt[position],
    positionOf: (column: number) => positionOf[column],
    state,

    positive(pivot: number, position: number): number {
      if (pivot > 0) return pivot;
      throw new Error(
        `obs: the inverse Hessian is not positive at column ${columnAt[position]} of ${n} (${pivot.toExponential(1)}) after ` +
          `${order.length} of ${groups.length} removals; raise the damping or calibrate on more rows`,
      );
    },

    /** Takes down that a structure goes; returns it. */
    chosen({ structure, loss }: { structure: number; loss: number }): number {
      if (structure < 0) {
        throw new Error('obs: no structure has a finite loss; the weights or the Hessian hold NaN');
      }
      alive[structure] = 0;
      order.push(structure);
      losses.push(loss);
      total += loss;
      return structure;
    },

    push(c: Float64Array, u: Float64Array) {
      spanC.set(c.subarray(0, m), k * m);
      spanU.set(u, k * rows);
      k++;
    },

    /** Applies the span to the base, and drops the columns that are gone. */
    async apply() {
      const [hinvNow, wtNow] = [await algebra.inverseHessian(state()), await algebra.weights(state())];
      const keep = Int32Array.from({ length: m }, (_, i) => i).filter((i) => !isGone(i));
      hinv = compacted(hinvNow, m, keep);
      wt = new Float32Array(keep.length * rows);
      for (const [to, from] of keep.entries())
        wt.set(wtNow.subarray(from * rows, (from + 1) * rows), to * rows);
      columnAt = keep.map((i) => columnAt[i]);
      positionOf.fill(-1);
      for (const [position, column] of columnAt.entries()) positionOf[column] = position;
      m = keep.length;
      k = 0;
      spanC = spanC.subarray(0, (room + 1) * m);
    },

    tale: {
      order,
      losses,
      remaining: () => groups.length - order.length,
      async level(): Promise<ObsLevel> {
        const structures = [...alive.keys()].filter((s) => alive[s]);
        const columns = structures.flatMap((s) => groups[s]).sort((a, b) => a - b);
        const wtNow = k === 0 ? wt : await algebra.weights(state());
        const out = new Float32Array(columns.length * rows);
        for (const [to, column] of columns.entries()) {
          const from = positionOf[column] * rows;
          out.set(wtNow.subarray(from, from + rows), to * rows);
        }
        return { kept: structures.length, structures, wt: out, loss: total };
      },
    },
  };
}

/** The vectors of one panel, allocated once: a pass makes thousands of them. */
function openPanel(size: number, n: number, rows: number) {
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

function dot(a: Float64Array, b: Float64Array, length: number): number {
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

/** Rows and columns `keep` of a square matrix [m, m]. */
function compacted(from: Float32Array, m: number, keep: Int32Array): Float32Array {
  const size = keep.length;
  const out = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    const [source, target] = [keep[i] * m, i * size];
    for (let j = 0; j < size; j++) out[target + j] = from[source + keep[j]];
  }
  return out;
}
