/**
 * The base matrices of a pass, the span of removals gathered beside them, and the tale of what was removed.
 * @module
 */
import type { Algebra, ObsLevel, ObsProblem, State } from './problem.ts';

/** The base and its span, and the tale of what was removed. */
export function startBase(
  { wt: wt0, hinv: hinv0, rows, groups }: ObsProblem,
  algebra: Algebra,
  room: number,
) {
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
