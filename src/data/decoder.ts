/**
 * What decoders read beside tokens: a cache that is empty, and flags that say so.
 * @module
 */
import { InputError } from '../errors.ts';
import type { ValueInfo } from '../onnx/model.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';
import { meaningOf } from './feeds.ts';
import { syntheticFeeds } from './synthetic.ts';

/** Inputs that text fills; the others are a cache's. */
export function readsTokens({ name }: ValueInfo): boolean {
  return meaningOf(name) !== undefined;
}

/**
 * Feeds for the inputs of a decoder that are not text's: pasts of length 0, flags and counts at 0.
 * @throws InputError for an input that holds numbers of its own: what an encoder says, an image
 */
export function emptyCache(
  inputs: readonly ValueInfo[],
  [batch, sequence]: readonly [number, number],
): Record<string, Tensor> {
  const others = inputs.filter((input) => !readsTokens(input));
  const feeds = syntheticFeeds(others, { batch, sequence, past: 0 }, { vocabulary: 1, seed: 0 });
  for (const [name, { type, shape }] of Object.entries(feeds)) {
    if (sizeOf(shape) === 0 || !type.includes('float')) continue;
    throw new InputError(
      `model: the input "${name}" [${shape.join(', ')}] is neither tokens nor an empty past, so text alone does not fill it. Name a decoder that reads text only.`,
    );
  }
  return feeds;
}
