/**
 * A dense tensor in memory: numbers with a type and a shape, row-major.
 *
 * Representation: `float16` and `bfloat16` are held as their 16-bit patterns, `bool` as 0/1 bytes.
 * @module
 */

/** ONNX's element types, with the typed array that holds each. */
export interface ArrayOf {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  bool: Uint8Array;
}

export type DataType = keyof ArrayOf;

export const arrayOf = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const satisfies Record<DataType, unknown>;

export interface Tensor<T extends DataType = DataType> {
  readonly type: T;
  readonly shape: readonly number[];
  readonly data: ArrayOf[T];
}

/** Number of elements of a shape; 1 for a scalar's `[]`. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/**
 * A tensor over existing data (not copied).
 * @throws RangeError when the data's length is not the shape's size.
 */
export function tensor<T extends DataType>(type: T, shape: readonly number[], data: ArrayOf[T]): Tensor<T> {
  if (data.length !== sizeOf(shape)) {
    throw new RangeError(
      `tensor: shape [${shape.join(', ')}] holds ${sizeOf(shape)} elements, the data has ${data.length}`,
    );
  }
  return { type, shape, data };
}

/** A tensor of zeros. */
export function zeros<T extends DataType>(type: T, shape: readonly number[]): Tensor<T> {
  return { type, shape, data: new arrayOf[type](sizeOf(shape)) as ArrayOf[T] };
}
