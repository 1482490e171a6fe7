import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { windowsOf } from '../../src/data/windows.ts';

const plan = fc.integer({ min: 2, max: 12 }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    stride: fc.integer({ min: 1, max: size }),
    lengths: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 4 }),
  }),
);

/** Tokens that say which they are: document · 1000 + position. */
const documentsOf = (lengths: readonly number[]) =>
  lengths.map((length, document) => Array.from({ length }, (_, at) => document * 1000 + at));

describe('windows', () => {
  test('score every token once but a document’s first, and with a stride below the size nothing else is lost', () => {
    fc.assert(
      fc.property(plan, ({ size, stride, lengths }) => {
        const windows = windowsOf(documentsOf(lengths), { size, stride });
        const scored = windows.flatMap(({ ids, from }) => ids.slice(from));
        expect(new Set(scored).size).toBe(scored.length);
        const first = (token: number) => token % 1000 === 0;
        // At a stride of the whole size a window begins where nothing before it is read.
        const lost = (token: number) => stride === size && (token % 1000) % size === 0;
        const all = documentsOf(lengths).flat();
        expect(scored).toEqual(all.filter((token) => !first(token) && !lost(token)));
      }),
    );
  });

  test('are stretches of a document, the next `stride` further on, none longer than the size', () => {
    fc.assert(
      fc.property(plan, ({ size, stride, lengths }) => {
        const windows = windowsOf(documentsOf(lengths), { size, stride });
        for (const { ids, document, from } of windows) {
          expect(ids).toEqual(ids.map((_, at) => ids[0] + at));
          expect(Math.floor(ids[0] / 1000)).toBe(document);
          expect((ids[0] % 1000) % stride).toBe(0);
          expect(ids.length).toBeLessThanOrEqual(size);
          expect(from).toBeGreaterThanOrEqual(1);
          expect(from).toBeLessThan(ids.length);
          if (ids.length < size) expect((ids.at(-1)! % 1000) + 1).toBe(lengths[document]);
        }
      }),
    );
  });

  test('of seven tokens, four at a time and two on', () => {
    expect(windowsOf([[1, 2, 3, 4, 5, 6, 7]], { size: 4, stride: 2 })).toEqual([
      { ids: [1, 2, 3, 4], document: 0, from: 1 },
      { ids: [3, 4, 5, 6], document: 0, from: 2 },
      { ids: [5, 6, 7], document: 0, from: 2 },
    ]);
  });

  test('of a size or stride that makes none are a bug', () => {
    for (const [size, stride] of [
      [1, 1],
      [4, 0],
      [4, 5],
    ]) {
      expect(() => windowsOf([[1, 2]], { size, stride })).toThrow(RangeError);
    }
  });
});
