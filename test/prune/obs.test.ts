import { afterAll, describe, expect, test } from 'vitest';
import { openKernels } from '../../src/prune/kernels.ts';
import { obs } from '../../src/prune/obs.ts';
import { random } from '../../src/tensor/random.ts';
import { energy, inverse, type Matrix, multiply, transpose } from '../reference/linear.ts';
import { greedyRefit, refit } from '../reference/obs.ts';

const kernels = openKernels({ provider: 'cpu', threads: 1 });
afterAll(() => kernels[Symbol.asyncDispose]());

/** A layer whose calibration inputs are correlated: W [rows, n], H [n, n] = 2·X·Xᵀ/tokens + 0.01·mean diagonal. */
function layer(rows: number, n: number, seed: number) {
  const next = random(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const matrix = (r: number, c: number) => Array.from({ length: r }, () => Array.from({ length: c }, normal));
  const mix = matrix(n, 2);
  const x = matrix(n, 4 * n).map((row, i) =>
    row.map((v) => (0.4 * v + mix[i][0]) * Math.exp(0.5 * mix[i][1])),
  );
  const h = multiply(x, transpose(x)).map((row) => row.map((value) => (2 * value) / x[0].length));
  const lambda = (0.01 * h.reduce((sum, row, i) => sum + row[i], 0)) / n;
  return { w: matrix(rows, n), h: h.map((row, i) => row.map((v, j) => (i === j ? v + lambda : v))) };
}

const flat = (a: Matrix) => Float32Array.from(a.flat());
const groupsOf = (n: number, width: number) =>
  Array.from({ length: n / width }, (_, s) => Array.from({ length: width }, (__, t) => s * width + t));

/** Ŵ [rows, n] of a level, zeros where columns are gone. */
function dense(wt: Float32Array, columns: readonly number[], rows: number, n: number): number[][] {
  return Array.from({ length: rows }, (_, r) =>
    Array.from({ length: n }, (__, j) => (columns.includes(j) ? wt[columns.indexOf(j) * rows + r] : 0)),
  );
}

describe.each([
  { name: 'neurons, panels shorter than the gaps between levels', rows: 8, n: 24, width: 1, panel: 3 },
  { name: 'neurons, panels longer than the pass', rows: 24, n: 30, width: 1, panel: 64 },
  { name: 'heads of 4', rows: 10, n: 24, width: 4, panel: 0 },
])('$name', ({ rows, n, width, panel }) => {
  const { w, h } = layer(rows, n, n + rows);
  const groups = groupsOf(n, width);
  const levels = [...groups.keys()].filter((kept) => kept % 2 === 1);
  const run = obs(
    {
      wt: flat(transpose(w)),
      hinv: flat(inverse(h)),
      rows,
      groups,
      levels,
      ...(panel > 0 ? { panel } : {}),
    },
    kernels,
  );
  const oracle = greedyRefit(w, h, groups);

  test('removes in the order of exact refits', async () => {
    const { order } = await run;
    expect(order).toEqual(oracle.order.slice(0, order.length));
  });

  test('each level’s error is the oracle’s within 0.1 %, and Σρ is the error', async () => {
    const { levels: found } = await run;
    expect(found.map(({ kept }) => kept)).toEqual([
      groups.length,
      ...levels.toReversed().filter((k) => k < groups.length),
    ]);
    for (const level of found.slice(1)) {
      const columns = level.structures.flatMap((s) => groups[s]);
      const change = dense(level.wt, columns, rows, n).map((row, r) => row.map((v, j) => v - w[r][j]));
      const expected = oracle.losses.get(level.kept)!;
      expect(energy(change, h) / expected).toBeCloseTo(1, 3);
      expect(level.loss / expected).toBeCloseTo(1, 3);
    }
  });

  test('the weights of a level are the exact refit of its mask', async () => {
    const { levels: found } = await run;
    const scale = Math.max(...w.flat().map(Math.abs));
    for (const level of found.slice(1)) {
      const columns = level.structures.flatMap((s) => groups[s]);
      const got = dense(level.wt, columns, rows, n);
      for (const [r, row] of refit(w, h, columns).weight.entries()) {
        for (const [j, value] of row.entries())
          expect(Math.abs(got[r][j] - value) / scale).toBeLessThan(1e-4);
      }
    }
  });
});

test('an inverse that is not positive is reported with its column and the remedy', async () => {
  const hinv = Float32Array.of(1, 0, 0, -1);
  const problem = { wt: Float32Array.of(1, 2), hinv, rows: 1, groups: [[0], [1]], levels: [1] };
  await expect(obs(problem, kernels)).rejects.toThrow(/not positive at column 1 of 2.*raise the damping/);
});

describe('the inverse', () => {
  test.each([1, 7, 128, 129, 300])(
    'of a matrix of %d columns times the matrix is the identity',
    async (n) => {
      const { h } = layer(1, n, n);
      const found = await kernels.inverse(Float64Array.from(h.flat()), n);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j += Math.max(1, n >> 4)) {
          let sum = 0;
          for (let t = 0; t < n; t++) sum += h[i][t] * found![t * n + j];
          expect(Math.abs(sum - (i === j ? 1 : 0))).toBeLessThan(2e-3);
        }
      }
    },
  );

  test('of an indefinite matrix is undefined', async () => {
    expect(await kernels.inverse(Float64Array.of(1, 2, 2, 1), 2)).toBeUndefined();
  });
});
