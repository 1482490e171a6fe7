/**
 * Taking and clearing slices along one axis.
 * @module
 */
import { type ArrayOf, arrayOf, type DataType, sizeOf, type Tensor } from './tensor.ts';

/** Elements before and after `axis`: the tensor seen as [outer, shape[axis], inner]. */
function around(shape: readonly number[], axis: number) {
  return { outer: sizeOf(shape.slice(0, axis)), inner: sizeOf(shape.slice(axis + 1)) };
}

/** The slices `indices` along `axis`, in that order. Shape: as the input's, with `indices.length` at `axis`. */
export function take<T extends DataType>(
  input: Tensor<T>,
  axis: number,
  indices: readonly number[],
): Tensor<T> {
  const { outer, inner } = around(input.shape, axis);
  const width = input.shape[axis];
  const out = new arrayOf[input.type](outer * indices.length * inner) as ArrayOf[T];
  let to = 0;
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      const from = (o * width + index) * inner;
      // Columns of a matrix: a view for each element would cost more than the element.
      if (inner === 1) {
        out[to++] = input.data[from];
        continue;
      }
      out.set(input.data.subarray(from, from + inner) as never, to);
      to += inner;
    }
  }
  return { type: input.type, shape: input.shape.with(axis, indices.length), data: out };
}

/** A copy with the slices `indices` along `axis` set to zero. */
export function clear<T extends DataType>(
  input: Tensor<T>,
  axis: number,
  indices: readonly number[],
): Tensor<T> {
  const { outer, inner } = around(input.shape, axis);
  const width = input.shape[axis];
  const out = input.data.slice() as ArrayOf[T];
  const zero = (typeof out[0] === 'bigint' ? 0n : 0) as never;
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      const from = (o * width + index) * inner;
      out.fill(zero, from, from + inner);
    }
  }
  return { ...input, data: out };
}
