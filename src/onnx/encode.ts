/**
 * `Model` → protobuf. What was opened and not changed comes out byte for byte as it was.
 *
 * A protobuf scalar may be absent or be written with its default value; exporters differ. So what the opened message
 * already says is left as it says it.
 * @module
 */
import { create, type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { InputError } from '../errors.ts';
import { codeOf } from './elements.ts';
import { decodeOpsets, decodeValueInfo, type ModelRest } from './load.ts';
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
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type FunctionProto,
  FunctionProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  type TensorShapeProto_Dimension,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './proto/onnx_pb.js';
import { encodeTensor } from './stored.ts';

/** How a stored tensor becomes a message: in the model file itself, or as a reference to another file. */
export type TensorEncoder = (stored: StoredTensor, name: string | undefined) => TensorProto;

/**
 * The bytes of a model that stands alone: external data is read and put inside.
 * @throws InputError when that exceeds protobuf's 2 GiB; save such a model with `saveModel`.
 */
export function encodeModel(model: Model): Uint8Array {
  return encodeWith(model, encodeTensor);
}

/** The bytes of a model whose tensors are encoded by `tensor`. */
export function encodeWith(model: Model, tensor: TensorEncoder): Uint8Array {
  const rest = (model.rest as ModelRest | undefined)?.proto;
  const proto = derived(ModelProtoSchema, rest);
  put(proto, 'irVersion', BigInt(model.irVersion), rest);
  if (!rest || !sameEntries(decodeOpsets(rest.opsetImport, 'the model'), model.opsets)) {
    proto.opsetImport = encodeOpsets(model.opsets);
  }
  if (
    !rest ||
    !sameEntries(new Map(rest.metadataProps.map(({ key, value }) => [key, value])), model.metadata)
  ) {
    proto.metadataProps = [...model.metadata].map(([key, value]) => ({
      $typeName: 'onnx.StringStringEntryProto' as const,
      key,
      value,
    }));
  }
  proto.graph = encodeGraph(model.graph, tensor);
  proto.functions = model.functions.map((definition) => encodeFunction(definition, tensor));
  const bytes = toBinary(ModelProtoSchema, proto);
  if (bytes.length > 2 ** 31 - 1) {
    throw new InputError(
      `the model has ${bytes.length} bytes, but protobuf ends at 2 GiB; save it with external data.`,
    );
  }
  return bytes;
}

function encodeGraph(graph: Graph, tensor: TensorEncoder): GraphProto {
  const rest = graph.rest as GraphProto | undefined;
  const proto = derived(GraphProtoSchema, rest);
  put(proto, 'name', graph.name, rest);
  proto.node = graph.nodes.map((node) => encodeNode(node, tensor));
  proto.initializer = Array.from(graph.initializers, ([name, stored]) => tensor(stored, name));
  proto.input = graph.inputs.map(encodeValueInfo);
  proto.output = graph.outputs.map(encodeValueInfo);
  const valueInfo = new Map(Array.from(graph.valueInfo, ([name, info]) => [name, encodeValueInfo(info)]));
  // The opened list may hold entries twice: it stays while it says the same.
  const opened = rest && new Map(rest.valueInfo.map((info) => [info.name, info]));
  if (!opened || !sameEntries(opened, valueInfo)) proto.valueInfo = [...valueInfo.values()];
  return proto;
}

function encodeNode(node: Node, tensor: TensorEncoder): NodeProto {
  const rest = node.rest as NodeProto | undefined;
  const proto = derived(NodeProtoSchema, rest);
  proto.input = node.inputs;
  proto.output = node.outputs;
  put(proto, 'name', node.name, rest);
  put(proto, 'opType', node.opType, rest);
  // A file may write the default domain in full.
  if (node.domain !== '' || rest?.domain !== 'ai.onnx') put(proto, 'domain', node.domain, rest);
  proto.attribute = Array.from(node.attributes, ([name, attribute]) =>
    encodeAttribute(name, attribute, tensor),
  );
  return proto;
}

function encodeAttribute(name: string, attribute: Attribute, tensor: TensorEncoder): AttributeProto {
  const rest = attribute.rest as AttributeProto | undefined;
  const proto = derived(AttributeProtoSchema, rest);
  put(proto, 'name', name, rest);
  const type = (code: AttributeType) => {
    if (!rest) proto.type = code;
  };
  switch (attribute.kind) {
    case 'int':
      put(proto, 'i', attribute.value, rest);
      type(AttributeType.INT);
      break;
    case 'float':
      put(proto, 'f', attribute.value, rest);
      type(AttributeType.FLOAT);
      break;
    case 'string':
      if (attribute.value.length > 0 || !rest || Object.hasOwn(rest, 's')) proto.s = attribute.value;
      type(AttributeType.STRING);
      break;
    case 'ints':
      proto.ints = [...attribute.value];
      type(AttributeType.INTS);
      break;
    case 'floats':
      proto.floats = [...attribute.value];
      type(AttributeType.FLOATS);
      break;
    case 'strings':
      proto.strings = [...attribute.value];
      type(AttributeType.STRINGS);
      break;
    case 'tensor':
      proto.t = tensor(attribute.value, undefined);
      type(AttributeType.TENSOR);
      break;
    case 'graph':
      proto.g = encodeGraph(attribute.value, tensor);
      type(AttributeType.GRAPH);
      break;
    case 'graphs':
      proto.graphs = attribute.value.map((graph) => encodeGraph(graph, tensor));
      type(AttributeType.GRAPHS);
      break;
    case 'other':
      break;
  }
  return proto;
}

function encodeFunction(definition: FunctionDefinition, tensor: TensorEncoder): FunctionProto {
  const rest = definition.rest as FunctionProto | undefined;
  const proto = derived(FunctionProtoSchema, rest);
  put(proto, 'domain', definition.domain, rest);
  put(proto, 'name', definition.name, rest);
  put(proto, 'overload', definition.overload, rest);
  proto.input = [...definition.inputs];
  proto.output = [...definition.outputs];
  proto.attribute = [...definition.attributes];
  proto.node = definition.nodes.map((node) => encodeNode(node, tensor));
  if (!rest || !sameEntries(decodeOpsets(rest.opsetImport, definition.name), definition.opsets)) {
    proto.opsetImport = encodeOpsets(definition.opsets);
  }
  return proto;
}

function encodeOpsets(opsets: ReadonlyMap<string, number>) {
  return Array.from(opsets, ([domain, version]) => ({
    $typeName: 'onnx.OperatorSetIdProto' as const,
    domain,
    version: BigInt(version),
  }));
}

function encodeValueInfo(info: ValueInfo): ValueInfoProto {
  const rest = info.rest as ValueInfoProto | undefined;
  const before = rest && decodeValueInfo(rest);
  if (before && sameInfo(before, info)) return rest;
  const proto = derived(ValueInfoProtoSchema, rest);
  put(proto, 'name', info.name, rest);
  if (before && sameInfo({ ...before, name: info.name }, info)) return proto;
  if (info.type === undefined) {
    proto.type = undefined;
    return proto;
  }
  // Whatever else the opened type says (a denotation) stays.
  const type = derived(TypeProtoSchema, rest?.type);
  const tensorType = create(TypeProto_TensorSchema);
  tensorType.elemType = codeOf(info.type);
  if (info.shape) {
    const shape = create(TensorShapeProtoSchema);
    shape.dim = info.shape.map(encodeDim);
    tensorType.shape = shape;
  }
  type.value = { case: 'tensorType', value: tensorType };
  proto.type = type;
  return proto;
}

function encodeDim(dim: Dim): TensorShapeProto_Dimension {
  const proto = create(TensorShapeProto_DimensionSchema);
  if (typeof dim === 'number') proto.value = { case: 'dimValue', value: BigInt(dim) };
  if (typeof dim === 'string') proto.value = { case: 'dimParam', value: dim };
  return proto;
}

/** A new message with the fields of an opened one, which stays as it is. */
function derived<Desc extends DescMessage>(
  schema: Desc,
  rest: MessageShape<Desc> | undefined,
): MessageShape<Desc> {
  const message = create(schema);
  return rest ? Object.assign(message, rest) : message;
}

/** Sets a scalar. One that an opened message already reads as, though it may be absent there, is left alone. */
function put<M extends object, K extends keyof M>(
  message: M,
  field: K,
  value: M[K],
  rest: M | undefined,
): void {
  if (rest ? Object.is(rest[field], value) : value === '') return;
  message[field] = value;
}

function sameEntries<V>(a: ReadonlyMap<string, V>, b: ReadonlyMap<string, V>): boolean {
  if (a.size !== b.size) return false;
  const others = b.entries();
  for (const [key, value] of a) {
    const [otherKey, otherValue] = others.next().value as [string, V];
    if (key !== otherKey || value !== otherValue) return false;
  }
  return true;
}

function sameInfo(a: ValueInfo, b: ValueInfo): boolean {
  return a.name === b.name && a.type === b.type && sameShape(a.shape, b.shape);
}

function sameShape(a: readonly Dim[] | undefined, b: readonly Dim[] | undefined): boolean {
  if (!a || !b) return a === b;
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}
