/**
 * Opening a model: protobuf → `Model`. Weights stay where they are: `raw_data` as views of the file's buffer, external
 * data on the disk.
 *
 * Representation: `rest` of each part is its protobuf message, whose modelled lists were emptied; `save.ts` fills
 * them again. Messages are never changed after decoding, so that clones may share them.
 * @module
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { InputError } from '../errors.ts';
import { elementOf } from './elements.ts';
import { type ExternalFolder, externalFolder } from './external.ts';
import { limits } from './limits.ts';
import type {
  Attribute,
  Dim,
  FunctionDefinition,
  Graph,
  Model,
  Node,
  StoredTensor,
  ValueInfo,
} from './model.ts';
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type OperatorSetIdProto,
  type TensorProto,
  type TensorShapeProto_Dimension,
  type ValueInfoProto,
} from './proto/onnx_pb.js';
import { decodeTensor } from './stored.ts';
import { checkWire } from './wire.ts';

/** Versions of the ai.onnx operator set that the product understands. */
export const supportedOpsets = { from: 11, to: 24 } as const;

/** `rest` of a model: its message, and where it came from. */
export interface ModelRest {
  readonly proto: ModelProto;
  /** The file's folder and name; absent for a model that was decoded from bytes alone. */
  readonly folder?: string;
  readonly name?: string;
  /** External tensors as opened, so that saving can tell an untouched file of weights. */
  readonly external: readonly StoredTensor[];
}

/**
 * Opens a model's file.
 * @throws InputError when there is no such file, it is not a whole ONNX model of a supported opset, or its external
 * data is missing, too short or outside the model's folder.
 */
export async function openModel(file: string): Promise<Model> {
  let bytes: Uint8Array;
  let handle: FileHandle | undefined;
  try {
    // A pipe without a writer must not be waited for.
    handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stats = await handle.stat();
    if (stats.isDirectory()) throw new InputError(`${file} is a folder; name the .onnx file in it.`);
    if (!stats.isFile()) throw new InputError(`${file} is not a regular file.`);
    if (stats.size > limits.fileBytes) {
      throw new InputError(
        `${file} has ${stats.size} bytes, but protobuf ends at 2 GiB; export with external data.`,
      );
    }
    bytes = await handle.readFile();
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new InputError(`there is no file ${file}.`, { cause });
    if (code === 'EACCES' || code === 'EPERM')
      throw new InputError(`${file} may not be read (${code}).`, { cause });
    throw cause;
  } finally {
    await handle?.close();
  }
  return decodeModel(bytes, { folder: dirname(file), name: basename(file) });
}

/**
 * A model from the bytes of its file. The bytes are kept, not copied: do not change them afterwards.
 * @param options.folder where external data lies; without it a model with external data is refused
 * @param options.name the file's name, for messages
 * @throws InputError as `openModel`
 */
export function decodeModel(bytes: Uint8Array, options: { folder?: string; name?: string } = {}): Model {
  const name = options.name ?? 'the model';
  const facts = checkWire(bytes, name);
  let proto: ModelProto;
  try {
    proto = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new InputError(`${name} is damaged: its protobuf cannot be read (${reason}).`, { cause });
  }
  if (!proto.graph)
    throw new InputError(`${name} is not an ONNX model, or it is truncated: it holds no graph.`);
  const { graph, functions } = proto;
  const opsets = decodeOpsets(proto.opsetImport, name);
  checkOpset(opsets, name);
  const external: StoredTensor[] = [];
  const folder = options.folder === undefined ? undefined : externalFolder(options.folder, name);
  const irVersion = Number(proto.irVersion);
  if (!(irVersion >= 3 && irVersion < 2 ** 31)) {
    throw new InputError(
      `${name} has the IR version ${proto.irVersion}, expected 3 or later; export it again.`,
    );
  }
  const reader = { name, folder, external };
  proto.graph = undefined;
  proto.functions = [];
  const rest: ModelRest = { proto, external, ...options };
  const model: Model = {
    irVersion,
    opsets,
    graph: decodeGraph(graph, reader),
    functions: functions.map((definition) => decodeFunction(definition, reader)),
    metadata: new Map(proto.metadataProps.map(({ key, value }) => [key, value])),
    rest,
  };
  if (facts.external !== external.length) {
    throw new InputError(
      `${name} keeps external data in a tensor that is neither an initializer nor an attribute's value; export it dense and without training information.`,
    );
  }
  return model;
}

/** Domain → version; 'ai.onnx' is the long form of ''. */
export function decodeOpsets(imports: readonly OperatorSetIdProto[], name: string): Map<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of imports) {
    const key = domain === 'ai.onnx' ? '' : domain;
    if (version < 1n || version >= 2n ** 31n) {
      throw new InputError(
        `${name} imports the operators of "${domain || 'ai.onnx'}" in the version ${version}.`,
      );
    }
    if (opsets.has(key) && opsets.get(key) !== Number(version)) {
      throw new InputError(`${name} imports the operators of "${domain || 'ai.onnx'}" in two versions.`);
    }
    opsets.set(key, Number(version));
  }
  return opsets;
}

function checkOpset(opsets: ReadonlyMap<string, number>, name: string): void {
  const { from, to } = supportedOpsets;
  const opset = opsets.get('');
  if (opset === undefined) {
    throw new InputError(`${name} is not a whole ONNX model: it does not say which opset it uses.`);
  }
  if (opset < from || opset > to) {
    throw new InputError(`${name} uses opset ${opset}; export it with one from ${from} to ${to}.`);
  }
}

interface Reader {
  readonly name: string;
  readonly folder: ExternalFolder | undefined;
  readonly external: StoredTensor[];
}

function readTensor(proto: TensorProto, label: string, reader: Reader): StoredTensor {
  const stored = decodeTensor(proto, label, reader.name, reader.folder);
  if (proto.dataLocation === 1) reader.external.push(stored);
  return stored;
}

function decodeGraph(proto: GraphProto, reader: Reader): Graph {
  const { node, initializer, input, output, valueInfo } = proto;
  // value_info stays: exporters write entries twice, of which this form keeps the last.
  Object.assign(proto, { node: [], initializer: [], input: [], output: [] });
  if (proto.sparseInitializer.length > 0) {
    throw new InputError(
      `${reader.name} has sparse initializers in graph "${proto.name}", which are not followed; export them dense.`,
    );
  }
  const initializers = new Map<string, StoredTensor>();
  for (const one of initializer) {
    if (one.name === '') {
      throw new InputError(`${reader.name} has an initializer without a name in graph "${proto.name}".`);
    }
    if (initializers.has(one.name)) {
      throw new InputError(
        `${reader.name} has two initializers of the name "${one.name}" in graph "${proto.name}".`,
      );
    }
    initializers.set(one.name, readTensor(one, one.name, reader));
  }
  return {
    name: proto.name,
    nodes: node.map((one) => decodeNode(one, reader)),
    initializers,
    inputs: input.map(decodeValueInfo),
    outputs: output.map(decodeValueInfo),
    valueInfo: new Map(valueInfo.map((one) => [one.name, decodeValueInfo(one)])),
    rest: proto,
  };
}

function decodeNode(proto: NodeProto, reader: Reader): Node {
  const { input, output, attribute } = proto;
  Object.assign(proto, { input: [], output: [], attribute: [] });
  const attributes = new Map<string, Attribute>();
  for (const one of attribute) {
    if (attributes.has(one.name)) {
      throw new InputError(
        `${reader.name}: node "${proto.name || output[0]}" has the attribute "${one.name}" twice.`,
      );
    }
    attributes.set(one.name, decodeAttribute(one, `${proto.name || output[0]}.${one.name}`, reader));
  }
  return {
    name: proto.name,
    opType: proto.opType,
    domain: proto.domain === 'ai.onnx' ? '' : proto.domain,
    inputs: input,
    outputs: output,
    attributes,
    rest: proto,
  };
}

function decodeAttribute(proto: AttributeProto, label: string, reader: Reader): Attribute {
  const rest = proto;
  if (proto.refAttrName) return { kind: 'other', value: undefined, rest };
  switch (proto.type || presentType(proto)) {
    case AttributeType.INT:
      return { kind: 'int', value: proto.i, rest };
    case AttributeType.FLOAT:
      return { kind: 'float', value: proto.f, rest };
    case AttributeType.STRING:
      return { kind: 'string', value: proto.s, rest };
    case AttributeType.INTS:
      return { kind: 'ints', value: proto.ints, rest };
    case AttributeType.FLOATS:
      return { kind: 'floats', value: proto.floats, rest };
    case AttributeType.STRINGS:
      return { kind: 'strings', value: proto.strings, rest };
    case AttributeType.TENSOR:
      if (!proto.t) break;
      return { kind: 'tensor', value: readTensor(proto.t, label, reader), rest };
    case AttributeType.GRAPH:
      if (!proto.g) break;
      return { kind: 'graph', value: decodeGraph(proto.g, reader), rest };
    case AttributeType.GRAPHS:
      return { kind: 'graphs', value: proto.graphs.map((graph) => decodeGraph(graph, reader)), rest };
    default:
      return { kind: 'other', value: undefined, rest };
  }
  throw new InputError(`${reader.name}: the attribute "${label}" has no value.`);
}

/** The type of an attribute that does not state it, as files of the first IR versions do not. */
function presentType(proto: AttributeProto): AttributeType {
  if (Object.hasOwn(proto, 'i')) return AttributeType.INT;
  if (Object.hasOwn(proto, 'f')) return AttributeType.FLOAT;
  if (Object.hasOwn(proto, 's')) return AttributeType.STRING;
  if (proto.t) return AttributeType.TENSOR;
  if (proto.g) return AttributeType.GRAPH;
  if (proto.ints.length > 0) return AttributeType.INTS;
  if (proto.floats.length > 0) return AttributeType.FLOATS;
  if (proto.strings.length > 0) return AttributeType.STRINGS;
  if (proto.graphs.length > 0) return AttributeType.GRAPHS;
  return AttributeType.UNDEFINED;
}

/** The type and shape of a value; what is not a tensor has neither. */
export function decodeValueInfo(proto: ValueInfoProto): ValueInfo {
  const { name } = proto;
  if (proto.type?.value.case !== 'tensorType') return { name, rest: proto };
  const { elemType, shape } = proto.type.value.value;
  const type = elementOf(elemType);
  return {
    name,
    ...(type && { type }),
    ...(shape && { shape: shape.dim.map(decodeDim) }),
    rest: proto,
  };
}

function decodeDim({ value }: TensorShapeProto_Dimension): Dim {
  // Some exporters write -1 or '' for a dimension that they do not know.
  if (value.case === 'dimValue') return value.value >= 0n ? Number(value.value) : undefined;
  return value.case === 'dimParam' && value.value !== '' ? value.value : undefined;
}

function decodeFunction(proto: FunctionProto, reader: Reader): FunctionDefinition {
  const { node } = proto;
  proto.node = [];
  return {
    domain: proto.domain,
    name: proto.name,
    overload: proto.overload,
    inputs: proto.input,
    outputs: proto.output,
    attributes: proto.attribute,
    nodes: node.map((one) => decodeNode(one, reader)),
    opsets: decodeOpsets(proto.opsetImport, reader.name),
    rest: proto,
  };
}
