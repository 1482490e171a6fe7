import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildLevels, openLevels } from '../../src/prune/database.ts';
import { openKernels } from '../../src/prune/kernels.ts';
import { random } from '../../src/tensor/random.ts';
import { type Matrix, multiply, transpose } from '../reference/linear.ts';

const kernels = openKernels({ provider: 'cpu', threads: 1 });
afterAll(() => kernels[Symbol.asyncDispose]());

const [rows, cols, tokens] = [6, 20, 200];
const next = random(5);
const uniform = (r: number, c: number) =>
  Array.from({ length: r }, () => Array.from({ length: c }, () => 2 * next() - 1));
const w = uniform(rows, cols); // [rows, cols]
// Inputs with means away from zero, as after an activation; column 3 never varies.
const x = uniform(cols, tokens).map((row, j) => row.map((v) => (j === 3 ? 0.7 : v * (1 + j / 10) + 0.5)));
const bias = Array.from({ length: rows }, () => next());
const moments = {
  product: Float64Array.from(multiply(x, transpose(x)).flat()),
  sum: Float64Array.from(x, (row) => row.reduce((a, b) => a + b, 0)),
  tokens,
};
const block = {
  id: 'mlp.0',
  kind: 'mlp',
  structures: cols,
  columns: Array.from({ length: cols }, (_, j) => [j]),
} as const;

/** ‖Ŵ·X + b̂ − W·X − b‖² by running both. */
function squaredError(weight: Matrix, shift: readonly number[]): number {
  const [got, want] = [multiply(weight, x), multiply(w, x)];
  return got
    .flatMap((row, r) => row.map((v, t) => (v + shift[r] - want[r][t] - bias[r]) ** 2))
    .reduce((a, b) => a + b);
}

describe.each([true, false])('with a bias: %s', (hasBias) => {
  const built = (async () => {
    const folder = mkdtempSync(join(tmpdir(), 'levels-'));
    const wt = Float32Array.from(transpose(w).flat());
    const given = hasBias ? Float32Array.from(bias) : undefined;
    await buildLevels(block, wt, given, moments, 1e-6, kernels, folder);
    return openLevels(folder);
  })();
  /** Ŵ [rows, cols] with zeros, and what is added to the bias, of a level. */
  const expand = async (level: number) => {
    const { levels, weights } = await built;
    const { wt, bias: shift } = weights(level);
    const columns = levels[level].structures;
    const weight = w.map((row, r) =>
      row.map((_, j) => (columns.includes(j) ? wt[columns.indexOf(j) * rows + r] : 0)),
    );
    return { weight, shift: shift === undefined ? bias : [...shift] };
  };

  test('the first level is the dense one, untouched; the last keeps nothing', async () => {
    const { levels, weights } = await built;
    expect(levels[0]).toMatchObject({ kept: cols, error: 0 });
    expect([...weights(0).wt]).toEqual([...Float32Array.from(transpose(w).flat())]);
    expect(levels.at(-1)).toMatchObject({ kept: 0, structures: [], error: 1 });
  });

  test('a level’s error is the measured error of its outputs, as a share of that of removing the module', async () => {
    const { levels } = await built;
    const removed = await expand(levels.length - 1);
    const whole = squaredError(removed.weight, removed.shift);
    for (const [i, { error }] of levels.entries()) {
      const { weight, shift } = await expand(i);
      expect(Math.abs(squaredError(weight, shift) / whole - error)).toBeLessThan(2e-3);
    }
  });

  test('no small change of a level’s weights or bias lowers its error: it is the best refit', async () => {
    const { levels } = await built;
    const middle = levels.findIndex(({ kept }) => kept <= cols / 2);
    const { weight, shift } = await expand(middle);
    const least = squaredError(weight, shift);
    for (const step of [0.01, -0.01]) {
      const j = levels[middle].structures[0];
      const moved = weight.map((row, r) => (r === 0 ? row.with(j, row[j] + step) : row));
      expect(squaredError(moved, shift)).toBeGreaterThan(least);
      if (hasBias) expect(squaredError(weight, shift.with(0, shift[0] + step))).toBeGreaterThan(least);
    }
  });

  test('a pass over what an earlier one left goes on where that one would have', async () => {
    const { levels, weights } = await built;
    const at = levels.findIndex(({ kept }) => kept <= cols / 2);
    const { structures } = levels[at];
    const { weight, shift } = await expand(at);
    const folder = mkdtempSync(join(tmpdir(), 'levels-'));
    const wt = Float32Array.from(transpose(weight).flat());
    const given = hasBias ? Float32Array.from(shift) : undefined;
    await buildLevels(block, wt, given, moments, 1e-6, kernels, folder, structures);
    const later = openLevels(folder);
    const below = levels.slice(at);
    expect(later.levels.map(({ kept }) => kept)).toEqual(below.map(({ kept }) => kept));
    expect(later.levels[0]).toMatchObject({ structures, error: 0 });
    for (const [i, level] of below.entries()) {
      expect(later.levels[i].structures).toEqual(level.structures);
      const [got, want] = [later.weights(i), weights(at + i)];
      for (const [j, value] of want.wt.entries()) expect(got.wt[j]).toBeCloseTo(value, 3);
      for (const [j, value] of (want.bias ?? []).entries()) expect(got.bias![j]).toBeCloseTo(value, 3);
    }
  });

  test('of a module that is gone there is one level, whose bias stays', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'levels-'));
    const given = hasBias ? Float32Array.from(bias) : undefined;
    await buildLevels(block, new Float32Array(rows * cols), given, moments, 1e-6, kernels, folder, []);
    const { levels, weights } = openLevels(folder);
    expect(levels.map(({ kept, structures, error }) => [kept, structures, error])).toEqual([[0, [], 0]]);
    expect(weights(0)).toEqual({ wt: new Float32Array(0), ...(given && { bias: given }) });
  });
});
