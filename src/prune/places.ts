/**
 * What the dense model hands from part to part, remembered: a candidate whose first blocks are dense begins where they end.
 * It is the same computation on the same numbers, so the result is the same to the last bit.
 * @module
 */
import type { Chain, ChainRun, Values } from '../runtime/chain.ts';

/** How many bytes are remembered, over all feeds. */
const PLACE_BYTES = 512 * 2 ** 20;

export interface Places {
  /** Where to begin a run of `feeds` in which no part before `first` differs from the dense model. */
  before(feeds: Values, first: number): Pick<ChainRun, 'from' | 'values'>;
  /** Takes down what crosses while the dense model runs on `feeds`. */
  remember(feeds: Values): Pick<ChainRun, 'onPlace'>;
}

/**
 * @param feedsCount how many feeds there will be: each gets an equal share of the memory, and where that does not hold all
 *   places, places at even distances
 */
export function openPlaces(
  { parts }: Pick<Chain, 'parts'>,
  feedsCount: number,
  bytes: number = PLACE_BYTES,
): Places {
  const known = new WeakMap<Values, Map<number, Values>>();
  const share = bytes / Math.max(1, feedsCount);
  return {
    before(feeds, first) {
      const places = known.get(feeds);
      for (let from = first; from > 0 && places; from--) {
        const values = places.get(from);
        if (values) return { from, values };
      }
      return {};
    },
    remember(feeds) {
      const places = new Map<number, Values>();
      known.set(feeds, places);
      let every = 1;
      return {
        onPlace(part, values) {
          if (part === 1) every = Math.ceil(((parts - 1) * sizeOf(values)) / share);
          if (part % every === 0) places.set(part, values);
        },
      };
    },
  };
}

function sizeOf(values: Values): number {
  return Object.values(values).reduce((sum, { data }) => sum + data.byteLength, 0);
}
