import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { buildLevels, openLevels } from '../../../src/prune/database.ts';
import { buildFromDomains, openFacts } from '../../../src/prune/domains/build.ts';
import { equalWeights, mixture, worstWeights } from '../../../src/prune/domains/mixture.ts';
import { agreement, domainErrors, ranksOf, saliencies } from '../../../src/prune/domains/robustness.ts';
import { openKernels } from '../../../src/prune/kernels.ts';
import { random } from '../../../src/tensor/random.ts';
import { type Matrix, multiply, transpose } from '../../reference/linear.ts';

const kernels = openKernels({ provider: 'cpu', threads: 1 });
afterAll(() => kernels[Symbol.asyncDispose]());

const [rows, cols] = [5, 16];
const next = random(8);
const uniform = (r: number, c: number) =>
  Array.from({ length: r }, () => Array.from({ length: c }, () => 2 * next() - 1));
const w = uniform(rows, cols);
const wt = Float32Array.from(transpose(w).flat());
const bias = Float32Array.from({ length: rows }, () => next());

/** Inputs [cols, tokens] in which columns differ in scale and mean. */
const inputs = (tokens: number, scaleOf: (j: number) => number): Matrix =>
  uniform(cols, tokens).map((row, j) => row.map((v) => scaleOf(j) * (v + 0.4)));
const momentsOf = (x: Matrix) => ({
  product: Float64Array.from(multiply(x, transpose(x)).flat()),
  sum: Float64Array.from(x, (row) => row.reduce((a, b) => a + b, 0)),
  tokens: x[0].length,
});
// One domain speaks through the first columns and loudly, the other through the last.
const x = [inputs(150, (j) => (j < 8 ? 4 : 0.4)), inputs(90, (j) => (j < 8 ? 0.1 : 1))];
const domains = x.map(momentsOf);

const neurons = {
  id: 'mlp.0',
  kind: 'mlp',
  structures: cols,
  columns: Array.from({ length: cols }, (_, j) => [j]),
} as const;
const heads = {
  id: 'attention.0',
  kind: 'attention',
  structures: 4,
  columns: Array.from({ length: 4 }, (_, h) => Array.from({ length: 4 }, (_, i) => 4 * h + i)),
} as const;
const folder = () => mkdtempSync(join(tmpdir(), 'domains-'));
/** Structures and weights of all levels. */
const levelsIn = (at: string) => {
  const { levels, weights } = openLevels(at);
  return levels.map((level, i) => ({ ...level, ...weights(i) }));
};

describe.each([
  ['neurons', neurons],
  ['heads', heads],
] as const)('a database of %s from domains', (_, block) => {
  describe.each([undefined, bias])('with the bias %j', (given) => {
    test.each(['mean', 'worst'] as const)(
      'one domain given twice is the domain alone (%s)',
      async (combine) => {
        const [alone, twice] = [folder(), folder()];
        await buildLevels(block, wt, given, domains[0], 1e-3, kernels, alone);
        await buildFromDomains(block, wt, given, [domains[0], domains[0]], combine, 1e-3, kernels, twice);
        const [expected, got] = [levelsIn(alone), levelsIn(twice)];
        expect(got.map(({ structures }) => structures)).toEqual(expected.map(({ structures }) => structures));
        for (const [i, level] of got.entries()) {
          expect(level.error).toBeCloseTo(expected[i].error, 5);
          for (const [at, value] of level.wt.entries()) expect(value).toBeCloseTo(expected[i].wt[at], 3);
        }
        const facts = openFacts(twice)!;
        expect(facts.weights).toEqual([0.5, 0.5]);
        expect(facts.agreeing).toEqual(block.columns.map((_, s) => s));
        for (const { level, errors } of facts.levels) {
          expect(errors[1]).toBe(errors[0]);
          expect(errors[0]).toBeCloseTo(got[level].error, 2);
        }
      },
    );

    test('the worst domain loses no more under "worst" than under "mean"', async () => {
      const worst = async (combine: 'mean' | 'worst') => {
        const at = folder();
        await buildFromDomains(block, wt, given, domains, combine, 1e-3, kernels, at);
        const { levels } = openFacts(at)!;
        return Math.max(
          ...domains.map((_, d) => levels.reduce((sum, { errors }) => sum + errors[d], 0) / levels.length),
        );
      };
      expect(await worst('worst')).toBeLessThanOrEqual((await worst('mean')) * (1 + 1e-9));
    });

    test('errors in a domain are those of its outputs, computed by running both', async () => {
      const at = folder();
      await buildFromDomains(block, wt, given, domains, 'mean', 1e-3, kernels, at);
      const { levels, weights } = openLevels(at);
      const wanted = levels.map((_, i) => i);
      const errors = await domainErrors(block, wt, given, openLevels(at), wanted, domains, kernels);
      for (const [d, own] of x.entries()) {
        const dense = multiply(w, own);
        const mean = dense.map((row) => (given ? row.reduce((a, b) => a + b) / row.length : 0));
        const energy = dense.flatMap((row, r) => row.map((v) => (v - mean[r]) ** 2)).reduce((a, b) => a + b);
        for (const i of wanted) {
          const kept = levels[i].structures.flatMap((s) => block.columns[s]).sort((a, b) => a - b);
          const { wt: pruned, bias: shifted = given } = weights(i);
          const weight = w.map((row, r) =>
            row.map((_, j) => (kept.includes(j) ? pruned[kept.indexOf(j) * rows + r] : 0)),
          );
          const loss = multiply(weight, own)
            .flatMap((row, r) =>
              row.map((v, t) => (v - dense[r][t] + (given ? shifted![r] - given[r] : 0)) ** 2),
            )
            .reduce((a, b) => a + b);
          expect(errors[i][d]).toBeCloseTo(loss / energy, 3);
        }
      }
    });
  });

  test('what a structure costs alone is what the first removal of a pass costs', async () => {
    const at = folder();
    await buildLevels(block, wt, undefined, domains[1], 1e-6, kernels, at);
    const costs = [...(await saliencies(block, wt, domains[1], false, 1e-6, kernels))];
    const { levels } = openLevels(at);
    const first = levels[1];
    const gone = block.columns.findIndex((_, s) => !first.structures.includes(s));
    expect(costs.indexOf(Math.min(...costs))).toBe(gone);
    // Of ‖W·X‖², both with the factor 2/tokens.
    const energy = multiply(w, x[1])
      .flat()
      .reduce((sum, v) => sum + v * v, 0);
    expect(costs[gone] / ((2 / domains[1].tokens) * energy)).toBeCloseTo(first.error, 3);
  });
});

test('a domain counts alike however loud it is and however many tokens it has', () => {
  const louder = {
    product: domains[1].product.map((v) => 9 * v),
    sum: domains[1].sum.map((v) => 3 * v),
    tokens: 90,
  };
  const longer = {
    product: domains[1].product.map((v) => 2 * v),
    sum: domains[1].sum.map((v) => 2 * v),
    tokens: 180,
  };
  const shapeOf = (second: typeof louder) => {
    const all = [domains[0], second];
    const { product, tokens } = mixture(all, equalWeights(all, false));
    let trace = 0;
    for (let j = 0; j < cols; j++) trace += product[j * cols + j] / tokens;
    return [...product].map((v) => v / tokens / trace);
  };
  for (const other of [louder, longer]) {
    for (const [at, v] of shapeOf(other).entries()) expect(v).toBeCloseTo(shapeOf(domains[1])[at], 9);
  }
  const silent = { product: new Float64Array(cols ** 2), sum: new Float64Array(cols), tokens: 10 };
  expect(equalWeights([domains[0], silent], true)).toEqual([1, 0]);
  expect(equalWeights([silent, silent], true)).toEqual([0.5, 0.5]);
});

test('weights for the worst approach the saddle of two opposed errors, and are those given where these are best', async () => {
  const errorsOf = async ([a, b]: readonly number[]) => [2 * b, a]; // equal at a = 2/3
  const [a, b] = await worstWeights([0.2, 0.8], errorsOf);
  expect(a + b).toBeCloseTo(1, 12);
  expect(Math.abs(a - 2 / 3)).toBeLessThan(0.15);
  const given = [0.3, 0.7];
  expect(await worstWeights(given, async () => [1, 1])).toBe(given);
});

test('ranks run from 0 to 1; what is important and what agrees is so in every domain', () => {
  expect(ranksOf([5, 1, 9])).toEqual([0.5, 0, 1]);
  const list = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(fc.array(list, { minLength: 2, maxLength: 3 }), (importance) => {
      const ranks = importance.map(ranksOf);
      for (const own of ranks) expect(own.toSorted((a, b) => a - b)[11]).toBe(1);
      const { important, agreeing } = agreement(ranks);
      for (let s = 0; s < 12; s++) {
        const own = ranks.map((of) => of[s]);
        expect(important.includes(s)).toBe(own.every((rank) => rank >= 0.75));
        expect(agreeing.includes(s)).toBe(own.every((a) => own.every((b) => Math.abs(a - b) <= 0.1 + 1e-9)));
      }
    }),
  );
});
