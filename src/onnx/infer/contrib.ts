/**
 * Rules of ONNX Runtime's own operators (domain com.microsoft) that its optimizers write.
 * @module
 */
import { intAttribute, intsAttribute } from '../walk.ts';
import { matmulShape } from './compute.ts';
import { likeFirst } from './elementwise.ts';
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

/**
 * Q [b, s, h·d]; K and V [b, t, …] or [b, h, t, d]; outputs as wide as V. Or packed within each head: all in
 * Q [b, s, h, 3, d], or V in K [b, t, h, 2, d].
 */
const multiHeadAttention: Rule = (node, inputs) => {
  const [q, k, v] = inputs;
  const { type } = q;
  const heads = intAttribute(node, 'num_heads', 1);
  const isPacked = q.shape?.length === 5;
  const values = isPacked ? q.shape : node.inputs[2] ? v.shape : k.shape;
  if (!q.shape || !values) return node.outputs.map(() => ({ type }));
  const [batch, length] = q.shape;
  const keyWidth = isPacked ? q.shape[4] : through(divide, q.shape[2], heads);
  const valueWidth = values.length === 3 ? through(divide, values[2], heads) : values.at(-1);
  const current = values[values.length === 4 ? 2 : 1];
  const before: Item = node.inputs[6] ? inputs[6].shape?.[2] : 0;
  const total = through(add, before, current);
  const present = (width: Item): Known => ({ type, shape: [batch, heads, total, width] });
  const result: Known = { type, shape: [batch, length, through(multiply, valueWidth, heads)] };
  return [result, present(keyWidth), present(valueWidth)].slice(0, node.outputs.length);
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

/** Either operand with its last two axes exchanged, or with its rows in front of its batches. */
const fusedMatMul: Rule = (node, [a, b]) => {
  const read = (shape: Shape | undefined, side: 'A' | 'B') => {
    if (!shape || shape.length < 2) return shape;
    const dims = [...shape];
    const rows = shape.length - 2;
    if (intAttribute(node, `transBatch${side}`, 0) === 1) dims.splice(rows, 0, ...dims.splice(0, 1));
    if (intAttribute(node, `trans${side}`, 0) === 1) dims.push(...dims.splice(rows, 1));
    return dims;
  };
  return [{ type: a.type, shape: matmulShape(read(a.shape, 'A'), read(b.shape, 'B')) }];
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

/** Weighed relative positions: [b, heads, queries, keys] of the positions' biases, by queries [b, s, h·d]. */
const gatedRelativePositionBias: Rule = (node, [query, , bias]) => [
  {
    type: query.type,
    shape: [query.shape?.[0], intAttribute(node, 'num_heads', 1), bias.shape?.[2], bias.shape?.[3]],
  },
];

/** Weights quantized in a matrix: […, in] × [in, out]. */
const quantizedMatMul: Rule = (_node, [a, b]) => [{ type: 'float32', shape: matmulShape(a.shape, b.shape) }];

/** GatedLinear's packed halves: the last axis is halved. */
const biasSplitGelu: Rule = (_node, [data]) => [
  {
    type: data.type,
    shape: data.shape && [...data.shape.slice(0, -1), through(divide, data.shape.at(-1), 2)],
  },
];

export const contribRules = {
  Attention: attention,
  BiasAdd: likeFirst,
  BiasGelu: likeFirst,
  BiasSoftmax: likeFirst,
  BiasSplitGelu: biasSplitGelu,
  DynamicQuantizeMatMul: quantizedMatMul,
  EmbedLayerNormalization: embedLayerNormalization,
  FastGelu: likeFirst,
  FusedGemm: gemmActivation,
  FusedMatMul: fusedMatMul,
  GatedRelativePositionBias: gatedRelativePositionBias,
  Gelu: likeFirst,
  GemmFastGelu: fusedMatMul,
  GroupQueryAttention: groupQueryAttention,
  Inverse: likeFirst,
  MatMulIntegerToFloat: quantizedMatMul,
  MatMulNBits: matMulNBits,
  MultiHeadAttention: multiHeadAttention,
  QuickGelu: likeFirst,
  RelativePositionBias: relativePositionBias,
  RotaryEmbedding: likeFirst,
  SimplifiedLayerNormalization: skipNormalization,
  SkipLayerNormalization: skipNormalization,
  SkipSimplifiedLayerNormalization: skipNormalization,
  TransposeMatMul: fusedMatMul,
} as const satisfies Record<string, Rule>;
