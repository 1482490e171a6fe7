/** Every rule against central differences in float64. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { operatorOf, rules } from '../../src/autodiff/rules.ts';
import { type Attributes, type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import * as naive from '../reference/operators.ts';
import { compare, type Trial } from './differences.ts';

interface Named extends Trial {
  readonly name: string;
}

/** What a double cannot say better: differences of step 1e-5 are exact to about 1e-9. */
const TOLERANCE = 1e-6;
/** The gradient in float32 against differences in float64. */
const FLOAT32_TOLERANCE = 2e-5;

async function agrees(trial: Trial): Promise<void> {
  const { gradients, outputs } = await compare(trial);
  expect(outputs).toBeLessThan(1e-5);
  expect(gradients).toBeLessThan(trial.naive ? FLOAT32_TOLERANCE : TOLERANCE);
}

const positive = (next: () => number) => 0.2 + next();

/** The operators that a trial writes. */
function operatorsOf({ shapes, build }: Trial): string[] {
  const g = graphBuilder();
  build(
    g,
    shapes.map((one, i) => g.input(`x${i}`, 'float64', one)),
  );
  return g.graph().nodes.map(operatorOf);
}

/** One node over the inputs. */
const node =
  (
    opType: string,
    attributes: Attributes = {},
    more: (g: GraphBuilder) => string[] = () => [],
    domain = '',
  ) =>
  (g: GraphBuilder, inputs: readonly string[]) =>
    g.op(opType, [...inputs, ...more(g)], attributes, { domain });

const elementwise = (f: (x: number) => number) => (inputs: readonly Float64Array[]) => inputs[0].map(f);

const indices = (g: GraphBuilder, shape: readonly number[], values: readonly number[]) =>
  g.constant(tensor('int64', shape, BigInt64Array.from(values, BigInt)));
const bools = (g: GraphBuilder, shape: readonly number[], values: readonly number[]) =>
  g.constant(tensor('bool', shape, Uint8Array.from(values)));

const shape = [2, 3, 4] as const;

const unary: Named[] = [
  ...['Abs', 'Cos', 'Exp', 'Identity', 'Neg', 'Sigmoid', 'Sin', 'Tanh', 'Relu', 'Softplus', 'LeakyRelu'].map(
    (opType) => ({ name: opType, shapes: [shape], build: node(opType) }),
  ),
  { name: 'LeakyRelu of a slope of its own', shapes: [shape], build: node('LeakyRelu', { alpha: 0.3 }) },
  ...['Log', 'Sqrt', 'Reciprocal'].map((opType) => ({
    name: opType,
    shapes: [shape],
    build: node(opType),
    element: positive,
  })),
  { name: 'Erf', shapes: [shape], build: node('Erf'), naive: elementwise(naive.erf) },
  { name: 'Gelu', opset: 20, shapes: [shape], build: node('Gelu'), naive: elementwise(naive.gelu) },
  {
    name: 'Gelu by tanh',
    opset: 20,
    shapes: [shape],
    build: node('Gelu', { approximate: 'tanh' }),
    naive: elementwise(naive.tanhGelu),
  },
  {
    name: 'com.microsoft.Gelu',
    shapes: [shape],
    domains: { 'com.microsoft': 1 },
    build: node('Gelu', {}, () => [], 'com.microsoft'),
    naive: elementwise(naive.gelu),
  },
  {
    name: 'com.microsoft.FastGelu',
    shapes: [shape],
    domains: { 'com.microsoft': 1 },
    build: node('FastGelu', {}, () => [], 'com.microsoft'),
    naive: elementwise(naive.tanhGelu),
  },
  {
    name: 'com.microsoft.QuickGelu',
    shapes: [shape],
    domains: { 'com.microsoft': 1 },
    build: node('QuickGelu', { alpha: 1.5 }, () => [], 'com.microsoft'),
    naive: elementwise(naive.swish(1.5)),
  },
  {
    name: 'Swish',
    opset: 24,
    shapes: [shape],
    build: node('Swish', { alpha: 0.7 }),
    naive: elementwise(naive.swish(0.7)),
  },
  {
    name: 'Cast there and back',
    shapes: [shape],
    build: (g, [x]) => g.op('Cast', [g.op('Exp', [g.op('Cast', [x], { to: 11 })])], { to: 1 }),
    naive: elementwise(Math.exp),
  },
  {
    name: 'Clip',
    shapes: [shape],
    build: node('Clip', {}, (g) => [g.scalar('float64', -0.5), g.scalar('float64', 0.4)]),
  },
  { name: 'Dropout', shapes: [shape], build: node('Dropout') },
  ...['Floor', 'Ceil', 'Round', 'Sign'].map((opType) => ({
    name: `${opType}, through which nothing passes`,
    shapes: [shape],
    build: (g: GraphBuilder, [x]: readonly string[]) => g.op('Mul', [x, g.op(opType, [g.op('Exp', [x])])]),
  })),
  {
    name: 'CastLike there and back',
    shapes: [shape],
    build: (g, [x]) =>
      g.op('CastLike', [
        g.op('Exp', [g.op('CastLike', [x, g.scalar('float64', 0)])]),
        g.scalar('float32', 0),
      ]),
    naive: elementwise(Math.exp),
  },
];

const binary: Named[] = [
  ...['Add', 'Sub', 'Mul', 'Max', 'Min', 'Sum'].map((opType) => ({
    name: opType,
    shapes: [shape, shape],
    build: node(opType),
  })),
  {
    name: 'Div',
    shapes: [shape, shape],
    build: node('Div'),
    element: (next, i) => (i ? positive(next) : 2 * next() - 1),
  },
  { name: 'Pow', shapes: [shape, shape], build: node('Pow'), element: positive },
  {
    name: 'Mean of three',
    shapes: [shape, shape, shape],
    build: node('Mean'),
    naive: ([a, b, c]) => a.map((value, i) => (value + b[i] + c[i]) / 3),
  },
  { name: 'Sum of three', shapes: [shape, [4], [3, 1]], build: node('Sum') },
  { name: 'Max of three', shapes: [shape, [4], [3, 1]], build: node('Max') },
  { name: 'x·x', shapes: [shape], build: (g, [x]) => g.op('Mul', [x, x]) },
  { name: 'x + x', shapes: [shape], build: (g, [x]) => g.op('Add', [x, x]) },
  {
    name: 'x/x² with one operand twice on the way',
    shapes: [shape],
    element: positive,
    build: (g, [x]) => g.op('Div', [x, g.op('Mul', [x, x])]),
  },
  ...[0.5, 1, 2, 3, -1.5].map((exponent) => ({
    name: `Pow to ${exponent}`,
    shapes: [shape],
    build: node('Pow', {}, (g) => [g.scalar('float64', exponent)]),
    element: positive,
  })),
  {
    name: 'a square of numbers below 0',
    shapes: [shape],
    build: node('Pow', {}, (g) => [g.scalar('float64', 2)]),
  },
  {
    name: 'a power of numbers below 0',
    shapes: [[5]],
    build: node('Pow', {}, (g) => [g.scalar('int64', 5)]),
  },
  {
    name: 'Where',
    shapes: [shape, [4]],
    build: (g, [a, b]) => g.op('Where', [bools(g, [3, 1], [1, 0, 1]), a, b]),
  },
  {
    name: 'constants that wait as factors',
    shapes: [shape],
    build: (g, [x]) => {
      const half = g.op('Mul', [x, g.scalar('float64', 0.5)]);
      const third = g.op('Div', [g.op('Neg', [x]), g.scalar('float64', 3)]);
      return g.op('Add', [g.op('Sub', [half, third]), g.op('Tanh', [g.op('Mul', [half, half])])]);
    },
  },
];

const layout: Named[] = [
  { name: 'Reshape', shapes: [shape], build: node('Reshape', {}, (g) => [g.ints(0, -1, 2)]) },
  { name: 'Flatten', shapes: [shape], build: node('Flatten', { axis: 2 }) },
  { name: 'Squeeze', shapes: [[2, 1, 3]], build: node('Squeeze', {}, (g) => [g.ints(1)]) },
  { name: 'Squeeze of attributes', opset: 11, shapes: [[2, 1, 3]], build: node('Squeeze', { axes: [1] }) },
  { name: 'Unsqueeze', shapes: [[2, 3]], build: node('Unsqueeze', {}, (g) => [g.ints(0, -1)]) },
  {
    name: 'Unsqueeze of attributes',
    opset: 12,
    shapes: [[2, 3]],
    build: node('Unsqueeze', { axes: [0, 3] }),
  },
  { name: 'Transpose', shapes: [shape], build: node('Transpose', { perm: [2, 0, 1] }) },
  { name: 'Transpose of all axes', shapes: [shape], build: node('Transpose') },
  { name: 'Expand', shapes: [[3, 1]], build: node('Expand', {}, (g) => [g.ints(2, 3, 4)]) },
  { name: 'Tile', shapes: [[2, 3]], build: node('Tile', {}, (g) => [g.ints(2, 3)]) },
  {
    name: 'Concat',
    shapes: [
      [2, 3],
      [2, 1],
      [2, 2],
    ],
    build: node('Concat', { axis: -1 }),
  },
  {
    name: 'Concat of unknown lengths',
    shapes: [
      [2, 3],
      [2, 1],
      [2, 2],
    ],
    declared: [
      ['b', 'x'],
      ['b', 'y'],
      ['b', undefined],
    ],
    build: node('Concat', { axis: 1 }),
  },
  {
    name: 'Split',
    shapes: [[2, 6]],
    build: (g, [x]) => g.ops('Split', [x, g.ints(1, 2, 3)], { axis: 1 }, 3),
  },
  {
    name: 'Split of which one is read',
    shapes: [[2, 6]],
    build: (g, [x]) => g.ops('Split', [x, g.ints(1, 2, 3)], { axis: -1 }, 3)[1],
  },
  {
    name: 'Split of attributes',
    opset: 11,
    shapes: [[2, 6]],
    build: (g, [x]) => g.ops('Split', [x], { axis: 1, split: [1, 2, 3] }, 3),
  },
  {
    name: 'Split into equal parts',
    shapes: [[2, 6]],
    build: (g, [x]) => g.ops('Split', [x], { axis: 1, num_outputs: 3 }, 3),
  },
  {
    name: 'Slice',
    shapes: [[4, 5]],
    build: (g, [x]) => g.op('Slice', [x, g.ints(1, -3), g.ints(3, 99), g.ints(0, 1)]),
  },
  {
    name: 'Slice of leading axes',
    shapes: [[4, 5]],
    build: (g, [x]) => g.op('Slice', [x, g.ints(-99), g.ints(-1)]),
  },
  ...[
    [-2, 99],
    [1, 3],
    [-99, 2],
  ].map(([start, end]) => ({
    name: `Slice ${start}:${end} of an unknown length`,
    shapes: [[4, 5]],
    declared: [['a', 'b']],
    build: (g: GraphBuilder, [x]: readonly string[]) =>
      g.op('Slice', [x, g.ints(start), g.ints(end), g.ints(0)]),
  })),
  {
    name: 'Slice that keeps nothing',
    shapes: [[4, 5]],
    build: (g, [x]) => g.op('Concat', [x, g.op('Slice', [x, g.ints(3), g.ints(2), g.ints(0)])], { axis: 0 }),
  },
  { name: 'Pad', shapes: [[2, 3]], build: node('Pad', {}, (g) => [g.ints(1, 0, 2, 1)]) },
  {
    name: 'Pad of some axes',
    shapes: [[2, 3]],
    build: node('Pad', {}, (g) => [g.ints(1, 2), '', g.ints(-1)]),
  },
  { name: 'Trilu', shapes: [[2, 3, 3]], build: node('Trilu', { upper: 0 }, (g) => [g.scalar('int64', 1)]) },
  {
    name: 'CumSum',
    shapes: [[2, 4]],
    build: node('CumSum', { exclusive: 1 }, (g) => [g.scalar('int64', 1)]),
  },
  {
    name: 'CumSum from the end',
    shapes: [[2, 4]],
    build: node('CumSum', { reverse: 1 }, (g) => [g.scalar('int64', -1)]),
  },
];

const picked = [2, 0, 2, 1, -1, 2];
const picking: Named[] = [
  {
    name: 'Gather of rows, some of them often',
    shapes: [[4, 3]],
    build: (g, [x]) => g.op('Gather', [x, indices(g, [2, 3], picked)]),
  },
  {
    name: 'Gather of rows of a longer table',
    shapes: [[40, 3]],
    build: (g, [x]) =>
      g.op('Gather', [
        x,
        indices(
          g,
          [2, 3],
          picked.map((i) => 7 * i),
        ),
      ]),
  },
  {
    name: 'Gather of rows before opset 16',
    opset: 13,
    shapes: [[4, 3]],
    build: (g, [x]) => g.op('Gather', [x, indices(g, [2, 3], picked)]),
  },
  {
    name: 'Gather of matrices before opset 16',
    opset: 11,
    shapes: [[4, 3, 2]],
    build: (g, [x]) => g.op('Gather', [x, indices(g, [2, 3], picked)]),
  },
  {
    name: 'Gather along a middle axis',
    shapes: [[2, 4, 3]],
    build: (g, [x]) => g.op('Gather', [x, indices(g, [2, 3], picked)], { axis: 1 }),
  },
  {
    name: 'Gather of one',
    shapes: [[2, 4, 3]],
    build: (g, [x]) => g.op('Gather', [x, g.scalar('int64', -3)], { axis: -2 }),
  },
  {
    name: 'Gather of one that stays an axis',
    opset: 12,
    shapes: [[2, 4, 3]],
    build: (g, [x]) => g.op('Gather', [x, g.ints(1)], { axis: 1 }),
  },
  {
    name: 'Gather of one of an unknown number',
    shapes: [[2, 4, 3]],
    declared: [['b', 's', 3]],
    build: (g, [x]) => g.op('Gather', [x, g.scalar('int64', -1)], { axis: 1 }),
  },
  {
    name: 'GatherElements',
    shapes: [[3, 2]],
    build: (g, [x]) => g.op('GatherElements', [x, indices(g, [2, 2], [0, 2, 2, 2])], { axis: 0 }),
  },
  {
    name: 'ScatterElements',
    shapes: [
      [3, 2],
      [1, 2],
    ],
    build: (g, [x, u]) => g.op('ScatterElements', [x, indices(g, [1, 2], [2, 0]), u], { axis: 0 }),
  },
  {
    name: 'ScatterND',
    shapes: [
      [3, 2],
      [2, 2],
    ],
    build: (g, [x, u]) => g.op('ScatterND', [x, indices(g, [2, 1], [2, 0]), u]),
  },
];

const axes: Named[] = [
  ...[
    'ReduceSum',
    'ReduceMean',
    'ReduceMax',
    'ReduceMin',
    'ReduceL1',
    'ReduceL2',
    'ReduceSumSquare',
    'ReduceLogSumExp',
  ].flatMap((opType): Named[] => {
    // The sum takes its axes as an input since opset 13, all others since 18.
    const since = opType === 'ReduceSum' ? 13 : 18;
    return [
      { name: opType, opset: since, shapes: [shape], build: node(opType, {}, (g) => [g.ints(0, -1)]) },
      {
        name: `${opType} of attributes`,
        opset: since - 1,
        shapes: [shape],
        build: node(opType, { axes: [1], keepdims: 0 }),
      },
      { name: `${opType} of everything`, shapes: [shape], build: node(opType, { keepdims: 0 }) },
    ];
  }),
  {
    name: 'ReduceMean over an unknown length',
    shapes: [shape],
    declared: [['b', 's', 4]],
    build: node('ReduceMean', { keepdims: 0 }, (g) => [g.ints(1)]),
  },
  { name: 'ReduceSum over no axes', shapes: [shape], build: node('ReduceSum', { noop_with_empty_axes: 1 }) },
  {
    name: 'deviation, as exporters write it',
    shapes: [shape],
    build: (g, [x]) => {
      const centred = g.op('Sub', [x, g.op('ReduceMean', [x, g.ints(-1)])]);
      const square = g.op('Pow', [centred, g.scalar('float64', 2)]);
      const variance = g.op('Add', [g.op('ReduceMean', [square, g.ints(-1)]), g.scalar('float64', 1e-5)]);
      return g.op('Div', [centred, g.op('Sqrt', [variance])]);
    },
  },
  {
    name: 'a mean that is all there is',
    shapes: [shape],
    build: (g, [x]) =>
      g.op('Mul', [
        g.op('Transpose', [g.op('ReduceMean', [x, g.ints(1)])], { perm: [1, 0, 2] }),
        g.scalar('float64', 3),
      ]),
  },
  ...['Softmax', 'LogSoftmax'].flatMap((opType): Named[] => [
    { name: opType, shapes: [shape], build: node(opType) },
    { name: `${opType} along the middle`, shapes: [shape], build: node(opType, { axis: 1 }) },
    {
      name: `${opType} over all axes from one on`,
      opset: 12,
      shapes: [shape],
      build: node(opType, { axis: 1 }),
    },
    {
      name: `${opType} of a mean's gradient`,
      shapes: [shape],
      build: (g, [x]) => g.op('Exp', [g.op('ReduceMean', [g.op(opType, [x]), g.ints(-1)])]),
    },
  ]),
  {
    name: 'LayerNormalization',
    shapes: [shape, [4], [4]],
    build: node('LayerNormalization', { axis: -1, epsilon: 0.01 }),
    naive: ([x, scale, bias]) => naive.normalise(x, scale, bias, { epsilon: 0.01 }),
  },
  {
    name: 'LayerNormalization without bias',
    shapes: [shape, [4]],
    build: node('LayerNormalization', { epsilon: 0.01 }),
    naive: ([x, scale]) => naive.normalise(x, scale, undefined, { epsilon: 0.01 }),
  },
  {
    name: 'LayerNormalization over two axes',
    shapes: [shape, [3, 4], [3, 4]],
    build: node('LayerNormalization', { axis: 1 }),
    naive: ([x, scale, bias]) => naive.normalise(x, scale, bias, { epsilon: 1e-5 }),
  },
  {
    name: 'Softmax with a row that is masked whole, as exporters write it',
    shapes: [shape],
    build: (g, [x]) => {
      const hidden = Float64Array.from({ length: 12 }, (_, i) => (i < 4 || i % 4 === 3 ? -Infinity : 0));
      const y = g.op('Softmax', [g.op('Add', [x, g.constant(tensor('float64', [3, 4], hidden))])]);
      return g.op('Where', [g.op('IsNaN', [y]), g.scalar('float64', 0), y]);
    },
  },
  {
    name: 'SimplifiedLayerNormalization',
    shapes: [shape, [4]],
    build: node('SimplifiedLayerNormalization', { epsilon: 0.01 }),
    naive: ([x, scale]) => naive.normalise(x, scale, undefined, { epsilon: 0.01, centre: false }),
  },
  {
    name: 'RMSNormalization',
    opset: 23,
    shapes: [shape, [4]],
    build: node('RMSNormalization', { epsilon: 0.01 }),
    naive: ([x, scale]) => naive.normalise(x, scale, undefined, { epsilon: 0.01, centre: false }),
  },
  {
    name: 'RMSNormalization over two axes',
    opset: 23,
    shapes: [shape, [3, 4]],
    build: node('RMSNormalization', { axis: -2 }),
    naive: ([x, scale]) => naive.normalise(x, scale, undefined, { epsilon: 1e-5, centre: false }),
  },
];

const rotary: Named[] = [
  ...[false, true].map((isInterleaved) => ({
    name: `RotaryEmbedding, ${isInterleaved ? 'pairs' : 'halves'}`,
    opset: 23,
    shapes: [[2, 2, 3, 4]],
    build: (g: GraphBuilder, [x]: readonly string[]) => {
      const [cos, sin] = [Math.cos, Math.sin].map((f) =>
        g.constant(
          tensor(
            'float32',
            [2, 3, 2],
            Float32Array.from({ length: 12 }, (_, i) => f(i)),
          ),
        ),
      );
      return g.op('RotaryEmbedding', [x, cos, sin], { interleaved: Number(isInterleaved) });
    },
    naive: ([x]: readonly Float64Array[]) =>
      naive.rotate(x, [2, 2, 3, 4], (b, s, j) => (b * 3 + s) * 2 + j, isInterleaved),
  })),
  {
    name: 'com.microsoft.RotaryEmbedding',
    domains: { 'com.microsoft': 1 },
    shapes: [[2, 2, 3, 4]],
    build: (g, [x]) => {
      const [cos, sin] = [Math.cos, Math.sin].map((f) =>
        g.constant(
          tensor(
            'float32',
            [5, 2],
            Float32Array.from({ length: 10 }, (_, i) => f(i)),
          ),
        ),
      );
      const positions = indices(g, [2, 3], [0, 1, 2, 2, 3, 4]);
      return g.op('RotaryEmbedding', [x, positions, cos, sin], {}, { domain: 'com.microsoft' });
    },
    naive: ([x]) => naive.rotate(x, [2, 2, 3, 4], (b, s, j) => (2 * b + s) * 2 + j, false),
  },
];

/** `taken` decides which branch; both read values around them, and one ignores `b`. */
const branches =
  (taken: number) =>
  (g: GraphBuilder, [a, b]: readonly string[]) => {
    const middle = g.op('Tanh', [a]);
    const yes = g.body('yes');
    const product = yes.op('Mul', [middle, b]);
    yes.output('first', yes.op('Add', [product, product]));
    yes.output('second', yes.op('Exp', [b]));
    const no = g.body('no');
    no.output('first', no.op('Mul', [middle, no.op('Mul', [no.scalar('float64', 3), middle])]));
    no.output('second', no.op('Identity', [middle]));
    return g.ops(
      'If',
      [g.constant(tensor('bool', [], Uint8Array.of(taken)))],
      { then_branch: yes.graph(), else_branch: no.graph() },
      2,
    );
  };

const control: Named[] = [1, 0].map((taken) => ({
  name: `If, the ${taken ? 'then' : 'else'} branch`,
  shapes: [
    [2, 3],
    [2, 3],
  ],
  build: branches(taken),
}));

const products: Named[] = [
  ...[
    [
      [2, 3],
      [3, 4],
    ],
    [
      [2, 5, 3],
      [3, 4],
    ],
    [
      [2, 2, 5, 3],
      [3, 4],
    ],
    [
      [2, 5, 3],
      [2, 3, 4],
    ],
    [
      [5, 3],
      [2, 3, 4],
    ],
    [
      [2, 1, 5, 3],
      [4, 3, 2],
    ],
    [
      [1, 5, 3],
      [2, 3, 4],
    ],
    [[3], [3, 4]],
    [[2, 3], [3]],
    [[3], [3]],
    [[3], [2, 3, 4]],
    [[2, 2, 4, 3], [3]],
  ].map((shapes) => ({
    name: `MatMul ${shapes.map((one) => `[${one}]`).join('·')}`,
    shapes,
    build: node('MatMul'),
  })),
  {
    name: 'MatMul of unknown sizes',
    shapes: [
      [2, 5, 3],
      [3, 4],
    ],
    declared: [
      ['b', 's', undefined],
      [undefined, 'n'],
    ],
    build: node('MatMul'),
  },
  {
    name: 'MatMul of batches of unknown size',
    shapes: [
      [2, 5, 3],
      [1, 3, 4],
    ],
    declared: [
      ['b', 's', 3],
      ['c', 3, 4],
    ],
    build: node('MatMul'),
  },
  ...[0, 1, 2, 3].map((flags) => ({
    name: `Gemm, ${flags & 1 ? 'Aᵀ' : 'A'}·${flags & 2 ? 'Bᵀ' : 'B'}`,
    shapes: [flags & 1 ? [3, 2] : [2, 3], flags & 2 ? [4, 3] : [3, 4], [4]],
    build: node('Gemm', { transA: flags & 1, transB: flags >> 1, alpha: 0.5, beta: 1.5 }),
  })),
  {
    name: 'Gemm without bias',
    shapes: [
      [2, 3],
      [3, 4],
    ],
    build: node('Gemm'),
  },
  { name: 'Gemm with a scalar', shapes: [[2, 3], [3, 4], []], build: node('Gemm') },
  ...['bsi,ihd->bshd', 'bhsd,bhtd->bhst', 'ij,kj->ki'].map((equation) => {
    const sizes: Record<string, number> = { b: 2, s: 3, t: 4, i: 2, j: 3, k: 2, h: 2, d: 3 };
    const shapes = equation
      .split('->')[0]
      .split(',')
      .map((term) => [...term].map((letter) => sizes[letter]));
    return { name: `Einsum ${equation}`, shapes, build: node('Einsum', { equation }) };
  }),
  ...[
    { stride: 1, dilation: 1, pad: 0 },
    { stride: 2, dilation: 1, pad: 1 },
    { stride: 2, dilation: 2, pad: 1 },
    { stride: 3, dilation: 1, pad: 0 },
  ].map((how) => {
    const shapes = [[2, 2, 6, 7], [3, 2, 2, 3], [3]];
    return {
      name: `Conv, stride ${how.stride}, dilation ${how.dilation}, padding ${how.pad}`,
      shapes,
      build: node('Conv', {
        strides: [how.stride, how.stride],
        dilations: [how.dilation, how.dilation],
        pads: Array(4).fill(how.pad),
      }),
      naive: ([x, w, b]: readonly Float64Array[]) => naive.conv(x, shapes[0], w, shapes[1], b, how),
    };
  }),
];

const all: Readonly<Record<string, readonly Named[]>> = {
  'element by element': unary,
  'of two operands': binary,
  layout: layout,
  picking: picking,
  'along axes': axes,
  products: products,
  rotations: rotary,
  'control flow': control,
};

describe.each(Object.entries(all))('%s', (_, trials) => {
  test.each(trials)('$name', agrees);
});

test('every operator of the table is tried', () => {
  const tried = new Set(Object.values(all).flatMap((trials) => trials.flatMap(operatorsOf)));
  expect(Object.keys(rules).filter((operator) => !tried.has(operator))).toEqual([]);
});

describe('broadcasting is undone', () => {
  const dims = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 0, maxLength: 3 });
  const operands = fc.record({
    dims,
    ones: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
    drop: fc.nat(3),
    says: fc.array(fc.constantFrom('size', 'name', 'nothing'), { minLength: 3, maxLength: 3 }),
  });
  test.each(['Add', 'Mul', 'Div'])(
    '%s of any shapes, whether the model states them or not',
    async (opType) => {
      await fc.assert(
        fc.asyncProperty(operands, async ({ dims: whole, ones, drop, says }) => {
          const part = whole.slice(drop).map((dim, i) => (ones[i] ? 1 : dim));
          const declared = [whole, part].map((shapeOf, operand) =>
            shapeOf.map((dim, i) =>
              says[i] === 'size' ? dim : says[i] === 'name' ? `${operand}.${i}` : undefined,
            ),
          );
          await agrees({ shapes: [whole, part], declared, build: node(opType), element: positive });
          await agrees({
            shapes: [part, whole],
            declared: declared.toReversed(),
            build: node(opType),
            element: positive,
          });
        }),
        { numRuns: 25, seed: 1 },
      );
    },
  );
});
