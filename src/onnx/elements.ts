/**
 * The format's element types: their numbers in the file, their widths, and which of them a `Tensor` holds.
 * @module
 */
import { arrayOf, type DataType } from '../tensor/tensor.ts';
import type { ElementType } from './model.ts';

/** `TensorProto.DataType` and width in bits; a string has no width. */
const elements = {
  float32: { code: 1, bits: 32 },
  uint8: { code: 2, bits: 8 },
  int8: { code: 3, bits: 8 },
  uint16: { code: 4, bits: 16 },
  int16: { code: 5, bits: 16 },
  int32: { code: 6, bits: 32 },
  int64: { code: 7, bits: 64 },
  string: { code: 8, bits: 0 },
  bool: { code: 9, bits: 8 },
  float16: { code: 10, bits: 16 },
  float64: { code: 11, bits: 64 },
  uint32: { code: 12, bits: 32 },
  uint64: { code: 13, bits: 64 },
  complex64: { code: 14, bits: 64 },
  complex128: { code: 15, bits: 128 },
  bfloat16: { code: 16, bits: 16 },
  float8e4m3fn: { code: 17, bits: 8 },
  float8e4m3fnuz: { code: 18, bits: 8 },
  float8e5m2: { code: 19, bits: 8 },
  float8e5m2fnuz: { code: 20, bits: 8 },
  uint4: { code: 21, bits: 4 },
  int4: { code: 22, bits: 4 },
  float4e2m1: { code: 23, bits: 4 },
  float8e8m0: { code: 24, bits: 8 },
  uint2: { code: 25, bits: 2 },
  int2: { code: 26, bits: 2 },
  float6e2m3: { code: 27, bits: 6 },
  float6e3m2: { code: 28, bits: 6 },
} as const satisfies Record<ElementType, { code: number; bits: number }>;

const byCode = new Map<number, ElementType>(
  Object.entries(elements).map(([type, { code }]) => [code, type as ElementType]),
);

/** The number that stands for a type in files and in attributes such as Cast's `to`. */
export function codeOf(type: ElementType): number {
  return elements[type].code;
}

/** The type of a number; undefined for 0 and for numbers that this version of the format does not know. */
export function elementOf(code: number): ElementType | undefined {
  return byCode.get(code);
}

/** Bits of one element; 0 for strings. */
export function bitsOf(type: ElementType): number {
  return elements[type].bits;
}

/** Whether a `Tensor` can hold elements of this type. */
export function isDataType(type: ElementType | undefined): type is DataType {
  return type !== undefined && Object.hasOwn(arrayOf, type);
}
