import { describe, expect, test } from 'vitest';
import { openPlaces } from '../../src/prune/places.ts';
import type { Values } from '../../src/runtime/chain.ts';
import { zeros } from '../../src/tensor/tensor.ts';

/** What crosses into each part of a chain: 1 kB, told apart by its shape. */
const crossing = (part: number): Values => ({ x: zeros('float32', [part, 256 / part]) });

/** Runs a chain of 8 parts on feeds. */
function passed(places: ReturnType<typeof openPlaces>, feeds: Values): void {
  const { onPlace } = places.remember(feeds);
  for (const part of [1, 2, 4, 8]) onPlace!(part, crossing(part));
}

describe('where to begin', () => {
  const feeds: Values = {};

  test('before anything ran, at the beginning', () => {
    expect(openPlaces({ parts: 9 }, 1).before(feeds, 5)).toEqual({});
  });

  test('at the last place that is known before the first change, with what crosses there', () => {
    const places = openPlaces({ parts: 9 }, 1);
    passed(places, feeds);
    expect(places.before(feeds, 0)).toEqual({});
    expect(places.before(feeds, 1)).toEqual({ from: 1, values: crossing(1) });
    expect(places.before(feeds, 7)).toEqual({ from: 4, values: crossing(4) });
    expect(places.before(feeds, 8)).toEqual({ from: 8, values: crossing(8) });
  });

  test('other feeds are other feeds, though they look the same', () => {
    const places = openPlaces({ parts: 9 }, 2);
    passed(places, feeds);
    expect(places.before({}, 8)).toEqual({});
  });

  test('where memory does not hold all places, those at even distances', () => {
    const places = openPlaces({ parts: 9 }, 2, 2 * 2 * 1024); // two places for each of two feeds
    passed(places, feeds);
    expect(places.before(feeds, 3)).toEqual({});
    expect(places.before(feeds, 4)).toEqual({ from: 4, values: crossing(4) });
    expect(places.before(feeds, 7)).toEqual({ from: 4, values: crossing(4) });
  });
});
