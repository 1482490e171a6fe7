/**
 * A LLaMA decoder of any size without its weights, in the form that TorchScript exports it: shape arithmetic before
 * every Reshape, grouped queries repeated by Expand, rotary embedding, RMSNorm in pieces, gated MLP, key-value cache.
 */
import { type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import type { Model, StoredTensor } from '../../src/onnx/model.ts';
import { tensor } from '../../src/tensor/tensor.ts';

export interface LlamaOptions {
  readonly layers: number;
  readonly hidden?: number;
  readonly heads?: number;
  readonly groups?: number;
  readonly headDim?: number;
  readonly intermediate?: number;
  readonly vocabulary?: number;
  /** Makes a weight of a shape; by default one that must not be read. */
  readonly weight?: (...shape: number[]) => StoredTensor;
}

/** A weight that has a shape only. */
function absent(...shape: number[]): StoredTensor {
  const byteLength = 4 * shape.reduce((size, dim) => size * dim, 1);
  const tensor = () => {
    throw new Error(`a weight of shape [${shape}] was read`);
  };
  return { type: 'float32', shape, byteLength, tensor };
}

export function llama({
  layers,
  hidden = 4096,
  heads = 32,
  groups = 8,
  headDim = 128,
  intermediate = 11008,
  vocabulary = 32000,
  weight = absent,
}: LlamaOptions): Model {
  const g = graphBuilder('llama');
  const scalar = (value: number) => g.constant(tensor('float32', [], Float32Array.of(value)));
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const rotations = (name: string) => g.input(name, 'float32', ['batch_size', 'sequence_length', headDim]);
  const [cos, sin] = ['cos', 'sin'].map((name) => g.op('Unsqueeze', [rotations(name), g.ints(1)]));
  let x = g.op('Gather', [g.constant(weight(vocabulary, hidden), 'embed_tokens'), ids]);
  for (let layer = 0; layer < layers; layer++) {
    const cache = (part: string) =>
      g.input(`past_key_values.${layer}.${part}`, 'float32', [
        'batch_size',
        groups,
        'past_sequence_length',
        headDim,
      ]);
    const present = (part: string, value: string) =>
      g.output(`present.${layer}.${part}`, value, 'float32', ['batch_size', groups, 'total_length', headDim]);
    const linear = (from: string, rows: number, columns: number) =>
      g.op('MatMul', [from, g.constant(weight(rows, columns), 'weight')]);

    const normed = norm(g, x, g.constant(weight(hidden), 'norm'), scalar(1e-6));
    const apart = (from: string, count: number) => {
      const target = g.op('Concat', [size(g, normed, 0), size(g, normed, 1), g.ints(-1), g.ints(headDim)], {
        axis: 0,
      });
      const split = g.op('Reshape', [linear(from, hidden, count * headDim), target]);
      return g.op('Transpose', [split], { perm: [0, 2, 1, 3] });
    };
    const turned = (part: string) => {
      const [first, second] = [
        g.op('Slice', [part, g.ints(0), g.ints(headDim / 2), g.ints(3)]),
        g.op('Slice', [part, g.ints(headDim / 2), g.ints(Number.MAX_SAFE_INTEGER), g.ints(3)]),
      ];
      const half = g.op('Concat', [g.op('Neg', [second]), first], { axis: -1 });
      return g.op('Add', [g.op('Mul', [part, cos]), g.op('Mul', [half, sin])]);
    };
    const grown = (part: string, value: string) => {
      const whole = g.op('Concat', [cache(part), value], { axis: -2 });
      present(part, whole);
      const sizes = [0, 1, 2, 3].map((at) => size(g, whole, at));
      const repeated = g.ints(heads / groups);
      const wide = g.op('Expand', [
        g.op('Unsqueeze', [whole, g.ints(2)]),
        g.op('Concat', [sizes[0], sizes[1], repeated, sizes[2], sizes[3]], { axis: 0 }),
      ]);
      const joined = g.op('Concat', [sizes[0], g.op('Mul', [sizes[1], repeated]), sizes[2], sizes[3]], {
        axis: 0,
      });
      return g.op('Reshape', [wide, joined]);
    };
    const q = turned(apart(normed, heads));
    const k = grown('key', turned(apart(normed, groups)));
    const v = grown('value', apart(normed, groups));
    const scores = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const scaled = g.op('Mul', [scores, scalar(headDim ** -0.5)]);
    const context = g.op('Transpose', [g.op('MatMul', [g.op('Softmax', [scaled], { axis: -1 }), v])], {
      perm: [0, 2, 1, 3],
    });
    const target = g.op('Concat', [size(g, normed, 0), size(g, normed, 1), g.ints(-1)], { axis: 0 });
    x = g.op('Add', [x, linear(g.op('Reshape', [context, target]), heads * headDim, hidden)]);
    const read = norm(g, x, g.constant(weight(hidden), 'norm'), scalar(1e-6));
    const gate = linear(read, hidden, intermediate);
    const opened = g.op('Mul', [
      g.op('Mul', [gate, g.op('Sigmoid', [gate])]),
      linear(read, hidden, intermediate),
    ]);
    x = g.op('Add', [x, linear(opened, intermediate, hidden)]);
  }
  const last = norm(g, x, g.constant(weight(hidden), 'norm'), scalar(1e-6));
  const logits = g.op('MatMul', [last, g.constant(weight(hidden, vocabulary), 'lm_head')]);
  g.output('logits', logits, 'float32', ['batch_size', 'sequence_length', vocabulary]);
  return g.model({ opset: 18 });
}

/** One dimension of a value at run time, as a vector of one. */
const size = (g: GraphBuilder, value: string, at: number) =>
  g.op('Unsqueeze', [
    g.op('Gather', [g.op('Shape', [value]), g.scalar('int64', at)], { axis: 0 }),
    g.ints(0),
  ]);

function norm(g: GraphBuilder, x: string, weight: string, epsilon: string): string {
  const square = g.op('Pow', [x, g.constant(tensor('float32', [], Float32Array.of(2)))]);
  const mean = g.op('ReduceMean', [square, g.ints(-1)]);
  const root = g.op('Sqrt', [g.op('Add', [mean, epsilon])]);
  return g.op('Mul', [weight, g.op('Mul', [x, g.op('Reciprocal', [root])])]);
}
