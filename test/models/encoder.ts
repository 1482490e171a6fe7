/**
 * Tiny transformer encoders made with our own builder, seeded: known weights, any size, no exporter needed.
 *
 * The graph is BERT's (post-norm, biases everywhere, erf GELU, a classification head on the first token) in the
 * form that exporters give it: `MatMul`, `Add`, `Reshape`, `Transpose` with weights stored as [in, out].
 */

import { type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { type Random, random } from '../../src/tensor/random.ts';
import { sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts';

export interface EncoderOptions {
  readonly layers?: number;
  readonly hidden?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly intermediate?: number;
  /** A gated MLP: down(silu(gate) · up), without biases. */
  readonly gated?: boolean;
  readonly vocabulary?: number;
  readonly positions?: number;
  readonly classes?: number;
  /** How heads are split off: a literal target with zeros, or one computed from the input's shape. */
  readonly reshape?: 'literal' | 'computed';
  readonly opset?: number;
  readonly seed?: number;
}

export const encoderDefaults = {
  layers: 1,
  hidden: 16,
  heads: 4,
  headDim: 4,
  intermediate: 24,
  gated: false,
  vocabulary: 50,
  positions: 32,
  classes: 3,
  reshape: 'literal',
  opset: 18,
  seed: 1,
} as const satisfies Required<EncoderOptions>;

/** `input_ids`, `attention_mask`: int64[batch, sequence] → `logits`: float32[batch, classes]. Opset 17 or later. */
export function encoder(options: EncoderOptions = {}): Model {
  const o: Required<EncoderOptions> = { ...encoderDefaults, ...options };
  const weights = weightSource(random(o.seed));
  const g = graphBuilder('encoder');
  const ids = g.input('input_ids', 'int64', ['batch', 'sequence']);
  const attentionMask = g.input('attention_mask', 'int64', ['batch', 'sequence']);

  const length = g.op('Shape', [ids], { start: 1, end: 2 });
  const scalarLength = g.op('Squeeze', [length, g.ints(0)]);
  const positions = g.op('Range', [g.scalar('int64', 0), scalarLength, g.scalar('int64', 1)]);
  const words = g.op('Gather', [g.constant(weights(o.vocabulary, o.hidden), 'embeddings.word'), ids]);
  const places = g.op('Gather', [
    g.constant(weights(o.positions, o.hidden), 'embeddings.position'),
    positions,
  ]);
  let x = layerNorm(g, weights, g.op('Add', [words, places]), o.hidden, 'embeddings.norm');

  // 0 where a token is, a large negative number where padding is: [batch, 1, 1, sequence].
  const present = g.op('Cast', [g.op('Unsqueeze', [attentionMask, g.ints(1, 2)])], { to: 1 });
  const mask = g.op('Mul', [g.op('Sub', [g.scalar('float32', 1), present]), g.scalar('float32', -1e9)]);

  for (let layer = 0; layer < o.layers; layer++) {
    const attended = attention(g, weights, x, mask, `layer.${layer}.attention`, o);
    x = layerNorm(g, weights, g.op('Add', [attended, x]), o.hidden, `layer.${layer}.attention.norm`);
    const mixed = o.gated
      ? gatedMlp(g, weights, x, `layer.${layer}.mlp`, o)
      : mlp(g, weights, x, `layer.${layer}.mlp`, o);
    x = layerNorm(g, weights, g.op('Add', [mixed, x]), o.hidden, `layer.${layer}.mlp.norm`);
  }
  const first = g.op('Gather', [x, g.scalar('int64', 0)], { axis: 1 });
  g.output('logits', linear(g, weights, first, o.hidden, o.classes, 'classifier'), 'float32', [
    'batch',
    o.classes,
  ]);
  return g.model({ opset: o.opset });
}

type Weights = (...shape: number[]) => Tensor<'float32'>;

/** Uniform weights of about unit gain: ±√(3 / rows), so that activations neither vanish nor blow up. */
function weightSource(next: Random): Weights {
  return (...shape) => {
    const bound = Math.sqrt(3 / shape[0]);
    return tensor(
      'float32',
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => bound * (2 * next() - 1)),
    );
  };
}

function linear(
  g: GraphBuilder,
  weights: Weights,
  x: string,
  from: number,
  to: number,
  name: string,
): string {
  const product = g.op(
    'MatMul',
    [x, g.constant(weights(from, to), `${name}.weight`)],
    {},
    { name: `${name}.matmul` },
  );
  return g.op('Add', [g.constant(weights(to), `${name}.bias`), product], {}, { name: `${name}.add` });
}

function layerNorm(g: GraphBuilder, weights: Weights, x: string, width: number, name: string): string {
  const scale = weights(width);
  scale.data.forEach((value, i) => {
    scale.data[i] = 1 + value / 4;
  });
  const operands = [x, g.constant(scale, `${name}.weight`), g.constant(weights(width), `${name}.bias`)];
  return g.op('LayerNormalization', operands, { axis: -1, epsilon: 1e-12 }, { name });
}

function attention(
  g: GraphBuilder,
  weights: Weights,
  x: string,
  mask: string,
  name: string,
  { hidden, heads, headDim, reshape }: Required<EncoderOptions>,
): string {
  const width = heads * headDim;
  const target = (last: readonly number[]) => {
    if (reshape === 'literal') return g.ints(0, 0, ...last);
    const shape = g.op('Shape', [x]);
    const dims = [0, 1].map((axis) =>
      g.op('Unsqueeze', [g.op('Gather', [shape, g.scalar('int64', axis)]), g.ints(0)]),
    );
    return g.op('Concat', [...dims, ...last.map((dim) => g.ints(dim))], { axis: 0 });
  };
  const split = (part: string, perm: readonly number[]) => {
    const projected = linear(g, weights, x, hidden, width, `${name}.${part}`);
    return g.op('Transpose', [g.op('Reshape', [projected, target([heads, headDim])])], { perm });
  };
  const query = split('query', [0, 2, 1, 3]);
  const key = split('key', [0, 2, 3, 1]);
  const value = split('value', [0, 2, 1, 3]);
  const scores = g.op('Div', [g.op('MatMul', [query, key]), g.scalar('float32', Math.sqrt(headDim))]);
  const probabilities = g.op('Softmax', [g.op('Add', [scores, mask])], { axis: -1 });
  const context = g.op('Transpose', [g.op('MatMul', [probabilities, value])], { perm: [0, 2, 1, 3] });
  const merged = g.op('Reshape', [context, target([width])]);
  return linear(g, weights, merged, width, hidden, `${name}.output`);
}

function mlp(
  g: GraphBuilder,
  weights: Weights,
  x: string,
  name: string,
  { hidden, intermediate }: Required<EncoderOptions>,
): string {
  const up = linear(g, weights, x, hidden, intermediate, `${name}.up`);
  const erf = g.op('Erf', [g.op('Div', [up, g.scalar('float32', Math.SQRT2)])]);
  const product = g.op('Mul', [up, g.op('Add', [erf, g.scalar('float32', 1)])]);
  const gelu = g.op('Mul', [product, g.scalar('float32', 0.5)]);
  return linear(g, weights, gelu, intermediate, hidden, `${name}.down`);
}

function gatedMlp(
  g: GraphBuilder,
  weights: Weights,
  x: string,
  name: string,
  { hidden, intermediate }: Required<EncoderOptions>,
): string {
  const project = (from: string, rows: number, cols: number, part: string) =>
    g.op(
      'MatMul',
      [from, g.constant(weights(rows, cols), `${name}.${part}.weight`)],
      {},
      { name: `${name}.${part}` },
    );
  const gate = project(x, hidden, intermediate, 'gate');
  const silu = g.op('Mul', [gate, g.op('Sigmoid', [gate])]);
  return project(g.op('Mul', [silu, project(x, hidden, intermediate, 'up')]), intermediate, hidden, 'down');
}
