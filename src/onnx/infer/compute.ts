/**
 * Rules of operators that compute: element by element (with values, where shapes are computed through them), along
 * an axis, and products of matrices.
 * @module
 */
import { elementOf } from '../elements.ts';
import type { ElementType, Node } from '../model.ts';
import { intAttribute, intsAttribute, stringAttribute, tensorAttribute } from '../walk.ts';
import { add, compare, divide, type Expression, multiply, negate, same, subtract } from './expression.ts';
import {
  axesOf,
  axisAttribute,
  axisIn,
  broadcast,
  given,
  type Known,
  larger,
  mapValues,
  type Rule,
  type Shape,
  smaller,
  type Value,
} from './known.ts';

type Item = Expression | undefined;

/** As the first input, in type and shape; further outputs are unknown. */
const likeFirst: Rule = (node, [data]) =>
  node.outputs.map((_, i) => (i === 0 ? { type: data.type, shape: data.shape } : {}));

const likeFirstBool: Rule = (_node, [data]) => [{ type: 'bool', shape: data.shape }];

const identity: Rule = (_node, [data]) => [data];

/** All inputs broadcast, element by element. */
function elementwise(evaluate?: (...items: Item[]) => Item, type?: ElementType): Rule {
  return (node, operands) => {
    const inputs = given(node, operands);
    const values = inputs.map((input) => input.value);
    const value = evaluate && mapValues(evaluate, values);
    const own = inputs.find((input) => input.type)?.type;
    return [{ type: type ?? own, shape: broadcast(inputs.map((input) => input.shape)), value }];
  };
}

const both =
  (f: (a: Expression, b: Expression) => Item) =>
  (a: Item, b: Item): Item =>
    a === undefined || b === undefined ? undefined : f(a, b);

/** Folds operators of any number of inputs (Min, Max, Sum). */
const fold =
  (f: (a: Expression, b: Expression) => Item) =>
  (...items: Item[]): Item =>
    items.reduce((a, b) => (a === undefined || b === undefined ? undefined : f(a, b)), items[0]);

const truth = (answer: boolean | undefined): Item => (answer === undefined ? undefined : Number(answer));

const equal = both((a, b) => {
  if (same(a, b)) return 1;
  const order = compare(a, b);
  return truth(order === undefined ? undefined : order === 0);
});

const ordered = (holds: (order: number) => boolean) =>
  both((a, b) => {
    const order = same(a, b) ? 0 : compare(a, b);
    return truth(order === undefined ? undefined : holds(order));
  });

const numeric = (f: (...numbers: number[]) => number) =>
  ((...items: Item[]) =>
    items.every((item) => typeof item === 'number') ? f(...(items as number[])) : undefined) as (
    ...items: Item[]
  ) => Item;

const isInteger = (type: ElementType | undefined) => type?.includes('int') === true;

const division: Rule = (node, inputs, context) => {
  const whole = isInteger(inputs[0].type ?? inputs[1].type);
  const divideItems = both((a, b) => {
    if (whole) return divide(a, b);
    return typeof b === 'number' && b !== 0 ? multiply(a, 1 / b) : undefined;
  });
  return elementwise(divideItems)(node, inputs, context);
};

/** Rounding leaves a formula of whole coefficients as it is. */
const rounded = (round: (value: number) => number): Rule =>
  elementwise((a) => {
    if (typeof a !== 'object') return a === undefined ? undefined : round(a);
    return a.every(({ factor }) => Number.isInteger(factor)) ? a : undefined;
  });

const cast: Rule = (node, [data]) => {
  const type = elementOf(intAttribute(node, 'to', 0));
  return [{ type, shape: data.shape, value: castValue(data.value, type) }];
};

function castValue(value: Value | undefined, type: ElementType | undefined): Value | undefined {
  if (type === 'string') return undefined;
  return mapValues(
    (item) => {
      if (typeof item === 'number' && isInteger(type)) return Math.trunc(item);
      if (typeof item === 'number' && type === 'bool') return Number(item !== 0);
      return typeof item === 'object' && type === 'bool' ? undefined : item;
    },
    [value],
  );
}

const castLike: Rule = (_node, [data, like]) => [
  { type: like.type, shape: data.shape, value: castValue(data.value, like.type) },
];

const where: Rule = (_node, [condition, yes, no]) => {
  const value = mapValues(
    (test, a, b) => (test === undefined ? (same(a, b) ? a : undefined) : test === 0 ? b : a),
    [condition.value, yes.value, no.value],
  );
  const shape = broadcast([condition.shape, yes.shape, no.shape]);
  return [{ type: yes.type ?? no.type, shape: value?.shape ?? shape, value }];
};

const constant: Rule = (node) => {
  const stored = tensorAttribute(node, 'value');
  if (stored) return [{ type: stored.type, shape: stored.shape }];
  for (const [name, attribute] of node.attributes) {
    const type: ElementType = name.startsWith('value_int')
      ? 'int64'
      : name.startsWith('value_float')
        ? 'float32'
        : 'string';
    switch (attribute.kind) {
      case 'int':
        return [{ type, shape: [], value: { shape: [], items: [Number(attribute.value)] } }];
      case 'float':
        return [{ type, shape: [], value: { shape: [], items: [attribute.value] } }];
      case 'string':
        return [{ type, shape: [] }];
      case 'ints':
      case 'floats': {
        const shape = [attribute.value.length];
        return [{ type, shape, value: { shape, items: attribute.value.map(Number) } }];
      }
      case 'strings':
        return [{ type, shape: [attribute.value.length] }];
    }
  }
  return [{}];
};

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

const random: Rule = (node) => [
  { type: elementOf(intAttribute(node, 'dtype', 1)) ?? 'float32', shape: intsAttribute(node, 'shape') },
];

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

/** Bounds may be left out. */
const clip: Rule = (node, [data, low, high]) => {
  const bounded = (item: Item, bound: Item, pick: typeof larger) => both(pick)(item, bound);
  const withLow = node.inputs[1]
    ? mapValues((a, b) => bounded(a, b, larger), [data.value, low.value])
    : data.value;
  const value = node.inputs[2] ? mapValues((a, b) => bounded(a, b, smaller), [withLow, high.value]) : withLow;
  return [{ type: data.type, shape: data.shape, value: node.attributes.size > 0 ? undefined : value }];
};

const floatOp = (f: (value: number) => number) => elementwise(numeric(f));

export const computeRules = {
  Abs: floatOp(Math.abs),
  Acos: likeFirst,
  Add: elementwise(both(add)),
  And: elementwise(
    both((a, b) => (a === 0 || b === 0 ? 0 : typeof a === 'number' && typeof b === 'number' ? 1 : undefined)),
    'bool',
  ),
  ArgMax: argReduce,
  ArgMin: argReduce,
  Asin: likeFirst,
  Atan: likeFirst,
  Attention: attention,
  AveragePool: windows((_node, [data]) => data.shape?.[1]),
  BatchNormalization: likeFirst,
  Cast: cast,
  CastLike: castLike,
  Ceil: rounded(Math.ceil),
  Celu: likeFirst,
  Clip: clip,
  Constant: constant,
  Conv: windows((_node, [, weights]) => weights.shape?.[0]),
  Cos: likeFirst,
  Cosh: likeFirst,
  CumSum: likeFirst,
  DequantizeLinear: dequantize,
  Det: determinant,
  Div: division,
  Dropout: dropout,
  DynamicQuantizeLinear: dynamicQuantize,
  Einsum: einsum,
  Elu: likeFirst,
  Equal: elementwise(equal, 'bool'),
  Erf: likeFirst,
  Exp: likeFirst,
  Floor: rounded(Math.floor),
  Gelu: likeFirst,
  Gemm: gemm,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  Greater: elementwise(
    ordered((order) => order > 0),
    'bool',
  ),
  GreaterOrEqual: elementwise(
    ordered((order) => order >= 0),
    'bool',
  ),
  GroupNormalization: likeFirst,
  HardSigmoid: likeFirst,
  HardSwish: likeFirst,
  Hardmax: likeFirst,
  Identity: identity,
  InstanceNormalization: likeFirst,
  IsInf: likeFirstBool,
  IsNaN: likeFirstBool,
  LayerNormalization: normalization,
  LeakyRelu: likeFirst,
  Less: elementwise(
    ordered((order) => order < 0),
    'bool',
  ),
  LessOrEqual: elementwise(
    ordered((order) => order <= 0),
    'bool',
  ),
  Log: likeFirst,
  LogSoftmax: likeFirst,
  LpNormalization: likeFirst,
  MatMul: matmul,
  MatMulInteger: matmulInteger,
  Max: elementwise(fold(larger)),
  MaxPool: windows((_node, [data]) => data.shape?.[1]),
  Mean: elementwise(),
  Min: elementwise(fold(smaller)),
  Mish: likeFirst,
  Mod: elementwise(numeric((a, b) => ((a % b) + b) % b)),
  Mul: elementwise(both(multiply)),
  Neg: elementwise((a) => (a === undefined ? undefined : negate(a))),
  Not: elementwise(
    numeric((a) => Number(a === 0)),
    'bool',
  ),
  Or: elementwise(
    both((a, b) => (a === 1 || b === 1 ? 1 : typeof a === 'number' && typeof b === 'number' ? 0 : undefined)),
    'bool',
  ),
  PRelu: likeFirst,
  Pow: elementwise(numeric((a, b) => a ** b)),
  QuantizeLinear: quantize,
  RMSNormalization: normalization,
  RandomNormal: random,
  RandomUniform: random,
  Reciprocal: floatOp((a) => 1 / a),
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
  Relu: likeFirst,
  RotaryEmbedding: likeFirst,
  Round: rounded(Math.round),
  ScatterElements: likeFirst,
  ScatterND: likeFirst,
  Selu: likeFirst,
  Sigmoid: likeFirst,
  Sign: floatOp(Math.sign),
  SimplifiedLayerNormalization: normalization,
  Sin: likeFirst,
  Sinh: likeFirst,
  Softmax: likeFirst,
  Softplus: likeFirst,
  Softsign: likeFirst,
  Sqrt: floatOp(Math.sqrt),
  Sub: elementwise(both(subtract)),
  Sum: elementwise(fold(add)),
  Swish: likeFirst,
  Tan: likeFirst,
  Tanh: likeFirst,
  ThresholdedRelu: likeFirst,
  Trilu: likeFirst,
  Where: where,
  Xor: elementwise(
    numeric((a, b) => Number(a !== b)),
    'bool',
  ),
} as const satisfies Record<string, Rule>;

export { likeFirst };
