/**
 * Operators of ONNX Runtime that have no kernel on a CPU, written out in others: what a model with them runs as here.
 * @module
 */
import { cloneModel, freshNames, newNode } from '../../src/onnx/edit.ts';
import type { Attribute, Model, Node } from '../../src/onnx/model.ts';
import { storedTensor } from '../../src/onnx/stored.ts';
import { intAttribute } from '../../src/onnx/walk.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';

export function unfused(model: Model): Model {
  const result = cloneModel(model);
  const { graph } = result;
  const fresh = freshNames(graph);
  const nodes: Node[] = [];
  const constant = (value: Tensor) => {
    const name = fresh('constant');
    graph.initializers.set(name, storedTensor(value));
    return name;
  };
  const ints = (...values: number[]) =>
    constant(tensor('int64', [values.length], BigInt64Array.from(values, BigInt)));
  const number = (value: number) => constant(tensor('float32', [], Float32Array.of(value)));
  const int = (name: string, value: number): [string, Attribute] => [
    name,
    { kind: 'int', value: BigInt(value) },
  ];
  const op = (
    opType: string,
    inputs: string[],
    attributes: [string, Attribute][] = [],
    output = fresh(opType),
  ) => {
    nodes.push(newNode(opType, inputs, [output], attributes));
    return output;
  };
  const split = (x: string, count: number, axis: number) => {
    const parts = Array.from({ length: count }, () => fresh('part'));
    nodes.push(newNode('Split', [x], parts, [int('axis', axis), int('num_outputs', count)]));
    return parts;
  };
  /** [batch, length, heads, count, width] → count × [batch, length, heads·width] */
  const unpacked = (x: string, count: number) =>
    split(x, count, 3).map((part) => op('Reshape', [part, ints(0, 0, -1)]));

  const written: Readonly<Record<string, (node: Node) => void>> = {
    MultiHeadAttention(node) {
      const [query, key, value, ...rest] = node.inputs;
      const qkv = !key ? unpacked(query, 3) : !value ? [query, ...unpacked(key, 2)] : [query, key, value];
      nodes.push({ ...node, inputs: [...qkv, ...rest] });
    },
    BiasSoftmax: ({ inputs, outputs: [y] }) => void op('Softmax', [op('Add', inputs)], [int('axis', -1)], y),
    BiasAdd: ({ inputs: [x, bias, skip], outputs: [y] }) =>
      void op('Add', [op('Add', [x, bias]), skip], [], y),
    BiasSplitGelu({ inputs: [x, bias], outputs: [y] }) {
      const [a, b] = split(op('Add', [x, bias]), 2, 2);
      op('Mul', [a, op('Sigmoid', [b])], [], y);
    },
    GemmFastGelu: ({ inputs: [x, w, bias], outputs: [y] }) =>
      void op('Tanh', [op('Add', [op('MatMul', [x, w]), bias])], [], y),
    /** By any positions: which bucket a pair of them is in is the same for all heads. */
    RelativePositionBias({ inputs: [table], outputs: [y] }) {
      const buckets = constant(
        tensor(
          'int64',
          [5, 5],
          BigInt64Array.from({ length: 25 }, (_, i) => BigInt(i % 7)),
        ),
      );
      const picked = op('Gather', [table, buckets]);
      const perm: Attribute = { kind: 'ints', value: [2n, 0n, 1n] };
      op('Unsqueeze', [op('Transpose', [picked], [['perm', perm]]), ints(0)], [], y);
    },
    GatedRelativePositionBias(node) {
      const [query, vector, bias, weight, shift, scale] = node.inputs;
      const apart = op('Reshape', [
        op('Add', [query, vector]),
        ints(0, 0, intAttribute(node, 'num_heads', 0), -1),
      ]);
      const perm: Attribute = { kind: 'ints', value: [0n, 2n, 1n, 3n] };
      const gates = op('Add', [op('MatMul', [op('Transpose', [apart], [['perm', perm]]), weight]), shift]);
      const summed = op(
        'ReduceSum',
        [op('Reshape', [gates, ints(0, 0, 0, 2, -1)]), ints(-1)],
        [int('keepdims', 0)],
      );
      const [u, r] = split(op('Sigmoid', [summed]), 2, 3);
      const inner = op('Mul', [u, op('Sub', [op('Mul', [r, scale]), number(1)])]);
      op('Mul', [op('Add', [inner, number(2)]), bias], [], node.outputs[0]);
    },
  };
  for (const node of graph.nodes) {
    if (node.domain === 'com.microsoft' && Object.hasOwn(written, node.opType)) written[node.opType](node);
    else nodes.push(node);
  }
  graph.nodes = nodes;
  return result;
}
