/**
 * Mutants by fields: any field of any message of a decoded model, set to what an exporter's mistake or an attacker
 * would write there.
 */
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  FunctionProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from '../../src/onnx/proto/onnx_pb.js';
import { integer, type Random } from '../../src/tensor/random.ts';
import { pick } from './bytes.ts';

type Fields = Record<string, unknown>;
interface Place {
  readonly message: Message & Fields;
  readonly desc: DescMessage;
}

/** Numbers that end ranges, or that shapes and axes trip over. */
const integers = [
  -1n,
  0n,
  1n,
  2n,
  3n,
  4n,
  7n,
  48n,
  64n,
  255n,
  1000n,
  65536n,
  2n ** 20n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 40n,
  2n ** 53n,
  2n ** 63n - 1n,
  -2n,
  -3n,
  -(2n ** 31n),
  -(2n ** 63n),
] as const;
const floats = [
  0,
  -0,
  1,
  -1,
  0.5,
  1e-38,
  3e38,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
];
const strings = [
  '',
  'x',
  '../secret',
  '/etc/passwd',
  'a\0b',
  '__proto__',
  'constructor',
  'toString',
  'ai.onnx',
  'com.microsoft',
  'ai.onnx.ml',
  'evil.lib',
  'batch',
  'a + b',
  'x'.repeat(300),
  'x'.repeat(5000),
  'é\u202e\u001b[2J',
  '...',
  'ij,jk->ik',
  '-1',
  '0',
  '4096',
  '99999999999999999999',
] as const;
const operators = (
  'MatMul Gemm Einsum Conv Add Mul Sub Div Pow Where Equal Softmax LayerNormalization RMSNormalization Reshape Transpose ' +
  'Split Slice Gather GatherND GatherElements ScatterND Concat Expand Tile Squeeze Unsqueeze Flatten Pad Range Shape Size ' +
  'ConstantOfShape Constant Cast Identity ReduceMean ReduceSum ReduceProd ArgMax Trilu CumSum If Loop Scan Attention ' +
  'RotaryEmbedding MultiHeadAttention GroupQueryAttention SkipLayerNormalization BiasGelu FusedMatMul EmbedLayerNormalization ' +
  'Dropout OneHot TopK NonZero Clip Relu Erf Tanh Sqrt RandomNormal DequantizeLinear MatMulNBits NoSuchOperator constructor'
).split(' ');

/** Every message in a model, outermost first. */
function places(message: Message, desc: DescMessage): Place[] {
  const found: Place[] = [{ message: message as Place['message'], desc }];
  for (const field of desc.fields) {
    const inside = contentOf(message as Place['message'], field);
    const inner = field.message;
    if (!inner) continue;
    for (const one of Array.isArray(inside) ? inside : inside ? [inside] : [])
      found.push(...places(one as Message, inner));
  }
  return found;
}

function contentOf(message: Fields, field: DescField): unknown {
  if (!field.oneof) return message[field.localName];
  const one = message[field.oneof.localName] as { case?: string; value?: unknown };
  return one.case === field.localName ? one.value : undefined;
}

function set(message: Fields, field: DescField, value: unknown): void {
  if (field.oneof) message[field.oneof.localName] = { case: field.localName, value };
  else message[field.localName] = value;
}

/** Copies of larger messages, made again and again, would be the fuzzer's own weight. */
const largestCopy = 300_000;

/** The same message again, or an empty one for a large one. Both stay decodable apart. */
function copyOf<T extends Message>(message: T, desc: DescMessage): T {
  const bytes = toBinary(desc, message as never);
  return fromBinary(desc, bytes.length > largestCopy ? new Uint8Array() : bytes, {
    recursionLimit: 1000,
  }) as T;
}

/** One to four changes to a model. */
export function mutateFields(original: Uint8Array, next: Random): Uint8Array {
  const model = fromBinary(ModelProtoSchema, original);
  for (let left = 1 + integer(next, 4); left > 0; left--) {
    if (next() < 0.5) anyField(model, next);
    else pick(aimed, next)(model, next);
  }
  return toBinary(ModelProtoSchema, model);
}

function anyField(model: ModelProto, next: Random): void {
  const all = places(model, ModelProtoSchema);
  // Every kind of message as often as any other, however many of it there are.
  const kinds = [...Map.groupBy(all, ({ desc }) => desc.name).values()];
  const { message, desc } = pick(pick(kinds, next), next);
  const field = pick(desc.fields, next);
  const alike = (of: DescMessage) => all.filter((place) => place.desc === of).map((place) => place.message);
  const scalar = (): unknown => scalarFor(field, all, next);
  if (field.fieldKind === 'list') {
    const list = [...(contentOf(message, field) as unknown[])];
    const fresh = () => {
      if (field.listKind !== 'message') return scalar();
      const others = alike(field.message);
      return others.length > 0 ? copyOf(pick(others, next), field.message) : create(field.message);
    };
    const at = integer(next, Math.max(list.length, 1));
    const changes = [
      () => list.splice(at, 1),
      () => list.push(fresh()),
      () => list.splice(at, 1, fresh()),
      () => list.splice(at, 0, ...(list.length > 0 ? [list[at]] : [])),
      () => list.reverse(),
      () => list.splice(0),
      () => list.push(...Array.from({ length: field.message ? 9 : 70 }, fresh)),
    ];
    pick(changes, next)();
    set(message, field, list);
  } else if (field.fieldKind === 'message') {
    const others = alike(field.message);
    const donor =
      others.length > 0 && next() < 0.8 ? copyOf(pick(others, next), field.message) : create(field.message);
    if (field.oneof) set(message, field, donor);
    else message[field.localName] = next() < 0.3 ? undefined : donor;
  } else set(message, field, scalar());
}

function scalarFor(field: DescField, all: readonly Place[], next: Random): unknown {
  const type = field.fieldKind === 'scalar' || field.fieldKind === 'list' ? field.scalar : undefined;
  switch (type) {
    case ScalarType.STRING: {
      if (field.localName === 'opType') return pick(operators, next);
      if (next() < 0.4) return pick(strings, next);
      // The same word of another message: a name that is taken, a value from elsewhere.
      const { message, desc } = pick(all, next);
      const words = desc.fields.flatMap((other) => {
        const value = contentOf(message, other);
        return (Array.isArray(value) ? value : [value]).filter((word) => typeof word === 'string');
      });
      return words.length > 0 ? pick(words, next) : pick(strings, next);
    }
    case ScalarType.BYTES:
      return Uint8Array.from({ length: pick([0, 1, 4, 7, 8, 64, 1000], next) }, () => integer(next, 256));
    case ScalarType.INT64:
      return pick(integers, next);
    case ScalarType.UINT64:
      return BigInt.asUintN(64, pick(integers, next));
    case ScalarType.FLOAT:
      return Math.fround(pick(floats, next));
    case ScalarType.DOUBLE:
      return pick(floats, next);
    default:
      return field.enum
        ? pick(field.enum.values, next).number
        : Number(BigInt.asIntN(32, pick(integers, next)));
  }
}

type Change = (model: ModelProto, next: Random) => void;

/** A graph of the model with something in it, the outermost as a rule. */
function graphOf(model: ModelProto, next: Random): GraphProto {
  const all = places(model, ModelProtoSchema).filter(({ desc }) => desc === GraphProtoSchema);
  const inner = all
    .map(({ message }) => message as unknown as GraphProto)
    .filter(({ node }) => node.length > 0);
  return next() < 0.7 || inner.length === 0 ? (model.graph as GraphProto) : pick(inner, next);
}

const onNode =
  (change: (node: NodeProto, graph: GraphProto, next: Random) => void): Change =>
  (model, next) => {
    const graph = model.graph && graphOf(model, next);
    if (graph && graph.node.length > 0) change(pick(graph.node, next), graph, next);
  };

const onTensor =
  (change: (tensor: TensorProto, next: Random) => void): Change =>
  (model, next) => {
    const all = places(model, ModelProtoSchema).filter(({ desc }) => desc === TensorProtoSchema);
    if (all.length > 0) change(pick(all, next).message as unknown as TensorProto, next);
  };

const nameIn = (graph: GraphProto, next: Random): string => {
  const outputs = pick(graph.node, next).output;
  return outputs.length > 0 && next() < 0.8
    ? pick(outputs, next)
    : (pick(graph.initializer, next)?.name ?? '');
};

const nested = (graph: GraphProto, depth: number, opType: string): NodeProto => {
  const body = create(GraphProtoSchema, { name: 'body' });
  if (depth > 0) body.node.push(nested(graph, depth - 1, opType));
  const attribute = create(AttributeProtoSchema, {
    name: opType === 'If' ? 'then_branch' : 'body',
    type: AttributeType.GRAPH,
    g: body,
  });
  return create(NodeProtoSchema, {
    opType,
    name: `nest_${depth}`,
    output: [`nest_${depth}`],
    attribute: [attribute],
  });
};

/** What random fields seldom hit. */
const aimed: readonly Change[] = [
  onNode((node, _, next) => {
    node.opType = pick(operators, next);
  }),
  onNode((node, _, next) => {
    node.domain = pick(['', 'ai.onnx', 'com.microsoft', 'ai.onnx.ml', 'evil.lib'], next);
  }),
  onNode((node, graph, next) => {
    if (node.input.length > 0) node.input[integer(next, node.input.length)] = nameIn(graph, next);
  }),
  onNode((node, graph, next) => {
    if (node.output.length > 0) node.output[integer(next, node.output.length)] = nameIn(graph, next);
  }),
  onNode((node, _, next) => {
    node.input.splice(integer(next, node.input.length + 1), 1);
  }),
  onNode((node, _, next) => {
    node.input.splice(integer(next, node.input.length + 1), 0, node.input[0] ?? '');
  }),
  onNode((node, _, next) => {
    node.output.push(...pick([[''], ['more'], ['more', 'again'], node.output], next));
  }),
  onNode((node, _, next) => {
    const attribute = node.attribute.length > 0 ? pick(node.attribute, next) : undefined;
    if (attribute) attribute.type = integer(next, 15);
  }),
  onNode((node, _, next) => {
    const attribute = node.attribute.length > 0 ? pick(node.attribute, next) : undefined;
    if (!attribute) return;
    attribute.i = pick(integers, next);
    attribute.ints = attribute.ints.map(() => pick(integers, next));
  }),
  onNode((node, graph, next) => {
    const donor = pick(graph.node, next);
    for (const one of [...donor.attribute]) node.attribute.push(copyOf(one, AttributeProtoSchema));
  }),
  onNode((node, _, next) => {
    const name = pick(
      ['axis', 'perm', 'axes', 'split', 'transA', 'transB', 'num_heads', 'start', 'end', 'to'],
      next,
    );
    const ints = Array.from({ length: integer(next, 5) }, () => pick(integers, next));
    const [type, i] = [pick([AttributeType.INT, AttributeType.INTS], next), pick(integers, next)];
    node.attribute = node.attribute.filter((one) => one.name !== name);
    node.attribute.push(create(AttributeProtoSchema, { name, type, i, ints }));
  }),
  onNode((node, graph, next) => {
    const at = graph.node.indexOf(node);
    graph.node.splice(at, 1);
    if (next() < 0.5) graph.node.splice(integer(next, graph.node.length), 0, node);
  }),
  onNode((_, graph, next) => {
    graph.node.push(nested(graph, pick([2, 7, 8, 9, 20, 40], next), pick(['If', 'Loop', 'Scan'], next)));
  }),
  onNode((node, graph) => {
    const body = copyOf(graph, GraphProtoSchema);
    node.attribute.push(create(AttributeProtoSchema, { name: 'body', type: AttributeType.GRAPH, g: body }));
  }),
  onTensor((tensor, next) => {
    if (tensor.dims.length > 0) tensor.dims[integer(next, tensor.dims.length)] = pick(integers, next);
  }),
  onTensor((tensor) => {
    tensor.dims.reverse();
  }),
  onTensor((tensor, next) => {
    // Another shape of the same size: the payload still fits.
    const size = tensor.dims.reduce((product, dim) => product * dim, 1n);
    tensor.dims = pick([[size], [1n, size], [size, 1n], [], [1n, 1n, size], [2n, size / 2n]], next);
  }),
  onTensor((tensor, next) => {
    const words = new BigInt64Array(Math.floor(tensor.rawData.length / 8));
    if (tensor.dataType !== 7 || words.length === 0 || words.length > 64) return;
    // Integers that shapes are made of.
    words.set(Array.from(words, () => pick(integers, next)));
    tensor.rawData = new Uint8Array(words.buffer);
  }),
  onTensor((tensor, next) => {
    tensor.rawData = tensor.rawData.slice(0, integer(next, tensor.rawData.length + 1));
  }),
  onTensor((tensor, next) => {
    tensor.dataType = integer(next, 32);
  }),
  onTensor((tensor, next) => {
    tensor.dataLocation = 1;
    const entry = (key: string, value: string) => create(StringStringEntryProtoSchema, { key, value });
    const location = pick(
      ['model.onnx', 'model.onnx_data', 'model.onnx.data', '../model/model.onnx', '.', ...strings],
      next,
    );
    tensor.externalData = [entry('location', location), entry('offset', pick(strings, next))];
    if (next() < 0.5)
      tensor.externalData.push(entry(pick(['length', 'offset', 'basepath', 'checksum'], next), '4'));
  }),
  (model, next) => {
    for (const one of model.opsetImport)
      one.version = pick([1n, 11n, 12n, 13n, 17n, 18n, 23n, 24n, ...integers], next);
  },
  (model, next) => {
    const graph = model.graph;
    if (!graph || graph.node.length === 0) return;
    const nodes = graph.node.slice(0, 1 + integer(next, 5)).map((one) => copyOf(one, NodeProtoSchema));
    const { input, output } = pick(graph.node, next);
    const [domain, name] = [pick(['local', '', 'com.microsoft'], next), pick(operators, next)];
    if (next() < 0.5) nodes.push(create(NodeProtoSchema, { domain, opType: name, input, output: ['self'] }));
    model.functions.push(create(FunctionProtoSchema, { domain, name, input, output, node: nodes }));
    Object.assign(pick(graph.node, next), { domain, opType: name });
  },
  (model, next) => {
    const infos = [
      ...(model.graph?.input ?? []),
      ...(model.graph?.output ?? []),
      ...(model.graph?.valueInfo ?? []),
    ];
    if (infos.length === 0) return;
    const type = pick(infos, next).type?.value;
    if (type?.case !== 'tensorType') return;
    for (const dim of type.value.shape?.dim ?? []) {
      const number = { case: 'dimValue', value: pick(integers, next) } as const;
      const name = { case: 'dimParam', value: pick(strings, next) } as const;
      dim.value = pick([dim.value, number, number, name], next);
    }
  },
];
