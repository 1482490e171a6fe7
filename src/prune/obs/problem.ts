/**
 * What the pass is given, what it gives, and the matrix products that it leaves to others. The letters are those of
 * `obs.ts`.
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

/** Removing structures one by one, and the tale of it. */
export interface Pass {
  readonly order: number[];
  readonly losses: number[];
  remaining(): number;
  removeCheapest(): Promise<void>;
  level(): Promise<ObsLevel>;
}
