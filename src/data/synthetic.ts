/**
 * Inputs made up for timing and for comparing models: right in type and shape, random in content.
 * @module
 */
import { InputError } from '../errors.ts';
import type { ValueInfo } from '../onnx/model.ts';
import { random } from '../tensor/random.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';
import { filled, meaningOf } from './feeds.ts';

/** Elements; a batch of 32 pictures of 512 × 512 has three quarters of it. */
const LARGEST_INPUT = 2 ** 25;

export interface SyntheticShape {
  readonly batch: number;
  readonly sequence: number;
  /** Tokens in the cache of a decoder; none when left out. */
  readonly past?: number;
  /** Channels and the side of a square. */
  readonly image?: { readonly channels: number; readonly size: number };
}

/**
 * One batch for a graph's inputs (those that are not initializers): ids uniform below `vocabulary`, masks of ones,
 * token types of zero, positions 0 … s−1, other integers 0, other booleans 1, other floats uniform in [−1, 1).
 * The same seed gives the same feeds.
 *
 * Free dimensions: those named after a batch are `batch`, after a sequence `sequence`, after the past of a cache `past`, after a
 * sum of these that sum, after channels, height or width those of the image; of the rest the first axis is `batch`, the
 * second `sequence`.
 * @throws InputError for a free dimension that none of this covers, and for inputs that are not numbers.
 */
export function syntheticFeeds(
  inputs: readonly ValueInfo[],
  shape: SyntheticShape,
  { vocabulary, seed }: { readonly vocabulary: number; readonly seed: number },
): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  const next = random(seed);
  for (const input of inputs) {
    const dims = boundShape(input, shape);
    if (sizeOf(dims) > LARGEST_INPUT) {
      throw new InputError(
        `model: the input "${input.name}" of shape [${dims.join(', ')}] has more than ${LARGEST_INPUT} elements, so it cannot be made up. ` +
          'Export the model with smaller dimensions, or lower shape.batch or shape.sequence.',
      );
    }
    const meaning = meaningOf(input.name);
    const isFloat = input.type?.includes('float') === true;
    const value = {
      ids: () => Math.floor(next() * vocabulary),
      mask: () => 1,
      types: () => 0,
      positions: (index: number) => index % (dims.at(-1) ?? 1),
      other: () => (isFloat ? 2 * next() - 1 : input.type === 'bool' ? 1 : 0),
    }[meaning ?? 'other'];
    feeds[input.name] = filled(input, dims, value);
  }
  return feeds;
}

function boundShape(
  { name, shape }: ValueInfo,
  { batch, sequence, past = 0, image }: SyntheticShape,
): number[] {
  if (shape === undefined) {
    if (meaningOf(name) !== undefined) return [batch, sequence];
    throw new InputError(
      `model: the input "${name}" declares no shape, so it cannot be made up. Export the model with shapes.`,
    );
  }
  return shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    // "past_sequence_length + sequence_length" is both, "past_sequence_length + 1" one more.
    const terms = (dim?.toLowerCase() ?? '').split('+').map((label) => {
      if (/^\s*\d+\s*$/.test(label)) return Number(label);
      if (label.includes('past')) return past;
      if (label.includes('batch')) return batch;
      if (/channel/.test(label)) return image?.channels;
      if (/height|width/.test(label)) return image?.size;
      return /seq|length/.test(label) ? sequence : undefined;
    });
    if (terms.every((term) => term !== undefined)) return terms.reduce((sum, term) => sum + term, 0);
    if (axis < 2) return axis === 0 ? batch : sequence;
    throw new InputError(
      `model: dimension ${axis} ("${dim ?? '?'}") of the input "${name}" is free and neither a batch nor a sequence nor of an image, so the input cannot be made up. Export the model with that dimension fixed.`,
    );
  });
}
