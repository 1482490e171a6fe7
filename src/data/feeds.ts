/**
 * Graph inputs by the names that the field gives them.
 * @module
 */
import { InputError } from '../errors.ts';
import type { ValueInfo } from '../onnx/model.ts';
import { arrayOf, type DataType, sizeOf, type Tensor } from '../tensor/tensor.ts';

/** What an input of a text model means, whatever its element type. */
export type Meaning = 'ids' | 'mask' | 'types' | 'positions';

const meanings: ReadonlyMap<string, Meaning> = new Map([
  ['input_ids', 'ids'],
  ['attention_mask', 'mask'],
  ['token_type_ids', 'types'],
  ['position_ids', 'positions'],
  // Names that TensorFlow's and ONNX Runtime's exporters give them.
  ['input_mask', 'mask'],
  ['segment_ids', 'types'],
]);

/** The meaning of an input by its name; undefined for names that the field has no convention for. */
export function meaningOf(name: string): Meaning | undefined {
  return meanings.get(name.replace(/:\d+$/, ''));
}

/**
 * A tensor of the input's own type whose element at flat index i is `value(i)`.
 * @throws InputError for an input whose type cannot be filled with numbers.
 */
export function filled(input: ValueInfo, shape: readonly number[], value: (index: number) => number): Tensor {
  const type = input.type;
  if (type === undefined || !isDataType(type)) {
    throw new InputError(
      `model: the input "${input.name}" holds ${type ?? 'no tensor'}, where numbers are expected. Export the model again.`,
    );
  }
  const size = sizeOf(shape);
  const data = new arrayOf[type](size);
  const convert = conversion(type);
  for (let i = 0; i < size; i++) data[i] = convert(value(i)) as never;
  return { type, shape, data };
}

function isDataType(type: string): type is DataType {
  return Object.hasOwn(arrayOf, type);
}

/** From a number to the stored element: bit patterns for the 16-bit floats, as `tensor.ts` holds them. */
function conversion(type: DataType): (value: number) => number | bigint {
  if (type === 'int64' || type === 'uint64') return BigInt;
  if (type === 'float16') {
    const half = new Float16Array(1);
    const bits = new Uint16Array(half.buffer);
    return (value) => {
      half[0] = value;
      return bits[0];
    };
  }
  if (type === 'bfloat16') {
    const single = new Float32Array(1);
    const bits = new Uint32Array(single.buffer);
    return (value) => {
      single[0] = value;
      return bits[0] >>> 16;
    };
  }
  return (value) => value;
}
