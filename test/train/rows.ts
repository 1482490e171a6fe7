/** A task that a tiny encoder learns in seconds: whether a row holds one of some words, and which is its first. */
import type { EncodedRow } from '../../src/data/tokenizer.ts';
import { integer, random } from '../../src/tensor/random.ts';

/** `count` rows of 3 to 8 ids below 20; class 2 where there is an id below 4, else 1 where the first is even, else 0. */
export function rowsOf(count: number, seed: number): EncodedRow[] {
  const next = random(seed);
  return Array.from({ length: count }, () => {
    const length = 3 + integer(next, 6);
    const ids = Array.from({ length }, () => 10 + integer(next, 10));
    const isMarked = next() < 0.4;
    if (isMarked) ids[integer(next, length)] = 1 + integer(next, 3);
    return { ids, typeIds: [], label: isMarked ? 2 : 1 - (ids[0] % 2) };
  });
}
