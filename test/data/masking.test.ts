import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { maskTokens } from '../../src/data/masking.ts';
import { random } from '../../src/tensor/random.ts';

const [maskId, vocabulary] = [3, 50];
const ids = fc.array(fc.integer({ min: 4, max: vocabulary - 1 }), { minLength: 2, maxLength: 30 });

describe('masked tokens', () => {
  test('are asked for as they stood, and nothing else is asked for or changed', () => {
    fc.assert(
      fc.property(ids, fc.nat(), (row, seed) => {
        const text = [1, row.length - 1] as const;
        const masked = maskTokens(row, text, { maskId, vocabulary }, random(seed));
        expect(masked.ids).toHaveLength(row.length);
        row.forEach((id, at) => {
          const target = masked.targets[at];
          expect([-1, id]).toContain(target);
          if (target < 0) expect(masked.ids[at]).toBe(id);
          if (at < text[0] || at >= text[1]) expect(target).toBe(-1);
        });
      }),
    );
  });

  test('are 15 %, of which four in five are the mask and one in ten stands', () => {
    const count = 100_000;
    const row = Array.from({ length: count }, () => 7);
    const masked = maskTokens(row, [0, count], { maskId, vocabulary }, random(1));
    const asked = [...row.keys()].filter((at) => masked.targets[at] >= 0);
    expect(asked.length / count).toBeCloseTo(0.15, 2);
    const share = (is: (id: number) => boolean) =>
      asked.filter((at) => is(masked.ids[at])).length / asked.length;
    expect(share((id) => id === maskId)).toBeCloseTo(0.8 + 0.1 / vocabulary, 2);
    expect(share((id) => id === 7)).toBeCloseTo(0.1 + 0.1 / vocabulary, 2);
    const replaced = new Set(asked.map((at) => masked.ids[at]));
    expect(replaced.size).toBe(vocabulary);
  });

  test('are the seed’s', () => {
    const row = Array.from({ length: 200 }, (_, at) => 4 + (at % 40));
    const of = (seed: number) => maskTokens(row, [0, 200], { maskId, vocabulary }, random(seed));
    expect(of(5)).toEqual(of(5));
    expect(of(5).targets).not.toEqual(of(6).targets);
  });
});
