/** Each operator that carries structures: a model that has it is cut as it is masked. */
import { describe, expect, test } from 'vitest';
import { float, type GraphBuilder } from '../../src/onnx/build.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { unfused } from '../reference/unfused.ts';
import { around, heads, holds, type Parts, tokens } from './residual.ts';
import { range } from './running.ts';

const ms = { domain: 'com.microsoft' };

const int32 = (g: GraphBuilder, shape: readonly number[], ...data: number[]) =>
  g.constant(tensor('int32', shape, Int32Array.from(data)));

/** q, k and v, flat: [batch, sequence, count·width] each. */
const flat = ({ g, x, weight }: Parts, ...widths: readonly number[]) =>
  widths.map((width) => g.op('MatMul', [x, weight(8, width)]));

const out = ({ g, weight }: Parts, context: string, width = 12) =>
  g.op('MatMul', [context, weight(width, 8)]);

type Module = (parts: Parts) => string;

/** Four heads of three in [batch, sequence, 12]. */
const multiHead: Readonly<Record<string, Module>> = {
  'queries, keys and values apart, with biases end to end'(parts) {
    const [q, k, v] = flat(parts, 12, 12, 12);
    const inputs = [q, k, v, parts.weight(36)];
    return out(parts, parts.g.op('MultiHeadAttention', inputs, { num_heads: 4, scale: float(0.7) }, ms));
  },
  'values of another width'(parts) {
    const [q, k, v] = flat(parts, 12, 12, 20);
    const made = parts.g.op('MultiHeadAttention', [q, k, v, parts.weight(44)], { num_heads: 4 }, ms);
    return out(parts, made, 20);
  },
  'a mask of keys and a bias of each head'(parts) {
    const [q, k, v] = flat(parts, 12, 12, 12);
    const mask = int32(parts.g, [2, 5], 1, 1, 1, 0, 0, 1, 1, 1, 1, 1);
    const inputs = [q, k, v, '', mask, parts.weight(1, 4, 5, 5)];
    return out(parts, parts.g.op('MultiHeadAttention', inputs, { num_heads: 4 }, ms));
  },
  'a bias that is one for all heads'(parts) {
    const [q, k, v] = flat(parts, 12, 12, 12);
    const inputs = [q, k, v, '', '', parts.weight(1, 1, 5, 5)];
    return out(parts, parts.g.op('MultiHeadAttention', inputs, { num_heads: 4 }, ms));
  },
  'a cache before the keys and values, and one after'(parts) {
    const { g } = parts;
    const [q, k, v, pastKey, pastValue] = flat(parts, 12, 12, 12, 12, 12);
    const past = [pastKey, pastValue].map((one) => heads(g, one, 4));
    const inputs = [q, k, v, parts.weight(36), '', '', ...past];
    const [made, key] = g.ops('MultiHeadAttention', inputs, { num_heads: 4 }, 3, ms);
    // What is cached is read again by the same heads.
    const again = g.op('MultiHeadAttention', [made, key, key], { num_heads: 4 }, ms);
    return out(parts, again);
  },
  'keys and values with their heads as an axis'(parts) {
    const [q, ...kv] = flat(parts, 12, 12, 12);
    const inputs = [q, ...kv.map((one) => heads(parts.g, one, 4))];
    return out(parts, parts.g.op('MultiHeadAttention', inputs, { num_heads: 4 }, ms));
  },
  'all packed within each head'(parts) {
    const { g } = parts;
    const [qkv] = flat(parts, 36);
    const packed = g.op('Reshape', [qkv, g.ints(0, 0, 4, 3, 3)]);
    return out(parts, g.op('MultiHeadAttention', [packed], { num_heads: 4 }, ms));
  },
  'keys and values packed within each head'(parts) {
    const { g } = parts;
    const [q, kv] = flat(parts, 12, 24);
    const packed = g.op('Reshape', [kv, g.ints(0, 0, 4, 2, 3)]);
    return out(parts, g.op('MultiHeadAttention', [q, packed, '', parts.weight(36)], { num_heads: 4 }, ms));
  },
  'one matrix for queries, keys and values'(parts) {
    const { g, x, weight } = parts;
    return out(
      parts,
      g.op('Attention', [x, weight(8, 36), weight(36)], { num_heads: 4, unidirectional: 1 }, ms),
    );
  },
  'one matrix, with values of another width, a mask and a bias of each head'(parts) {
    const { g, x, weight } = parts;
    const mask = int32(g, [2, 5], 1, 1, 1, 0, 0, 1, 1, 1, 1, 1);
    const attributes = { num_heads: 4, qkv_hidden_sizes: [12, 12, 20] };
    const inputs = [x, weight(8, 44), weight(44), mask, '', weight(2, 4, 5, 5)];
    return out(parts, g.op('Attention', inputs, attributes, ms), 20);
  },
  'one matrix, and a cache'(parts) {
    const { g, x, weight } = parts;
    const kv = flat(parts, 12, 12).map((one) => g.op('Unsqueeze', [heads(g, one, 4), g.ints(0)]));
    const inputs = [x, weight(8, 36), weight(36), '', g.op('Concat', kv, { axis: 0 })];
    const [made] = g.ops('Attention', inputs, { num_heads: 4 }, 2, ms);
    return out(parts, made);
  },
  'rotated, counted by an attribute'(parts) {
    const { g, weight } = parts;
    const [q, k, v] = flat(parts, 16, 16, 16);
    const positions = g.constant(tokens([2, 5], (i) => i % 5));
    const turned = [q, k].map((one) =>
      g.op('RotaryEmbedding', [one, positions, weight(6, 2), weight(6, 2)], { num_heads: 4 }, ms),
    );
    return out(parts, g.op('MultiHeadAttention', [...turned, v], { num_heads: 4 }, ms), 16);
  },
  'rotated, counted by the cache'(parts) {
    const { g, weight } = parts;
    const [q, k, v] = flat(parts, 16, 16, 16);
    const positions = g.constant(tokens([2, 5], (i) => i % 5));
    const turned = [q, k].map((one) =>
      g.op('RotaryEmbedding', [one, positions, weight(6, 2), weight(6, 2)], { interleaved: 1 }, ms),
    );
    return out(parts, g.op('MultiHeadAttention', [...turned, v], { num_heads: 4 }, ms), 16);
  },
  'a table of relative positions'(parts) {
    const { g, weight } = parts;
    const [q, k, v] = flat(parts, 12, 12, 12);
    const length = g.constant(tokens([1], () => 5));
    const bias = g.op('RelativePositionBias', [weight(7, 4), length, length], { max_distance: 9 }, ms);
    return out(parts, g.op('MultiHeadAttention', [q, k, v, '', '', bias], { num_heads: 4 }, ms));
  },
  'relative positions, gated by the query'(parts) {
    const { g, weight } = parts;
    const [q, k, v] = flat(parts, 12, 12, 12);
    const gates = [q, weight(12), weight(1, 4, 5, 5), weight(3, 8), weight(8), weight(1, 4, 1, 1)];
    const bias = g.op('GatedRelativePositionBias', gates, { num_heads: 4 }, ms);
    return out(parts, g.op('MultiHeadAttention', [q, k, v, weight(36), '', bias], { num_heads: 4 }, ms));
  },
  'by Einsum'(parts) {
    const { g, x, weight } = parts;
    const [q, k, v] = range(3).map(() => {
      const made = g.op('Einsum', [x, weight(8, 12)], { equation: 'bsd,de->bse' });
      return g.op('Reshape', [made, g.ints(0, 0, 4, 3)]);
    });
    const scores = g.op('Softmax', [g.op('Einsum', [q, k], { equation: 'bind, bjnd -> bnij' })], {
      axis: -1,
    });
    const context = g.op('Einsum', [scores, v], { equation: 'bnij,bjnd->bind' });
    return out(parts, g.op('Reshape', [context, g.ints(0, 0, -1)]));
  },
  'by products with transposes of their own'(parts) {
    const { g, x, weight } = parts;
    const transposed = () => g.op('FusedMatMul', [x, weight(12, 8)], { transB: 1 }, ms);
    const [q, k, v] = range(3).map(() => heads(g, transposed(), 4));
    const scores = g.op('FusedMatMul', [q, k], { transB: 1, alpha: float(0.5) }, ms);
    const context = g.op('MatMul', [
      g.op('BiasSoftmax', [scores, weight(1, 4, 5, 5)], softmaxAttributes, ms),
      v,
    ]);
    const merged = g.op('Reshape', [g.op('Transpose', [context], { perm: [0, 2, 1, 3] }), g.ints(0, 0, 12)]);
    return g.op('FusedMatMul', [merged, weight(8, 12)], { transB: 1, alpha: float(2) }, ms);
  },
  'by products that take the rows from in front of the heads'(parts) {
    const { g, weight } = parts;
    // [sequence, batch, heads, width]: what is in front goes between batches and columns.
    const [q, k, v] = flat(parts, 12, 12, 12).map((one) =>
      g.op('Transpose', [g.op('Reshape', [one, g.ints(0, 0, 4, 3)])], { perm: [1, 0, 2, 3] }),
    );
    const scores = g.op('FusedMatMul', [q, k], { transBatchA: 1, transBatchB: 1, transB: 1 }, ms);
    const context = g.op('FusedMatMul', [g.op('Softmax', [scores], { axis: -1 }), v], { transBatchB: 1 }, ms);
    const merged = g.op('Reshape', [g.op('Transpose', [context], { perm: [0, 2, 1, 3] }), g.ints(0, 0, 12)]);
    return g.op('MatMul', [merged, weight(12, 8)]);
  },
};
const softmaxAttributes = { axis: 3, is_inner_broadcast: 0 };

/** Four query heads of 16 on two key-value heads. */
const grouped: Readonly<Record<string, Module>> = {
  'GroupQueryAttention, apart'(parts) {
    const { g } = parts;
    const inputs = [...flat(parts, 64, 32, 32), '', '', ...lengths(g, 5)];
    const [made] = g.ops('GroupQueryAttention', inputs, { num_heads: 4, kv_num_heads: 2 }, 3, ms);
    return out(parts, made, 64);
  },
  'GroupQueryAttention, packed, rotated'(parts) {
    const { g, weight } = parts;
    const inputs = [...flat(parts, 128), '', '', '', '', ...lengths(g, 5), weight(8, 8), weight(8, 8)];
    const attributes = { num_heads: 4, kv_num_heads: 2, do_rotary: 1, local_window_size: 3 };
    const [made] = g.ops('GroupQueryAttention', inputs, attributes, 3, ms);
    return out(parts, made, 64);
  },
  'GroupQueryAttention, a bias and a sink of each query head'(parts) {
    const { g, weight } = parts;
    const bias = weight(1, 4, 5, 5);
    const inputs = [...flat(parts, 64, 32, 32), '', '', ...lengths(g, 5), '', '', '', bias, weight(4)];
    const [made] = g.ops('GroupQueryAttention', inputs, { num_heads: 4, kv_num_heads: 2 }, 3, ms);
    return out(parts, made, 64);
  },
  'Attention of ai.onnx, flat, with a bias of each query head'(parts) {
    const inputs = [...flat(parts, 64, 32, 32), parts.weight(4, 5, 5)];
    const attributes = { q_num_heads: 4, kv_num_heads: 2, scale: float(0.3) };
    return out(parts, parts.g.op('Attention', inputs, attributes), 64);
  },
  'Attention of ai.onnx, flat, with a cache'(parts) {
    const { g } = parts;
    const [q, k, v, ...kv] = flat(parts, 64, 32, 32, 32, 32);
    const past = kv.map((one) => heads(g, one, 2, 16));
    const attributes = { q_num_heads: 4, kv_num_heads: 2 };
    const [made, key] = g.ops('Attention', [q, k, v, '', ...past], attributes, 3);
    const merged = g.op('Reshape', [g.op('Transpose', [key], { perm: [0, 2, 1, 3] }), g.ints(0, 0, 32)]);
    const again = g.op('Attention', [made, merged, merged], attributes);
    return out(parts, again, 64);
  },
  'Attention of ai.onnx, heads an axis, rotated'(parts) {
    const { g, weight } = parts;
    const [q, k, v] = flat(parts, 64, 32, 32).map((one, i) => heads(g, one, i === 0 ? 4 : 2, 16));
    const positions = g.constant(tokens([2, 5], (i) => i % 5));
    const caches = [weight(6, 8), weight(6, 8), positions];
    const [turned, key] = [q, k].map((one) => g.op('RotaryEmbedding', [one, ...caches]));
    const made = g.op('Attention', [turned, key, v], { is_causal: 1 });
    return out(
      parts,
      g.op('Reshape', [g.op('Transpose', [made], { perm: [0, 2, 1, 3] }), g.ints(0, 0, 64)]),
      64,
    );
  },
  'Attention of ai.onnx, flat, rotated flat'(parts) {
    const { g, weight } = parts;
    const [q, k, v] = flat(parts, 64, 32, 32);
    const positions = g.constant(tokens([2, 5], (i) => i % 5));
    const caches = [weight(6, 8), weight(6, 8), positions];
    const turned = g.op('RotaryEmbedding', [q, ...caches], { num_heads: 4 });
    const key = g.op('RotaryEmbedding', [k, ...caches], { num_heads: 2 });
    return out(parts, g.op('Attention', [turned, key, v], { q_num_heads: 4, kv_num_heads: 2 }), 64);
  },
  'parts of uneven size, repeated by Tile'(parts) {
    const { g } = parts;
    const [packed] = flat(parts, 128);
    const [q, ...kv] = g.ops('Split', [packed, g.ints(64, 32, 32)], { axis: -1 }, 3);
    const [k, v] = kv.map((one) => {
      const wide = g.op('Tile', [
        g.op('Unsqueeze', [heads(g, one, 2, 16), g.ints(2)]),
        g.ints(1, 1, 2, 1, 1),
      ]);
      return g.op('Reshape', [wide, g.ints(0, 4, -1, 16)]);
    });
    const scores = g.op('MatMul', [heads(g, q, 4, 16), g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const context = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), v]);
    return out(
      parts,
      g.op('Reshape', [g.op('Transpose', [context], { perm: [0, 2, 1, 3] }), g.ints(0, 0, 64)]),
      64,
    );
  },
};

/** The lengths that GroupQueryAttention is given when nothing came before. */
const lengths = (g: GraphBuilder, length: number) => [
  int32(g, [2], length - 1, length - 1),
  int32(g, [], length),
];

describe('heads', () => {
  test.each(Object.keys(multiHead))('%s', async (name) => {
    const { model, feeds } = around(multiHead[name], { layers: 2 });
    const { blocks } = await holds(model, feeds, { runnable: unfused });
    expect(blocks.map(({ kind, structures }) => [kind, structures])).toEqual([
      ['attention', 4],
      ['attention', 4],
    ]);
  });

  test.each(Object.keys(grouped))('%s', async (name) => {
    const { model, feeds } = around(grouped[name], { layers: 2, opset: 23 });
    const { blocks } = await holds(model, feeds);
    expect(blocks.map((block) => [block.structures, block.queryHeadsPerStructure, block.headDim])).toEqual([
      [2, 2, 16],
      [2, 2, 16],
    ]);
  });

  test.each(['MultiHeadAttention', 'Attention', 'RelativePositionBias'])(
    'a bias that all layers read is sliced for each: %s',
    async (form) => {
      let shared: string | undefined;
      const { model, feeds } = around(
        (parts) => {
          const { g, x, weight } = parts;
          const length = g.constant(tokens([1], () => 5));
          const [q, k, v] = flat(parts, 12, 12, 12);
          if (form === 'RelativePositionBias')
            shared ??= g.op(form, [weight(7, 4), length, length], { max_distance: 9 }, ms);
          shared ??= weight(1, 4, 5, 5);
          const made =
            form === 'Attention'
              ? g.op(form, [x, weight(8, 36), weight(36), '', '', shared], { num_heads: 4 }, ms)
              : g.op('MultiHeadAttention', [q, k, v, '', '', shared], { num_heads: 4 }, ms);
          return out(parts, made);
        },
        { layers: 2 },
      );
      const { blocks } = await holds(model, feeds, { runnable: unfused });
      expect(blocks.map(({ structures }) => structures)).toEqual([4, 4]);
    },
  );
});

/** A matrix of int8 read as floats: by one scale, or by one for each slice of an axis. */
function quantized(g: GraphBuilder, shape: readonly [number, number], axis?: 0 | 1): string {
  const values = Int8Array.from({ length: shape[0] * shape[1] }, (_, i) => ((i * 37) % 101) - 50);
  const count = axis === undefined ? [] : [shape[axis]];
  const scales = Float32Array.from({ length: count[0] ?? 1 }, (_, i) => 0.01 + 0.002 * (i % 5));
  const zeros = Int8Array.from(scales, (_, i) => (i % 3) - 1);
  const inputs = [
    tensor('int8', shape, values),
    tensor('float32', count, scales),
    tensor('int8', count, zeros),
  ];
  return g.op(
    'DequantizeLinear',
    inputs.map((one) => g.constant(one)),
    axis === undefined ? {} : { axis },
  );
}

/** Floats that are rounded to int8 and read again. */
function rounded(g: GraphBuilder, x: string, size?: number): string {
  const scales = Float32Array.from({ length: size ?? 1 }, (_, i) => 0.01 + 0.002 * (i % 5));
  const scale = g.constant(tensor('float32', size === undefined ? [] : [size], scales));
  const zeros = g.constant(tensor('int8', size === undefined ? [] : [size], new Int8Array(scales.length)));
  const attributes = size === undefined ? {} : { axis: -1 };
  return g.op(
    'DequantizeLinear',
    [g.op('QuantizeLinear', [x, scale, zeros], attributes), scale, zeros],
    attributes,
  );
}

/** Twelve neurons. */
const neurons: Readonly<Record<string, Module>> = {
  'stored in int8 by one scale'({ g, x, weight }) {
    return g.op('MatMul', [g.op('Relu', [g.op('MatMul', [x, quantized(g, [8, 12])])]), weight(12, 8)]);
  },
  'stored in int8 by a scale of each'({ g, x, weight }) {
    return g.op('MatMul', [g.op('Relu', [g.op('MatMul', [x, quantized(g, [8, 12], 1)])]), weight(12, 8)]);
  },
  'stored in int8 by a scale of each, transposed'({ g, x, weight }) {
    const matrix = g.op('Transpose', [quantized(g, [12, 8], 0)], { perm: [1, 0] });
    return g.op('MatMul', [g.op('Relu', [g.op('MatMul', [x, matrix])]), weight(12, 8)]);
  },
  'rounded to int8 everywhere'({ g, x, weight }) {
    const up = g.op('MatMul', [rounded(g, x), rounded(g, weight(8, 12), 12)]);
    return g.op('MatMul', [rounded(g, g.op('Relu', [up]), 12), rounded(g, weight(12, 8))]);
  },
  'a product, a bias and a function in one'({ g, x, weight }) {
    const rows = g.op('Reshape', [x, g.ints(-1, 8)]);
    const up = g.op('FusedGemm', [rows, weight(12, 8), weight(12)], { activation: 'Relu', transB: 1 }, ms);
    return g.op('Reshape', [g.op('MatMul', [up, weight(12, 8)]), g.op('Shape', [x])]);
  },
  GemmFastGelu({ g, x, weight }) {
    return g.op('MatMul', [g.op('GemmFastGelu', [x, weight(8, 12), weight(12)], {}, ms), weight(12, 8)]);
  },
  BiasGelu({ g, x, weight }) {
    return g.op('MatMul', [
      g.op('BiasGelu', [g.op('MatMul', [x, weight(8, 12)]), weight(12)], {}, ms),
      weight(12, 8),
    ]);
  },
  'FastGelu with a bias'({ g, x, weight }) {
    return g.op('MatMul', [
      g.op('FastGelu', [g.op('MatMul', [x, weight(8, 12)]), weight(12)], {}, ms),
      weight(12, 8),
    ]);
  },
  QuickGelu({ g, x, weight }) {
    return g.op('MatMul', [g.op('QuickGelu', [g.op('MatMul', [x, weight(8, 12)])], {}, ms), weight(12, 8)]);
  },
  'a gate beside, in one operator'({ g, x, weight }) {
    const up = g.op('BiasSplitGelu', [g.op('MatMul', [x, weight(8, 24)]), weight(24)], {}, ms);
    return g.op('MatMul', [up, weight(12, 8)]);
  },
  'a bias and a skip within'({ g, x, weight }) {
    const [one, other] = [weight(8, 12), weight(8, 12)].map((matrix) => g.op('MatMul', [x, matrix]));
    return g.op('MatMul', [g.op('BiasAdd', [one, weight(12), other], {}, ms), weight(12, 8)]);
  },
  'a convolution of each neuron alone, along the tokens'({ g, x, weight }) {
    const up = g.op('Transpose', [g.op('MatMul', [x, weight(8, 12)])], { perm: [0, 2, 1] });
    const mixed = g.op('Conv', [up, weight(12, 1, 3), weight(12)], { group: 12, pads: [1, 1] });
    return g.op('MatMul', [g.op('Transpose', [g.op('Relu', [mixed])], { perm: [0, 2, 1] }), weight(12, 8)]);
  },
  'normalised neuron by neuron'({ g, x, weight }) {
    const up = g.op('Transpose', [g.op('MatMul', [x, weight(8, 12)])], { perm: [0, 2, 1] });
    const variance = g.op('Abs', [weight(12)]);
    const normed = g.op('BatchNormalization', [up, weight(12), weight(12), weight(12), variance]);
    return g.op('MatMul', [g.op('Transpose', [normed], { perm: [0, 2, 1] }), weight(12, 8)]);
  },
  'summed up along the tokens'({ g, x, weight }) {
    const up = g.op('CumSum', [g.op('MatMul', [x, weight(8, 12)]), g.scalar('int64', 1)]);
    return g.op('MatMul', [up, weight(12, 8)]);
  },
  'a residual inside the product that consumes'({ g, x, weight }) {
    const rows = g.op('Reshape', [x, g.ints(-1, 8)]);
    const up = g.op('Relu', [g.op('Gemm', [rows, weight(8, 12)])]);
    return g.op('Reshape', [g.op('Gemm', [up, weight(12, 8), rows]), g.op('Shape', [x])]);
  },
  'padded and sliced along the tokens'({ g, x, weight }) {
    const up = g.op('Pad', [g.op('MatMul', [x, weight(8, 12)]), g.ints(1, 0), '', g.ints(1)]);
    return g.op('MatMul', [g.op('Slice', [up, g.ints(0), g.ints(5), g.ints(1)]), weight(12, 8)]);
  },
};

describe('neurons', () => {
  test.each(Object.keys(neurons))('%s', async (name) => {
    const { model, feeds } = around(neurons[name], { layers: 2 });
    const { blocks } = await holds(model, feeds, { runnable: unfused });
    expect(blocks.map(({ kind, structures }) => [kind, structures])).toEqual([
      ['mlp', 12],
      ['mlp', 12],
    ]);
  });

  test('of a matrix in int8, its scales and zero points are cut too, and nothing stays whole beside it', () => {
    const { model } = around(neurons['stored in int8 by a scale of each']);
    const analysis = analyse(model);
    expect(analysis.blocks[0].producers).toEqual([{ node: 'MatMul', weight: 'constant', axis: 1 }]);
  });
});

describe('what is refused, by node and reason', () => {
  const refusals: Readonly<Record<string, [module: Module, reason: RegExp]>> = {
    'a consuming matrix in int8': [
      ({ g, x, weight }) =>
        g.op('MatMul', [g.op('Relu', [g.op('MatMul', [x, weight(8, 12)])]), quantized(g, [12, 8])]),
      /The axis of 12 that .* reads cannot be cut: "MatMul_1" \(MatMul\) holds its matrix as int8: prune first/,
    ],
    'weights in packs of four bits': [
      ({ g, x, weight }) => {
        const packed = g.constant(tensor('uint8', [12, 1, 8], new Uint8Array(96)));
        const up = g.op('MatMulNBits', [x, packed, weight(12)], { K: 8, N: 12, bits: 4, block_size: 16 }, ms);
        return g.op('MatMul', [up, weight(12, 8)]);
      },
      /^MatMulNBits holds its weights quantized in packs.*: prune first, then quantize, so whatever it reads stays/m,
    ],
    'a scale taken from the data': [
      ({ g, x, weight }) => {
        const up = g.ops('DynamicQuantizeLinear', [g.op('MatMul', [x, weight(8, 12)])], {}, 3);
        return g.op('MatMul', [g.op('DequantizeLinear', up), weight(12, 8)]);
      },
      /\(DynamicQuantizeLinear\) scales by the range of all its values/,
    ],
    'the number of elements': [
      ({ g, x, weight }) => {
        const up = g.op('MatMul', [x, weight(8, 12)]);
        const scale = g.op('Cast', [g.op('Size', [up])], { to: 1 });
        return g.op('MatMul', [g.op('Mul', [up, scale]), weight(12, 8)]);
      },
      /\(Size\) counts its elements/,
    ],
    'neurons that an attention reads by a matrix of its own': [
      ({ g, x, weight }) => {
        const up = g.op('Relu', [g.op('MatMul', [x, weight(8, 12)])]);
        return g.op('Attention', [up, weight(12, 24), weight(24)], { num_heads: 4 }, ms);
      },
      /The axis of 12 that "Attention" .* cannot be cut: "Attention" \(Attention\) multiplies it before it attends/,
    ],
    'a sum along the neurons': [
      ({ g, x, weight }) => {
        const up = g.op('CumSum', [g.op('MatMul', [x, weight(8, 12)]), g.scalar('int64', 2)]);
        return g.op('MatMul', [up, weight(12, 8)]);
      },
      /\(CumSum\) accumulates along it/,
    ],
    'a function after the sum that consumes': [
      ({ g, x, weight }) => {
        const rows = g.op('Reshape', [x, g.ints(-1, 8)]);
        const up = g.op('Relu', [g.op('Gemm', [rows, weight(8, 12)])]);
        const down = g.op('FusedGemm', [up, weight(12, 8), weight(8)], { activation: 'Relu' }, ms);
        return g.op('Reshape', [down, g.op('Shape', [x])]);
      },
      /The axis of 12 that .* cannot be cut: .*\(FusedGemm\) applies a function to what it sums/,
    ],
    'an attention with a cache of its own': [
      (parts) => {
        const [q, k, v] = flat(parts, 12, 12, 12);
        const made = parts.g.op('DecoderMaskedMultiHeadAttention', [q, k, v], { num_heads: 4 }, ms);
        return out(parts, made);
      },
      /^DecoderMaskedMultiHeadAttention is an attention whose cache or layout of tokens is not followed/m,
    ],
    'heads that the operand does not hold': [
      (parts) => {
        const [q, k, v] = flat(parts, 12, 12, 12);
        return out(parts, parts.g.op('MultiHeadAttention', [q, k, v], { num_heads: 5 }, ms));
      },
      /^MultiHeadAttention counts 5 heads in an operand that does not hold them/m,
    ],
    'an axis that is not there': [
      ({ g, x, weight }) => {
        const up = g.op('Softmax', [g.op('MatMul', [x, weight(8, 12)])], { axis: 7 });
        return g.op('MatMul', [up, weight(12, 8)]);
      },
      /^Softmax names an axis that its operand does not have/m,
    ],
    'an equation over two axes at once': [
      ({ g, x, weight }) => {
        const up = g.op('Reshape', [g.op('MatMul', [x, weight(8, 12)]), g.ints(0, 0, 4, 3)]);
        return g.op('Einsum', [up, weight(4, 3, 8)], { equation: 'bsnd,ndh->bsh' });
      },
      /^Einsum sums over several axes of a constant at once/m,
    ],
  };

  test.each(Object.entries(refusals))('%s', (_, [module, reason]) => {
    const { blocks, refused } = analyse(around(module).model);
    expect(blocks).toEqual([]);
    expect(refused.map((one) => one.reason).join('\n')).toMatch(reason);
    for (const { at } of refused) expect(at).not.toBe('');
  });
});
