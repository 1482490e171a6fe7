/** Fused operators compute the same once they are expanded, and gradients pass through all of their operands. */
import { describe, expect, test } from 'vitest';
import { differentiate, undifferentiable } from '../../src/autodiff/differentiate.ts';
import { expansions } from '../../src/autodiff/expand.ts';
import { operatorOf } from '../../src/autodiff/rules.ts';
import { type Attributes, type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import { cloneModel } from '../../src/onnx/edit.ts';
import type { Model } from '../../src/onnx/model.ts';
import { random } from '../../src/tensor/random.ts';
import { sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { difference, run } from '../structure/running.ts';

interface Fused {
  readonly name: string;
  readonly opType: string;
  readonly domain?: string;
  readonly opset?: number;
  readonly attributes?: Attributes;
  /** Shapes of float operands; whole numbers and masks as tensors; '' for an operand that is left out. */
  readonly operands: readonly (readonly number[] | Tensor | '')[];
  /** Outputs that are read, by position. */
  readonly outputs?: readonly number[];
}

const microsoft = 'com.microsoft';
const whole = (type: 'int32' | 'int64', shape: readonly number[], ...values: number[]): Tensor =>
  type === 'int32'
    ? tensor('int32', shape, Int32Array.from(values))
    : tensor('int64', shape, BigInt64Array.from(values, BigInt));
const mask = (shape: readonly number[], ...values: number[]) =>
  tensor('bool', shape, Uint8Array.from(values));

const packed = [[2, 3, 8], [8, 24], [24]] as const;
const [q, grouped] = [
  [2, 4, 3, 5],
  [2, 2, 3, 5],
];

const trials: Fused[] = [
  { name: 'BiasGelu', opType: 'BiasGelu', domain: microsoft, operands: [[2, 3, 4], [4]] },
  { name: 'FastGelu with a bias', opType: 'FastGelu', domain: microsoft, operands: [[2, 3, 4], [4]] },
  { name: 'FastGelu', opType: 'FastGelu', domain: microsoft, operands: [[2, 3, 4]] },
  {
    name: 'FusedMatMul',
    opType: 'FusedMatMul',
    domain: microsoft,
    attributes: { alpha: 0.25, transA: 1, transB: 1 },
    operands: [
      [2, 3, 4],
      [2, 5, 3],
    ],
  },
  ...[17, 14].map((opset) => ({
    name: `SkipLayerNormalization, opset ${opset}`,
    opType: 'SkipLayerNormalization',
    domain: microsoft,
    opset,
    attributes: { epsilon: 0.01 },
    operands: [[2, 3, 4], [2, 3, 4], [4], [4], [4]],
    outputs: [0, 3],
  })),
  {
    name: 'SkipLayerNormalization without biases',
    opType: 'SkipLayerNormalization',
    domain: microsoft,
    operands: [[2, 3, 4], [2, 3, 4], [4]],
  },
  {
    name: 'SkipSimplifiedLayerNormalization',
    opType: 'SkipSimplifiedLayerNormalization',
    domain: microsoft,
    attributes: { epsilon: 0.01 },
    operands: [[2, 3, 4], [2, 3, 4], [4], [4]],
    outputs: [0, 3],
  },
  {
    name: 'EmbedLayerNormalization',
    opType: 'EmbedLayerNormalization',
    domain: microsoft,
    attributes: { epsilon: 0.01 },
    operands: [
      whole('int32', [2, 3], 1, 4, 0, 2, 2, 3),
      whole('int32', [2, 3], 0, 1, 1, 0, 0, 1),
      [5, 4],
      [6, 4],
      [2, 4],
      [4],
      [4],
      whole('int32', [2, 3], 1, 1, 1, 1, 1, 0),
    ],
    outputs: [0, 1],
  },
  {
    name: 'EmbedLayerNormalization of positions alone',
    opType: 'EmbedLayerNormalization',
    domain: microsoft,
    operands: [
      whole('int32', [2, 3], 1, 4, 0, 2, 2, 3),
      '',
      [5, 4],
      [6, 4],
      '',
      [4],
      [4],
      '',
      whole('int32', [2, 3], 3, 4, 5, 0, 1, 2),
    ],
    outputs: [0, 1],
  },
  {
    name: 'packed attention',
    opType: 'Attention',
    domain: microsoft,
    attributes: { num_heads: 2 },
    operands: packed,
  },
  ...[
    ['lengths', whole('int32', [2], 3, 2)],
    ['a mask of keys', whole('int32', [2, 3], 1, 1, 0, 1, 1, 1)],
    [
      'a mask of queries and keys',
      whole('int32', [2, 3, 3], ...Array.from({ length: 18 }, (_, i) => Number(i % 3 <= 1))),
    ],
  ].map(([what, operand]) => ({
    name: `packed attention with ${what}`,
    opType: 'Attention',
    domain: microsoft,
    attributes: { num_heads: 4 },
    operands: [...packed, operand as Tensor],
  })),
  {
    name: 'packed attention, causal, with narrow values, a scale and a bias',
    opType: 'Attention',
    domain: microsoft,
    attributes: { num_heads: 2, unidirectional: 1, scale: 0.7, qkv_hidden_sizes: [8, 8, 4] },
    operands: [[2, 3, 8], [8, 20], [20], '', '', [2, 2, 3, 3]],
  },
  { name: 'attention', opType: 'Attention', opset: 23, operands: [q, q, q] },
  {
    name: 'attention over one axis of heads',
    opType: 'Attention',
    opset: 23,
    attributes: { q_num_heads: 4, kv_num_heads: 2 },
    operands: [
      [2, 3, 20],
      [2, 3, 10],
      [2, 3, 10],
    ],
  },
  {
    name: 'attention with shared keys',
    opType: 'Attention',
    opset: 23,
    operands: [q, grouped, grouped],
    attributes: { is_causal: 1 },
  },
  {
    name: 'attention with shared keys and a mask for each head',
    opType: 'Attention',
    opset: 23,
    attributes: { scale: 0.3 },
    operands: [q, grouped, grouped, [2, 4, 3, 3]],
  },
  {
    name: 'attention with shared keys and one mask for all heads',
    opType: 'Attention',
    opset: 23,
    operands: [
      q,
      grouped,
      grouped,
      mask([2, 1, 3, 3], ...Array.from({ length: 18 }, (_, i) => Number(i % 4 !== 1))),
    ],
  },
  {
    name: 'attention with a mask',
    opType: 'Attention',
    opset: 23,
    operands: [q, q, q, mask([3, 3], 1, 0, 0, 1, 1, 0, 1, 1, 1)],
  },
  {
    name: 'attention with a cache',
    opType: 'Attention',
    opset: 23,
    attributes: { is_causal: 1 },
    operands: [q, q, q, '', [2, 4, 2, 5], [2, 4, 2, 5]],
    outputs: [0, 1, 2],
  },
  {
    name: 'attention with capped scores',
    opType: 'Attention',
    opset: 23,
    attributes: { softcap: 0.5 },
    operands: [q, q, q],
  },
];

/** The operator over initializers and constants; the loss is Σ y² of its first output. */
function modelOf({ opType, domain = '', opset = 18, attributes, operands, outputs = [0] }: Fused): {
  model: Model;
  parameters: string[];
} {
  const g: GraphBuilder = graphBuilder();
  const next = random(3);
  const floats = (shape: readonly number[]) =>
    tensor(
      'float32',
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => 2 * next() - 1),
    );
  const parameters: string[] = [];
  const inputs = operands.map((operand, i) => {
    if (operand === '') return '';
    if ('data' in operand) return g.constant(operand, `operand${i}`);
    const name = g.constant(floats(operand), `operand${i}`);
    parameters.push(name);
    return name;
  });
  const made = g.ops(opType, inputs, attributes ?? {}, Math.max(...outputs) + 1, { domain, name: 'fused' });
  for (const i of outputs) g.output(`y${i}`, made[i]);
  g.output('loss', g.op('ReduceSum', [g.op('Mul', [made[0], made[0]])], { keepdims: 0 }));
  const model = g.model({ opset, domains: { [microsoft]: 1 } });
  for (const node of model.graph.nodes)
    node.outputs = node.outputs.map((name, i) =>
      node.opType === opType && !outputs.includes(i) ? '' : name,
    );
  return { model, parameters };
}

describe('expanded', () => {
  test.each(trials)('$name', async (trial) => {
    const { model, parameters } = modelOf(trial);
    expect(undifferentiable(model, 'loss', parameters)).toEqual([]);
    const { model: after, gradients } = differentiate(model, 'loss', parameters);
    expect([...gradients.keys()]).toEqual(parameters);
    const [expected] = await run(model, [{}]);
    const outputs = [...gradients.values()];
    after.graph.outputs.push(...outputs.map((name) => ({ name })));
    const [found] = await run(after, [{}]);
    expect(difference(expected, found)).toBeLessThan(1e-5);

    // Along a random direction the loss grows as the gradients say.
    const next = random(5);
    const step = 1e-3;
    const moved = [-1, 1].map(() => cloneModel(model));
    let slope = 0;
    for (const parameter of parameters) {
      const { shape, data } = model.graph.initializers.get(parameter)!.tensor() as Tensor<'float32'>;
      const way = Float32Array.from(data, () => 2 * next() - 1);
      const gradient = found[gradients.get(parameter)!].data as Float32Array;
      slope += way.reduce((sum, value, i) => sum + value * gradient[i], 0);
      for (const [i, sign] of [-1, 1].entries()) {
        const value = data.map((one, at) => one + sign * step * way[at]);
        const stored = {
          ...model.graph.initializers.get(parameter)!,
          rest: undefined,
          tensor: () => tensor('float32', shape, value),
        };
        moved[i].graph.initializers.set(parameter, stored);
      }
    }
    const [[before], [behind]] = await Promise.all(moved.map((one) => run(one, [{}])));
    const measured = (Number(behind.loss.data[0]) - Number(before.loss.data[0])) / (2 * step);
    expect(Math.abs(slope - measured)).toBeLessThan(0.01 * Math.abs(measured) + 0.01);
  });

  test('every expansion is tried', () => {
    const tried = new Set(trials.map((trial) => operatorOf(modelOf(trial).model.graph.nodes[0])));
    expect(Object.keys(expansions).filter((operator) => !tried.has(operator))).toEqual([]);
  });
});
