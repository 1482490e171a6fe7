/**
 * Tensors as they are stored: in the file's buffer, in a file beside it, or made by us.
 *
 * Representation: `rest` of an opened tensor is a `Source`: its protobuf message, whose `raw_data` is a view of the
 * file's buffer, and the range of the external file if it has one. A tensor of ours has no `rest`.
 * Payloads are little-endian, as is every machine that this runs on.
 * @module
 */
import { create } from '@bufbuild/protobuf';
import { InputError } from '../errors.ts';
import { arrayOf, type DataType, type Tensor, tensor } from '../tensor/tensor.ts';
import { bitsOf, codeOf, elementOf, isDataType } from './elements.ts';
import { type ExternalFolder, type ExternalRange, readRange } from './external.ts';
import { limits } from './limits.ts';
import type { ElementType, StoredTensor } from './model.ts';
import { type TensorProto, TensorProto_DataLocation, TensorProtoSchema } from './proto/onnx_pb.js';

interface Source {
  readonly proto: TensorProto;
  readonly external?: ExternalRange;
}

/** Where an external tensor's bytes lie; undefined for tensors in the model file or in memory. */
export function externalRange(stored: StoredTensor): ExternalRange | undefined {
  return (stored.rest as Source | undefined)?.external;
}

/** Brings a tensor into the graph form. Its data is shared, not copied. */
export function storedTensor(value: Tensor): StoredTensor {
  return { type: value.type, shape: value.shape, byteLength: value.data.byteLength, tensor: () => value };
}

/**
 * @param label the tensor's name or place, for messages, as is the model's
 * @param folder where external data may lie; absent when the model did not come from a file
 * @throws InputError when type, shape and payload do not fit each other, or external data is not what it should be.
 */
export function decodeTensor(
  proto: TensorProto,
  label: string,
  model: string,
  folder?: ExternalFolder,
): StoredTensor {
  const who = `${model}: tensor "${label}"`;
  const type = elementOf(proto.dataType);
  if (!type) throw new InputError(`${who} has the unknown element type ${proto.dataType}.`);
  if (proto.segment) throw new InputError(`${who} is stored in segments, which no version of ONNX defines.`);
  if (proto.dims.length > limits.rank) {
    throw new InputError(`${who} has ${proto.dims.length} dimensions, expected at most ${limits.rank}.`);
  }
  if (proto.dims.some((dim) => dim < 0n)) {
    throw new InputError(`${who} has a negative dimension: [${proto.dims.join(', ')}].`);
  }
  const count = proto.dims.reduce((product, dim) => product * dim, 1n);
  // Without elements no payload vouches for the other dimensions.
  const others = proto.dims.reduce((product, dim) => product * (dim === 0n ? 1n : dim), 1n);
  if (others > BigInt(count === 0n ? limits.emptyElements : limits.elements)) {
    throw new InputError(`${who} of shape [${proto.dims.join(', ')}] has more elements than can be held.`);
  }
  checkSingle(proto, who);
  const shape = proto.dims.map(Number);
  const expected = (count * BigInt(bitsOf(type)) + 7n) / 8n;
  if (proto.dataLocation === TensorProto_DataLocation.EXTERNAL) {
    if (type === 'string') throw new InputError(`${who} keeps strings in external data, which ONNX forbids.`);
    if (!folder) {
      throw new InputError(
        `${who} lies in external data; open the model by its file, not from its bytes alone.`,
      );
    }
    const entries = new Map(proto.externalData.map(({ key, value }) => [key, value]));
    if (entries.size !== proto.externalData.length) {
      throw new InputError(`${who} names a key of its external data twice.`);
    }
    const unknown = [...entries.keys()].find((key) => !externalKeys.has(key));
    if (unknown !== undefined) {
      throw new InputError(
        `${who} has the key "${unknown}" in its external data, expected only ${[...externalKeys].join(', ')}.`,
      );
    }
    const entry = {
      location: entries.get('location'),
      offset: entries.get('offset'),
      length: entries.get('length'),
    };
    const external = folder.range(label, entry, expected);
    return opened(type, shape, Number(expected), { proto, external }, label);
  }
  const found = payloadLength(proto, type);
  const needed = found.unit === 'bytes' ? expected : elementsInField(type, count);
  if (BigInt(found.length) !== needed) {
    throw new InputError(
      `tensor "${label}" of type ${type} and shape [${shape.join(', ')}] needs ${needed} ${found.unit}, the file has ${found.length}.`,
    );
  }
  const byteLength =
    type === 'string' ? proto.stringData.reduce((sum, text) => sum + text.length, 0) : Number(expected);
  return opened(type, shape, byteLength, { proto }, label);
}

/** What the format knows of external data. Whatever else stands there might mean something to another reader. */
const externalKeys: ReadonlySet<string> = new Set(['location', 'offset', 'length', 'checksum']);

/** One place for the elements: with two, readers would differ in which they take. */
function checkSingle(proto: TensorProto, who: string): void {
  const fields = ['floatData', 'int32Data', 'int64Data', 'doubleData', 'uint64Data', 'stringData'] as const;
  const filled: string[] = fields.filter((field) => proto[field].length > 0);
  if (proto.rawData.length > 0) filled.push('rawData');
  if (proto.dataLocation === TensorProto_DataLocation.EXTERNAL) filled.push('external data');
  if (filled.length > 1)
    throw new InputError(`${who} keeps its elements in two places: ${filled.join(' and ')}.`);
}

function opened(
  type: ElementType,
  shape: readonly number[],
  byteLength: number,
  rest: Source,
  label: string,
): StoredTensor {
  // Copies (of unaligned or external data) live as long as someone uses them, so that a model of many
  // gigabytes can be walked through, and a weight that several readers ask for is read once.
  let last: WeakRef<Tensor> | undefined;
  return {
    type,
    shape,
    byteLength,
    rest,
    tensor() {
      const known = last?.deref();
      if (known) return known;
      if (!isDataType(type))
        throw new InputError(`tensor "${label}" has elements of type ${type}, which cannot be read.`);
      const value = tensor(type, shape, elementsOf(rest, type));
      last = new WeakRef<Tensor>(value);
      return value;
    },
  };
}

/** Whether the payload is bytes that could stand in another file: not the entries of a typed field. */
export function isMovable(stored: StoredTensor): boolean {
  const source = stored.rest as Source | undefined;
  return !source || source.external !== undefined || Object.hasOwn(source.proto, 'rawData');
}

/** The payload as it would stand in `raw_data`. Only for tensors that are movable. */
export function payload(stored: StoredTensor): Uint8Array {
  const source = stored.rest as Source | undefined;
  if (source?.external) return readRange(source.external);
  if (source && Object.hasOwn(source.proto, 'rawData')) return source.proto.rawData;
  const { data } = stored.tensor();
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The message of a tensor that stands in the model file itself. */
export function encodeTensor(stored: StoredTensor, name: string | undefined): TensorProto {
  const source = stored.rest as Source | undefined;
  const proto = message(stored, name);
  if (source && !source.external) return proto;
  proto.externalData = [];
  Reflect.deleteProperty(proto, 'dataLocation');
  proto.rawData = payload(stored);
  return proto;
}

/** The message of a tensor whose payload stands at `range`. */
export function encodeExternal(
  stored: StoredTensor,
  name: string | undefined,
  range: { location: string; offset: number; length: number },
): TensorProto {
  const proto = message(stored, name);
  for (const field of ['floatData', 'int32Data', 'int64Data', 'doubleData', 'uint64Data'] as const)
    proto[field] = [];
  Reflect.deleteProperty(proto, 'rawData');
  proto.dataLocation = TensorProto_DataLocation.EXTERNAL;
  proto.externalData = Object.entries(range).map(([key, value]) => ({
    $typeName: 'onnx.StringStringEntryProto',
    key,
    value: String(value),
  }));
  return proto;
}

/** The message of an external tensor exactly as it was opened. */
export function encodeUnmoved(stored: StoredTensor, name: string | undefined): TensorProto {
  return message(stored, name);
}

function message(stored: StoredTensor, name: string | undefined): TensorProto {
  const source = stored.rest as Source | undefined;
  const proto = create(TensorProtoSchema);
  if (source) Object.assign(proto, source.proto);
  else {
    proto.dims = stored.shape.map(BigInt);
    proto.dataType = codeOf(stored.type);
  }
  // An absent name stays absent where it stands for ''.
  if (name !== undefined && name !== proto.name) proto.name = name;
  return proto;
}

type Field = 'floatData' | 'int32Data' | 'int64Data' | 'doubleData' | 'uint64Data';

/** The typed field that holds elements of a type when `raw_data` does not. */
function fieldOf(type: Exclude<ElementType, 'string'>): Field {
  switch (type) {
    case 'float32':
    case 'complex64':
      return 'floatData';
    case 'float64':
    case 'complex128':
      return 'doubleData';
    case 'int64':
      return 'int64Data';
    case 'uint32':
    case 'uint64':
      return 'uint64Data';
    default:
      return 'int32Data';
  }
}

/** Entries that the typed field needs: two for a complex number, one for several packed narrow ones. */
function elementsInField(type: ElementType, count: bigint): bigint {
  if (type.startsWith('complex')) return count * 2n;
  const bits = BigInt(bitsOf(type));
  return bits > 0n && bits < 8n ? (count * bits + 7n) / 8n : count;
}

function payloadLength(
  proto: TensorProto,
  type: ElementType,
): { unit: 'bytes' | 'elements'; length: number } {
  if (type === 'string') return { unit: 'elements', length: proto.stringData.length };
  if (Object.hasOwn(proto, 'rawData')) return { unit: 'bytes', length: proto.rawData.length };
  return { unit: 'elements', length: proto[fieldOf(type)].length };
}

function elementsOf<T extends DataType>({ proto, external }: Source, type: T) {
  const Elements = arrayOf[type] as unknown as {
    readonly BYTES_PER_ELEMENT: number;
    new (buffer: ArrayBufferLike, offset: number, length: number): Tensor<T>['data'];
    from(values: readonly (number | bigint)[]): Tensor<T>['data'];
  };
  if (!external && !Object.hasOwn(proto, 'rawData')) {
    const values: readonly (number | bigint)[] = proto[fieldOf(type)];
    return Elements.from(type === 'uint32' ? values.map(Number) : values);
  }
  let bytes = external ? readRange(external) : proto.rawData;
  if (bytes.byteOffset % Elements.BYTES_PER_ELEMENT !== 0) bytes = Uint8Array.from(bytes);
  return new Elements(bytes.buffer, bytes.byteOffset, bytes.byteLength / Elements.BYTES_PER_ELEMENT);
}
