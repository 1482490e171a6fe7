import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Domain, openJudge } from '../../src/recipe/judge.ts';

interface Batch {
  readonly cost: number;
  readonly loss: number;
  readonly weight: number;
}

/** A domain whose batch i loses `loss` times the sum of the levels, and the batches that were measured. */
function domainOf(batches: readonly Batch[], measured: string[] = []): Domain {
  return {
    costs: batches.map(({ cost }) => cost),
    async measure(assignment, i) {
      measured.push(`${assignment.join()}/${i}`);
      return { sum: batches[i].loss * assignment.reduce((a, b) => a + b, 0), weight: batches[i].weight };
    },
  };
}

const batch = fc.record({
  cost: fc.integer({ min: 1, max: 100 }),
  loss: fc.double({ min: 0, max: 5, noNaN: true }),
  weight: fc.integer({ min: 1, max: 9 }),
});
const domains = fc.array(fc.array(batch, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 3 });
const seed = fc.integer({ min: 0, max: 1000 });

const lossIn = (batches: readonly Batch[], levels: number) =>
  (levels * batches.reduce((sum, { loss }) => sum + loss, 0)) /
  batches.reduce((sum, { weight }) => sum + weight, 0);

test('the loss is the mean, or the greatest, of the means over each domain’s rows', async () => {
  await fc.assert(
    fc.asyncProperty(domains, seed, async (all, s) => {
      const expected = all.map((batches) => lossIn(batches, 3));
      const of = (combine: 'mean' | 'worst') =>
        openJudge(
          all.map((b) => domainOf(b)),
          combine,
          s,
        );
      expect(await of('worst').loss([1, 2])).toBeCloseTo(Math.max(...expected), 9);
      const mean = expected.reduce((a, b) => a + b) / all.length;
      expect(await of('mean').loss([1, 2])).toBeCloseTo(mean, 9);
      for (const [d, loss] of (await of('mean').byDomain([1, 2])).entries()) {
        expect(loss).toBeCloseTo(expected[d], 9);
      }
    }),
  );
});

test('a domain given twice is the domain alone', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 12 }), seed, async (batches, s) => {
      const alone = openJudge([domainOf(batches)], 'mean', s);
      for (const combine of ['mean', 'worst'] as const) {
        const twice = openJudge([domainOf(batches), domainOf(batches)], combine, s);
        expect(await twice.loss([2])).toBeCloseTo(await alone.loss([2]), 9);
      }
    }),
  );
});

test('samples grow to all rows: their shares are 1 together, and the last one tells the whole loss', async () => {
  await fc.assert(
    fc.asyncProperty(domains, seed, async (all, s) => {
      const judge = openJudge(
        all.map((b) => domainOf(b)),
        'mean',
        s,
      );
      expect(judge.shares.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
      for (const share of judge.shares) expect(share).toBeGreaterThan(0);
      const fresh = openJudge(
        all.map((b) => domainOf(b)),
        'mean',
        s,
      );
      expect(await judge.sampled([1], judge.shares.length)).toBeCloseTo(await fresh.loss([1]), 12);
    }),
  );
});

test('a batch is measured once for an assignment, whoever asks', async () => {
  await fc.assert(
    fc.asyncProperty(domains, seed, async (all, s) => {
      const measured: string[] = [];
      const judge = openJudge(
        all.map((b) => domainOf(b, measured)),
        'worst',
        s,
      );
      for (let i = 1; i <= judge.shares.length; i++) await judge.sampled([1], i);
      await judge.loss([1]);
      await judge.byDomain([1]);
      expect(measured).toHaveLength(all.flat().length);
    }),
  );
});

test('a candidate is given up as soon as it is certain to exceed the bound, and never before', async () => {
  await fc.assert(
    fc.asyncProperty(domains, seed, fc.constantFrom('mean', 'worst'), async (all, s, combine) => {
      const measured: string[] = [];
      const judge = openJudge(
        all.map((b) => domainOf(b, measured)),
        combine as 'mean' | 'worst',
        s,
      );
      const bound = await judge.loss([1]); // tells the weights, too
      measured.length = 0;
      expect(await judge.loss([0], bound)).toBe(0);
      const loss = await judge.loss([4], bound);
      if (bound > 0) {
        expect(loss).toBe(Number.POSITIVE_INFINITY);
        expect(await judge.loss([4])).toBeCloseTo(4 * bound, 9);
      }
    }),
  );
  // One batch of ten decides.
  const measured: string[] = [];
  const batches = Array.from({ length: 10 }, () => ({ cost: 1, loss: 1, weight: 1 }));
  const judge = openJudge([domainOf(batches, measured)], 'mean', 0);
  await judge.loss([1]);
  measured.length = 0;
  await judge.loss([100], 5);
  expect(measured).toHaveLength(1);
});
