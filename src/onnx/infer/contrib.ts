/**
 * Rules of ONNX Runtime's own operators (domain com.microsoft) that its optimizers write.
 * @module
 */
import { intAttribute, intsAttribute } from '../walk.ts';
import { likeFirst, matmulShape } from './compute.ts';
import { add, divide, type Expression, multiply } from './expression.ts';
import type { Known, Rule, Shape } from './known.ts';

type Item = Expression | undefined;

const through = (f: (a: Expression, b: Expression) => Item, a: Item, b: Item): Item =>
  a === undefined || b === undefined ? undefined : f(a, b);

/** Packed weights [in, q + k + v]: the output is as wide as V, a third unless `qkv_hidden_sizes` says otherwise. */
const attention: Rule = (node, inputs) => {
  const [data, weights, bias, , past] = inputs;
  const { type } = data;
  const heads = intAttribute(node, 'num_heads', 1);
  const packed = weights.shape?.[1] ?? bias?.shape?.[0];
  const width: Item =
    intsAttribute(node, 'qkv_hidden_sizes')?.[2] ?? (packed === undefined ? undefined : divide(packed, 3));
  const [batch, length] = data.shape ?? [undefined, undefined];
  const before: Item = node.inputs[4] ? past?.shape?.[3] : 0;
  const present = [2, batch, heads, through(add, before, length), through(divide, width, heads)];
  return [
    { type, shape: [batch, length, width] },
    { type, shape: present },
  ].slice(0, node.outputs.length);
};

/** Q [b, s, h·d]; K and V [b, t, …] or [b, h, t, d]; outputs as wide as V. */
const multiHeadAttention: Rule = (node, inputs) => {
  const [q, k, v] = inputs;
  const { type } = q;
  if (q.shape?.length !== 3) return node.outputs.map(() => ({ type }));
  const heads = intAttribute(node, 'num_heads', 1);
  const [batch, length] = q.shape;
  const crossing = v?.shape?.length === 4;
  const width = crossing ? through(multiply, v.shape?.[3], heads) : v?.shape ? v.shape[2] : q.shape[2];
  const current = crossing ? k.shape?.[2] : k.shape?.[1];
  const before: Item = node.inputs[6] ? inputs[6].shape?.[2] : 0;
  const total = through(add, before, current);
  const present = (dim: Item): Known => ({ type, shape: [batch, heads, total, through(divide, dim, heads)] });
  return [{ type, shape: [batch, length, width] }, present(q.shape[2]), present(width)].slice(
    0,
    node.outputs.length,
  );
};

/** Q [b, s, h·d], or Q, K and V packed in it; the cache [b, kv, t, d]. */
const groupQueryAttention: Rule = (node, inputs) => {
  const [q, k, , pastKey] = inputs;
  const { type, shape } = q;
  const heads = intAttribute(node, 'num_heads', 1);
  const kvHeads = intAttribute(node, 'kv_num_heads', 1);
  if (!shape) return node.outputs.map(() => ({ type }));
  const packed = !node.inputs[1];
  const headDim = packed
    ? through(divide, shape[2], heads + 2 * kvHeads)
    : through(divide, k.shape?.[2], kvHeads);
  const width = packed ? through(multiply, headDim, heads) : shape[2];
  const before: Item = node.inputs[3] ? pastKey?.shape?.[2] : 0;
  const cache = { type, shape: [shape[0], kvHeads, through(add, before, shape[1]), headDim] };
  return [{ type, shape: [shape[0], shape[1], width] }, cache, cache].slice(0, node.outputs.length);
};

/** Outputs: normalized, mean, inverse deviation, and the sum before the normalization. */
const skipNormalization: Rule = (node, [data]) => {
  const { type, shape } = data;
  const statistics = shape && [...shape.slice(0, -1), 1];
  return node.outputs.map((_, i) =>
    i === 0 || i === 3 ? { type, shape } : { type: 'float32', shape: statistics },
  );
};

const embedLayerNormalization: Rule = (node, inputs) => {
  const [ids, , words] = inputs;
  const shape: Shape = [...(ids.shape ?? [undefined, undefined]), words?.shape?.[1]];
  const outputs: Known[] = [
    { type: words?.type, shape },
    { type: 'int32', shape: [ids.shape?.[0]] },
    { type: words?.type, shape },
  ];
  return outputs.slice(0, node.outputs.length);
};

const fusedMatMul: Rule = (node, [a, b]) => {
  const swapped = (shape: Shape | undefined, transposed: boolean) =>
    shape && transposed && shape.length > 1
      ? [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]]
      : shape;
  const left = swapped(a.shape, intAttribute(node, 'transA', 0) === 1);
  const right = swapped(b.shape, intAttribute(node, 'transB', 0) === 1);
  return [{ type: a.type, shape: matmulShape(left, right) }];
};

/** Quantized weights, N and K in attributes. */
const matMulNBits: Rule = (node, [data]) => [
  { type: data.type, shape: data.shape && [...data.shape.slice(0, -1), intAttribute(node, 'N')] },
];

/** Relative positions' biases: [1, heads, queries, keys], from a table [buckets, heads]. */
const relativePositionBias: Rule = (_node, [table, queries, keys]) => [
  { type: table.type, shape: [1, table.shape?.[1], queries.value?.items[0], keys.value?.items[0]] },
];

/** Fused Gemm and activation: as Gemm. */
const gemmActivation: Rule = (node, [a, b]) => [
  {
    type: a.type,
    shape: [
      a.shape?.[intAttribute(node, 'transA', 0) ? 1 : 0],
      b.shape?.[intAttribute(node, 'transB', 0) ? 0 : 1],
    ],
  },
];

/** GatedLinear's packed halves: the last axis is halved. */
const biasSplitGelu: Rule = (_node, [data]) => [
  {
    type: data.type,
    shape: data.shape && [...data.shape.slice(0, -1), through(divide, data.shape.at(-1), 2)],
  },
];

export const contribRules = {
  Attention: attention,
  BiasGelu: likeFirst,
  BiasSoftmax: likeFirst,
  BiasSplitGelu: biasSplitGelu,
  EmbedLayerNormalization: embedLayerNormalization,
  FastGelu: likeFirst,
  FusedGemm: gemmActivation,
  FusedMatMul: fusedMatMul,
  Gelu: likeFirst,
  GemmFastGelu: gemmActivation,
  GroupQueryAttention: groupQueryAttention,
  Inverse: likeFirst,
  MatMulNBits: matMulNBits,
  MultiHeadAttention: multiHeadAttention,
  QuickGelu: likeFirst,
  RelativePositionBias: relativePositionBias,
  RotaryEmbedding: likeFirst,
  SimplifiedLayerNormalization: skipNormalization,
  SkipLayerNormalization: skipNormalization,
  SkipSimplifiedLayerNormalization: skipNormalization,
} as const satisfies Record<string, Rule>;
