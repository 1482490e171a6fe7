/**
 * Seeded random numbers: the only source of randomness, always an argument.
 * @module
 */

export type Random = () => number;

/** A generator of uniform numbers in [0, 1) (mulberry32: 32 bits of state, period 2^32). */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A uniform integer in [0, below). */
export function integer(next: Random, below: number): number {
  return Math.floor(next() * below);
}
