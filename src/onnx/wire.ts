/**
 * A first look at a model's bytes, before anything is made of them: every part must be one that the format knows, end
 * inside the part around it, and all of them together must be worth no more memory than there are limits.
 *
 * Protobuf is read here by the descriptors that the decoder uses, so that nothing is taken for something else there.
 * Unknown fields are let through inside messages, where later versions of the format put theirs, but not outermost,
 * where they mean that the file is another one.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { InputError } from '../errors.ts';
import { limits } from './limits.ts';
import { ModelProtoSchema, TensorProto_DataLocation, TensorProtoSchema } from './proto/onnx_pb.js';

/** What the bytes hold. */
export interface WireFacts {
  /** Tensors that say they lie in another file, wherever they stand. */
  readonly external: number;
}

/** A field as it stands in the bytes. */
interface Part {
  readonly name: string;
  /** A name must be UTF-8 and short; other text is its writer's affair. */
  readonly kind: 'message' | 'name' | 'text' | 'bytes' | 'number';
  /** 0: a varint, 1: eight bytes, 2: a length and so many bytes, 5: four bytes. */
  readonly wireType: 0 | 1 | 2 | 5;
  readonly repeated: boolean;
  readonly message?: DescMessage;
  /** Bytes of memory that one takes when decoded, its text or its parts apart. */
  readonly cost: number;
}

const messageCost = 256;

const lfsPointer = 'version https://git-lfs';

/**
 * @param name the model's name, for messages
 * @throws InputError for bytes that are no model, are cut off or damaged, or ask for too much
 */
export function checkWire(bytes: Uint8Array, name: string): WireFacts {
  let at = 0;
  let external = 0;
  let messages = 0;
  let numbers = 0;
  let memory = 0;

  const damaged = (where: string, what: string) =>
    new InputError(`${name} is damaged before byte ${at}: ${where} ${what}; fetch or export it again.`);

  const cutOff = (where: string, depth: number, to?: number) => {
    if (depth > 0) return damaged(where, 'reaches beyond the part around it');
    const reach = to === undefined ? 'further' : `to byte ${to}`;
    return new InputError(
      `${name} is truncated: it ends at byte ${bytes.length}, inside a part that reaches ${reach}; fetch or export it again.`,
    );
  };

  const spend = (cost: number) => {
    memory += cost;
    if (memory <= limits.decodedBytes) return;
    throw new InputError(
      `${name} would take more than ${limits.decodedBytes / 2 ** 30} GiB to read, raw_data apart (${messages} parts and ` +
        `${numbers} single numbers until byte ${at}); store its tensors as raw_data or as external data.`,
    );
  };

  /** A varint, as near as a double holds it; undefined where the bytes end, or it goes on for more than ten. */
  const varint = (end: number): number | undefined => {
    let value = 0;
    for (let scale = 1, i = 0; i < 10 && at < end; i++, scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return undefined;
  };

  /** Numbers side by side, as repeated ones may be written. */
  const packed = (part: Part, where: string, end: number) => {
    const width = { 0: 1, 1: 8, 2: 1, 5: 4 }[part.wireType];
    let count = (end - at) / width;
    if (part.wireType === 0) {
      // One ends at each byte whose highest bit is clear.
      count = 0;
      for (let i = at; i < end; i++) if (bytes[i] < 128) count++;
      if (end > at && bytes[end - 1] >= 128) throw damaged(where, 'breaks off within a number');
    }
    if (!Number.isInteger(count)) throw damaged(where, `holds ${end - at} bytes, no multiple of ${width}`);
    numbers += count;
    spend(count * part.cost);
  };

  const checkName = (where: string, end: number) => {
    if (end - at > limits.nameBytes) {
      throw new InputError(
        `${name} has a name of ${end - at} bytes (${where}), expected at most ${limits.nameBytes}; export it again.`,
      );
    }
    if (!isUtf8(bytes.subarray(at, end))) throw damaged(where, 'is not UTF-8');
  };

  const walk = (desc: DescMessage, around: string, end: number, depth: number): void => {
    messages++;
    spend(messageCost);
    if (depth > limits.messageDepth) {
      throw new InputError(
        `${name}: ${around.split('.').at(-1)} is nested more than ${limits.messageDepth} messages deep; export it again.`,
      );
    }
    const parts = partsOf(desc);
    const seen = new Set<Part>();
    let location = 0;
    while (at < end) {
      const start = at;
      const tag = varint(end);
      if (tag === undefined) throw cutOff(around, depth);
      const wireType = tag % 8;
      const part = parts.get(Math.floor(tag / 8));
      const fits =
        part && (wireType === part.wireType || (part.repeated && part.kind === 'number' && wireType === 2));
      if (depth === 0 && !fits) {
        throw new InputError(
          `${name} is not an ONNX file: what stands at byte ${start} is no part of an ONNX model.`,
        );
      }
      const where = part === undefined ? around : depth === 0 ? part.name : `${around}.${part.name}`;
      if (part && !fits) throw damaged(where, `is of wire type ${wireType}, expected ${part.wireType}`);
      if (tag < 8 || ![0, 1, 2, 5].includes(wireType))
        throw damaged(around, `holds the tag ${tag}, which is no field's`);
      const value = wireType === 1 ? 8 : wireType === 5 ? 4 : varint(end);
      if (value === undefined) throw cutOff(where, depth);
      const to = wireType === 0 ? at : at + value;
      if (to > end) throw cutOff(where, depth, to);
      if (part?.kind === 'message') {
        if (!part.repeated && seen.has(part)) throw damaged(where, 'stands there twice');
        seen.add(part);
        walk(part.message!, where, to, depth + 1);
      } else if (part?.kind === 'number' && wireType === 2) packed(part, where, to);
      else {
        if (part?.kind === 'number') numbers++;
        if (part?.kind === 'name') checkName(where, to);
        spend((part?.cost ?? messageCost) + (part?.kind === 'name' || part?.kind === 'text' ? to - at : 0));
        if (desc === TensorProtoSchema && part?.name === 'dataLocation') location = value;
      }
      at = to;
    }
    if (location === TensorProto_DataLocation.EXTERNAL) external++;
  };

  if (bytes.length === 0) throw new InputError(`${name} is empty.`);
  if (
    Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 23)).toString('latin1') === lfsPointer
  ) {
    throw new InputError(`${name} is a Git LFS pointer, not the model itself; run "git lfs pull".`);
  }
  walk(ModelProtoSchema, 'the model', bytes.length, 0);
  return { external };
}

const known = new WeakMap<DescMessage, ReadonlyMap<number, Part>>();

function partsOf(desc: DescMessage): ReadonlyMap<number, Part> {
  const found = known.get(desc) ?? new Map(desc.fields.map((field) => [field.number, partOf(field)]));
  known.set(desc, found);
  return found;
}

/** Text that names neither values nor nodes nor operators. */
const texts: ReadonlySet<string> = new Set(['docString', 'value', 'producerName', 'producerVersion']);

function partOf(field: DescField): Part {
  const { localName: name, fieldKind } = field;
  const repeated = fieldKind === 'list';
  if (fieldKind === 'message' || (fieldKind === 'list' && field.listKind === 'message'))
    return { name, kind: 'message', wireType: 2, repeated, message: field.message!, cost: messageCost };
  const scalar = fieldKind === 'scalar' || fieldKind === 'list' ? field.scalar : undefined;
  const number = (wireType: 0 | 1 | 5, cost: number): Part => ({
    name,
    kind: 'number',
    wireType,
    repeated,
    cost,
  });
  switch (scalar) {
    case ScalarType.STRING:
      return { name, kind: texts.has(name) ? 'text' : 'name', wireType: 2, repeated, cost: 48 };
    case ScalarType.BYTES:
      // A view: the bytes stay where they are.
      return { name, kind: 'bytes', wireType: 2, repeated, cost: 160 };
    case ScalarType.FLOAT:
      return number(5, 8);
    case ScalarType.DOUBLE:
      return number(1, 8);
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return number(0, 32); // a BigInt of its own
    default:
      return number(0, 8);
  }
}
