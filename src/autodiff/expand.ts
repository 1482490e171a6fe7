/**
 * Fused operators as the ones they were fused from: these have rules, and what they compute on the way is there for the
 * backward nodes to read. Only nodes between the parameters and the loss are expanded.
 * @module
 */
import { float, type GraphBuilder, graphExtension } from '../onnx/build.ts';
import type { Graph, Node } from '../onnx/model.ts';
import { floatAttribute, intAttribute } from '../onnx/walk.ts';
import { attention, packedAttention } from './expand/attention.ts';
import {
  type Expansion,
  type Facts,
  floatType,
  type Knowledge,
  reduce,
  slice,
  type Writer,
} from './operation.ts';
import { operatorOf } from './rules.ts';

type Expanding = Facts & Writer;

const asSum = (op: Expanding, values: readonly string[]): string =>
  values.reduce((sum, value) => op.g.op('Add', [sum, value]));

const given = (values: readonly (string | undefined)[]) =>
  values.filter((value): value is string => value !== undefined && value !== '');

/** x over its deviation, or over its root mean square. */
function normalised(
  op: Expanding,
  x: string,
  scale: string,
  bias: string | undefined,
  hasMean: boolean,
): string {
  const { g } = op;
  const epsilon = floatAttribute(op.node, 'epsilon', 1e-12);
  if (hasMean && op.opset >= 17)
    return g.op('LayerNormalization', given([x, scale, bias]), { axis: -1, epsilon: float(epsilon) });
  const mean = (value: string) => reduce(op, 'ReduceMean', value, [-1], true);
  const centred = hasMean ? g.op('Sub', [x, mean(x)]) : x;
  const variance = mean(g.op('Mul', [centred, centred]));
  const deviation = g.op('Sqrt', [g.op('Add', [variance, g.scalar(floatType(op, scale), epsilon)])]);
  const product = g.op('Mul', [g.op('Div', [centred, deviation]), scale]);
  return bias ? g.op('Add', [product, bias]) : product;
}

const statisticsAreRead = ({ node }: Facts) =>
  node.outputs[1] || node.outputs[2] ? 'its mean or its deviation is read' : undefined;

/** x + skip (+ bias), normalised; the sum is the fourth output. */
const skipNormalisation = (hasMean: boolean): Expansion => ({
  refuse: statisticsAreRead,
  write: (op) => {
    const [x, skip, scale, ...rest] = op.node.inputs;
    const [shift, bias] = hasMean ? rest : [undefined, ...rest];
    const sum = asSum(op, given([x, skip, bias]));
    return [normalised(op, sum, scale, shift || undefined, hasMean), undefined, undefined, sum];
  },
});

/** Rows of the tables of words, positions and segments, added up and normalised. */
const embedding: Expansion = {
  write: (op) => {
    const { g } = op;
    const [ids, segmentIds, words, positions, segments, scale, shift, mask, positionIds] = op.node.inputs;
    const length = slice(op, g.op('Shape', [ids]), 0, 1, 2);
    const sum = asSum(
      op,
      given([
        g.op('Gather', [words, ids]),
        positionIds ? g.op('Gather', [positions, positionIds]) : slice(op, positions, 0, 0, length),
        segments ? g.op('Gather', [segments, segmentIds]) : undefined,
      ]),
    );
    const count = mask
      ? () => reduce(op, 'ReduceSum', mask, [1], false)
      : () => g.op('Cast', [g.op('ConstantOfShape', [slice(op, g.op('Shape', [ids]), 0, 0, 1)])], { to: 6 });
    return [normalised(op, sum, scale, shift, true), op.node.outputs[1] ? count() : undefined, sum];
  },
};

/** An activation of x + bias. */
const withBias = (activation: 'Gelu' | 'FastGelu'): Expansion => ({
  write: (op) => {
    const sum = asSum(op, given(op.node.inputs));
    return [op.g.op(activation, [sum], {}, { domain: 'com.microsoft' })];
  },
});

const fusedMatMul: Expansion = {
  refuse: ({ node, shape }) => {
    if (intAttribute(node, 'transBatchA', 0) || intAttribute(node, 'transBatchB', 0))
      return 'it exchanges batch axes';
    return node.inputs.every((input) => shape(input)) ? undefined : 'the rank of its operands is not known';
  },
  write: (op) => {
    const { g } = op;
    const operands = op.node.inputs.map((input, i) => {
      if (intAttribute(op.node, i === 0 ? 'transA' : 'transB', 0) === 0) return input;
      const perm = [...(op.shape(input) ?? []).keys()];
      perm.push(...perm.splice(-2).reverse());
      return g.op('Transpose', [input], { perm });
    });
    const product = g.op('MatMul', operands);
    const alpha = floatAttribute(op.node, 'alpha', 1);
    return [
      alpha === 1 ? product : g.op('Mul', [product, g.scalar(floatType(op, op.node.inputs[0]), alpha)]),
    ];
  },
};

export const expansions = {
  Attention: attention,
  'com.microsoft.Attention': packedAttention,
  'com.microsoft.BiasGelu': withBias('Gelu'),
  'com.microsoft.EmbedLayerNormalization': embedding,
  'com.microsoft.FastGelu': withBias('FastGelu'),
  'com.microsoft.FusedMatMul': fusedMatMul,
  'com.microsoft.SkipLayerNormalization': skipNormalisation(true),
  'com.microsoft.SkipSimplifiedLayerNormalization': skipNormalisation(false),
} as const satisfies Record<string, Expansion>;

export function expansionOf(node: Node): Expansion | undefined {
  const operator = operatorOf(node);
  return Object.hasOwn(expansions, operator) ? expansions[operator as keyof typeof expansions] : undefined;
}

/** Replaces a node of a graph by what its expansion writes. The outputs keep their names. */
export function expand(graph: Graph, node: Node, knowledge: Knowledge): void {
  const expansion = expansionOf(node);
  if (!expansion) return;
  const at = graph.nodes.indexOf(node);
  graph.nodes.splice(at, 1);
  for (const output of node.outputs) graph.valueInfo.delete(output);
  const g: GraphBuilder = graphExtension(graph);
  const outputs = expansion.write({ ...knowledge, node, g, memo: (_key, make) => make() });
  for (const [i, name] of node.outputs.entries()) {
    const value = outputs[i];
    if (name !== '' && value !== undefined) g.output(name, value);
  }
  const written = g.graph();
  graph.nodes.splice(at, 0, ...written.nodes);
  for (const [name, stored] of written.initializers) graph.initializers.set(name, stored);
}
