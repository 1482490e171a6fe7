import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bytes,
  decimal,
  duration,
  interval,
  milliseconds,
  quantity,
  relative,
  signed,
  times,
} from '../../src/report/format.ts';
import { niceRange, tick } from '../../src/report/marks.ts';

const number = (shown: string): number => Number(shown.replace('\u2212', '-'));
const ends = (shown: string): number[] => shown.slice(1, -1).split(', ').map(number);

describe('interval', () => {
  const range = fc
    .tuple(fc.double({ min: -1e4, max: 1e4, noNaN: true }), fc.double({ min: 0, max: 50, noNaN: true }))
    .map(([low, length]) => [low, low + length] as const);

  test('what is shown holds what was measured, and no more than one unit beyond it', () => {
    fc.assert(
      fc.property(range, fc.integer({ min: 0, max: 4 }), ([low, high], digits) => {
        const [from, to] = ends(interval(low, high, digits));
        const unit = 10 ** -digits;
        expect(from).toBeLessThanOrEqual(low + 1e-5 * unit);
        expect(from).toBeGreaterThan(low - unit * 1.001);
        expect(to).toBeGreaterThanOrEqual(high - 1e-5 * unit);
        expect(to).toBeLessThan(high + unit * 1.001);
      }),
      // Large numbers at fine units: what counts as rounding must not grow with them.
      { examples: [[[-1e4, 9999.999991], 4]], numRuns: 300 },
    );
  });

  test('a lower end just short of a target does not read as if it reached it', () => {
    expect(interval(1.9996, 2.0004, 2)).toBe('[1.99, 2.01]');
    expect(interval(2, 2.01, 2)).toBe('[2.00, 2.01]');
  });

  test('two-digit numbers are not pushed outwards by their binary form', () => {
    for (let cents = 0; cents <= 2000; cents++) {
      const shown = (cents / 100).toFixed(2);
      expect(interval(cents / 100, cents / 100, 2)).toBe(`[${shown}, ${shown}]`);
    }
  });
});

test('decimals: a true minus, and no minus on nothing', () => {
  expect(decimal(-2.25, 1)).toBe('\u22122.3');
  expect(decimal(-0.01, 1)).toBe('0.0');
  expect(signed(0.01, 1)).toBe('0.0');
  expect(signed(0.4, 1)).toBe('+0.4');
});

test('sizes change unit before they read 1000.0', () => {
  expect([0, 999, 999.96, 1000, 90_966_181, 999_949_999, 999_950_000].map(bytes)).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '1.0 kB',
    '91.0 MB',
    '999.9 MB',
    '1.0 GB',
  ]);
  expect(quantity(22_713_986)).toBe('22.7 M');
  expect(quantity(12)).toBe('12');
  expect(relative(62, 100)).toBe('\u221238%');
});

test('durations and times', () => {
  expect([0, 9.94, 9.96, 59.4, 59.6, 3599.6, 3661].map(duration)).toEqual([
    '0.0 s',
    '9.9 s',
    '10 s',
    '59 s',
    '1 min 0 s',
    '1 h 0 min',
    '1 h 1 min',
  ]);
  expect([0.4649, 3.456, 108.52].map(milliseconds)).toEqual(['0.465 ms', '3.46 ms', '108.5 ms']);
  expect([1.25, 2, 1.3333333].map(times)).toEqual(['1.25×', '2×', '1.3333×']);
});

test('an axis holds its data in about as many round steps as it was asked for', () => {
  const low = fc.double({ min: -1e6, max: 1e6, noNaN: true });
  const span = fc.double({ min: 1e-3, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(low, span, fc.integer({ min: 2, max: 10 }), (from, length, ticks) => {
      const { min, max, interval: step } = niceRange(from, from + length, ticks);
      expect(min).toBeLessThanOrEqual(from + step * 1e-6);
      expect(max).toBeGreaterThanOrEqual(from + length - step * 1e-6);
      expect((max - min) / step).toBeLessThanOrEqual(ticks + 2.001);
      expect([1, 2, 2.5, 5]).toContain(
        Number((step / 10 ** Math.floor(Math.log10(step * 1.0001))).toPrecision(3)),
      );
    }),
  );
  expect([0.1 + 0.2, -2.5, 1500].map(tick)).toEqual(['0.3', '\u22122.5', '1500']);
});
