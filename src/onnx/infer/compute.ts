/**
 * Rules of operators that compute along axes: reductions, products of matrices, windows, normalizations, attention.
 * @module
 */
import type { Node } from '../model.ts';
import { intAttribute, intsAttribute, stringAttribute } from '../walk.ts';
import { both, type Item, likeFirst } from './elementwise.ts';
import { add, divide, multiply } from './expression.ts';
import {
  axesOf,
  axisAttribute,
  axisIn,
  broadcast,
  given,
  type Known,
  type Rule,
  type Shape,
} from './known.ts';

const reduce: Rule = (node, [data, axesInput]) => {
  const { shape, type } = data;
  const keep = intAttribute(node, 'keepdims', 1) === 1;
  const axes = axesOf(node, axesInput, 1);
  if (axes === 'unknown') return [{ type, shape: keep ? shape?.map(() => undefined) : undefined }];
  const every = axes === undefined || axes.length === 0;
  if (every && intAttribute(node, 'noop_with_empty_axes', 0) === 1) return [{ type, shape }];
  if (!shape) return [{ type, shape: every && !keep ? [] : undefined }];
  const gone = new Set(every ? shape.keys() : axes.map((axis) => axisIn(shape.length, axis)));
  const left = keep
    ? shape.map((dim, axis) => (gone.has(axis) ? 1 : dim))
    : shape.filter((_, axis) => !gone.has(axis));
  const items = data.value?.items;
  const product = node.opType === 'ReduceProd' && items?.every((item) => item !== undefined);
  const value = product && left.length === 0 ? { shape: [], items: [items.reduce(multiply, 1)] } : undefined;
  return [{ type, shape: left, value }];
};

const argReduce: Rule = (node, [data]) => {
  if (!data.shape) return [{ type: 'int64' }];
  const axis = axisAttribute(node, data.shape, 0);
  const keep = intAttribute(node, 'keepdims', 1) === 1;
  return [{ type: 'int64', shape: keep ? data.shape.with(axis, 1) : data.shape.toSpliced(axis, 1) }];
};

/** Numpy's matmul over shapes: batch axes broadcast, a vector has no axis of its own in the result. */
export function matmulShape(a: Shape | undefined, b: Shape | undefined): Shape | undefined {
  if (!a?.length || !b?.length) return undefined;
  const batch = broadcast([a.slice(0, -2), b.slice(0, -2)]);
  const rows = a.length > 1 ? [a[a.length - 2]] : [];
  const cols = b.length > 1 ? [b[b.length - 1]] : [];
  return batch && [...batch, ...rows, ...cols];
}

const matmul: Rule = (_node, [a, b]) => [{ type: a.type ?? b.type, shape: matmulShape(a.shape, b.shape) }];

const matmulInteger: Rule = (_node, [a, b]) => [{ type: 'int32', shape: matmulShape(a.shape, b.shape) }];

/** Gemm: [m, n], with either operand transposed. */
const gemm: Rule = (node, [a, b, c]) => {
  const m = a.shape?.[intAttribute(node, 'transA', 0) ? 1 : 0];
  const n = b.shape?.[intAttribute(node, 'transB', 0) ? 0 : 1];
  return [{ type: a.type ?? b.type ?? c?.type, shape: [m, n] }];
};

const einsum: Rule = (node, operands) => {
  const inputs = given(node, operands);
  const { type } = operands[0];
  const [left, right] = stringAttribute(node, 'equation', '').replace(/\s/g, '').split('->');
  const terms = left.split(',');
  if (terms.length !== inputs.length || inputs.some((input) => !input.shape)) return [{ type }];
  const dims = new Map<string, Item>();
  const ellipses: Shape[] = [];
  for (const [i, term] of terms.entries()) {
    const shape = inputs[i].shape ?? [];
    const [before, after] = term.split('...');
    const hidden = shape.length - before.length - (after?.length ?? 0);
    const note = (letter: string, dim: Item) => {
      const known = dims.get(letter);
      if (known === undefined || known === 1) dims.set(letter, dim);
    };
    for (const [axis, letter] of [...before].entries()) note(letter, shape[axis]);
    for (const [axis, letter] of [...(after ?? '')].entries())
      note(letter, shape[before.length + hidden + axis]);
    if (after !== undefined) ellipses.push(shape.slice(before.length, before.length + hidden));
  }
  // Without an arrow: the letters that occur once, in alphabetical order.
  const letters = left.replace(/[^A-Za-z]/g, '');
  const once = [...dims.keys()].filter((letter) => letters.split(letter).length === 2).sort();
  const result = right ?? `${left.includes('...') ? '...' : ''}${once.join('')}`;
  const [before, after] = result.split('...');
  const around = ellipses.length > 0 ? (broadcast(ellipses) ?? []) : [];
  const pick = (text: string) => [...text].map((letter) => dims.get(letter));
  return [{ type, shape: [...pick(before), ...(after === undefined ? [] : around), ...pick(after ?? '')] }];
};

/** Conv and pooling over [n, channels, …space]. */
function windows(channels: (node: Node, inputs: readonly Known[]) => Item): Rule {
  return (node, inputs) => {
    const [data, weights] = inputs;
    const { shape, type } = data;
    const kernel: Shape | undefined = intsAttribute(node, 'kernel_shape') ?? weights?.shape?.slice(2);
    if (!shape || !kernel) return [{ type }];
    const ones = kernel.map(() => 1);
    const strides = intsAttribute(node, 'strides', ones);
    const dilations = intsAttribute(node, 'dilations', ones);
    const pads = intsAttribute(node, 'pads', [...ones, ...ones].fill(0));
    const mode = stringAttribute(node, 'auto_pad', 'NOTSET');
    const ceil = intAttribute(node, 'ceil_mode', 0) === 1;
    const space = shape.slice(2).map((dim, axis) => {
      const width = kernel[axis];
      const stride = strides[axis];
      if (dim === undefined || typeof width !== 'number') return undefined;
      if (mode.startsWith('SAME'))
        return typeof dim === 'number' ? Math.ceil(dim / stride) : stride === 1 ? dim : undefined;
      const padding = mode === 'VALID' ? 0 : pads[axis] + pads[axis + kernel.length];
      const room = add(dim, padding - dilations[axis] * (width - 1) - 1);
      if (typeof room === 'number') return (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
      const steps = stride === 1 ? room : ceil ? undefined : divide(room, stride);
      return steps && add(steps, 1);
    });
    const result: Known = { type, shape: [shape[0], channels(node, inputs), ...space] };
    return node.outputs.map((_, i) => (i === 0 ? result : { type: 'int64', shape: result.shape }));
  };
}

const globalPool: Rule = (_node, [data]) => [
  { type: data.type, shape: data.shape?.map((dim, axis) => (axis < 2 ? dim : 1)) },
];

/** LayerNormalization and RMSNormalization: the statistics have 1 on the normalized axes. */
const normalization: Rule = (node, [data]) => {
  const { shape, type } = data;
  const axis = shape && axisAttribute(node, shape, -1);
  const statistics = shape?.map((dim, at) => (axis !== undefined && at >= axis ? 1 : dim));
  return node.outputs.map((_, i) => (i === 0 ? { type, shape } : { type: 'float32', shape: statistics }));
};

const dropout: Rule = (node, [data]) =>
  node.outputs.map((_, i) => ({ type: i === 0 ? data.type : 'bool', shape: data.shape }));

const dequantize: Rule = (_node, [data, scale]) => [{ type: scale.type, shape: data.shape }];

const quantize: Rule = (_node, [data, , zero]) => [{ type: zero?.type ?? 'uint8', shape: data.shape }];

const dynamicQuantize: Rule = (_node, [data]) => [
  { type: 'uint8', shape: data.shape },
  { type: 'float32', shape: [] },
  { type: 'uint8', shape: [] },
];

const determinant: Rule = (_node, [data]) => [{ type: data.type, shape: data.shape?.slice(0, -2) }];

/** ai.onnx Attention: 4-D [batch, heads, length, width], or 3-D with the head counts in attributes. */
const attention: Rule = (node, inputs) => {
  const [q, k, v, , pastKey] = inputs;
  const { type } = q;
  const queryHeads = intAttribute(node, 'q_num_heads');
  const heads = intAttribute(node, 'kv_num_heads');
  const flat = q.shape?.length === 3;
  if (!q.shape || !k.shape || !v.shape || (flat && (!queryHeads || !heads)))
    return node.outputs.map(() => ({ type }));
  const per = (dim: Item, count: number | undefined) =>
    dim === undefined || !count ? undefined : divide(dim, count);
  const keyWidth = flat ? per(k.shape[2], heads) : k.shape[3];
  const valueWidth = flat ? per(v.shape[2], heads) : v.shape[3];
  const kvHeads: Item = flat ? heads : k.shape[1];
  const current = k.shape[flat ? 1 : 2];
  const past: Item = pastKey?.shape ? pastKey.shape[2] : node.inputs[4] ? undefined : 0;
  const total = both(add)(past, current);
  const output = flat
    ? [q.shape[0], q.shape[1], both(multiply)(valueWidth, queryHeads)]
    : [q.shape[0], q.shape[1], q.shape[2], valueWidth];
  const scores = [q.shape[0], flat ? queryHeads : q.shape[1], q.shape[flat ? 1 : 2], total];
  return [
    { type, shape: output },
    { type: k.type, shape: [q.shape[0], kvHeads, total, keyWidth] },
    { type: v.type, shape: [q.shape[0], kvHeads, total, valueWidth] },
    { type, shape: scores },
  ].slice(0, node.outputs.length);
};

export const computeRules = {
  ArgMax: argReduce,
  ArgMin: argReduce,
  Attention: attention,
  AveragePool: windows((_node, [data]) => data.shape?.[1]),
  BatchNormalization: likeFirst,
  Conv: windows((_node, [, weights]) => weights.shape?.[0]),
  CumSum: likeFirst,
  DequantizeLinear: dequantize,
  Det: determinant,
  Dropout: dropout,
  DynamicQuantizeLinear: dynamicQuantize,
  Einsum: einsum,
  Gemm: gemm,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  GroupNormalization: likeFirst,
  Hardmax: likeFirst,
  InstanceNormalization: likeFirst,
  LayerNormalization: normalization,
  LogSoftmax: likeFirst,
  LpNormalization: likeFirst,
  MatMul: matmul,
  MatMulInteger: matmulInteger,
  MaxPool: windows((_node, [data]) => data.shape?.[1]),
  QuantizeLinear: quantize,
  RMSNormalization: normalization,
  ReduceL1: reduce,
  ReduceL2: reduce,
  ReduceLogSum: reduce,
  ReduceLogSumExp: reduce,
  ReduceMax: reduce,
  ReduceMean: reduce,
  ReduceMin: reduce,
  ReduceProd: reduce,
  ReduceSum: reduce,
  ReduceSumSquare: reduce,
  RotaryEmbedding: likeFirst,
  ScatterElements: likeFirst,
  ScatterND: likeFirst,
  SimplifiedLayerNormalization: normalization,
  Softmax: likeFirst,
  Trilu: likeFirst,
} as const satisfies Record<string, Rule>;
