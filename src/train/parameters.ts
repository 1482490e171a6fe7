/**
 * What training changes, read off the graph.
 *
 * A file does not tell weights from other constants, so what a constant does decides. Learned are: a matrix that multiplies
 * activations, a table that ids are looked up in, and a vector that scales or shifts activations. A matrix that multiplies positions (the
 * frequencies of rotary embeddings), a table whose rows multiply what does not come from it (their cosines), masks, and
 * single numbers are not.
 *
 * *Activations* are what is computed from learned weights, or from inputs that are real numbers.
 * @module
 */
import { cloneModel, freshNames, removeDeadNodes, replaceUses } from '../onnx/edit.ts';
import type { Graph, Model, Node } from '../onnx/model.ts';
import { indexGraph } from '../onnx/walk.ts';
import { sizeOf } from '../tensor/tensor.ts';

/** Operators that only change how a constant lies. */
const layout = new Set(['Identity', 'Cast', 'Transpose', 'Reshape', 'Squeeze', 'Unsqueeze', 'Expand']);
const products = new Set(['MatMul', 'Gemm', 'Conv', 'Einsum', 'FusedMatMul', 'Attention']);
const elementwise = new Set(['Add', 'Sub', 'Mul', 'Div', 'PRelu', 'BiasGelu', 'FastGelu']);
const isNormalization = (opType: string) => /Normalization$/.test(opType);

/** The initializers that training changes, in the order in which the graph reads them. */
export function learnedWeights({ graph }: Model): string[] {
  const producers = new Map<string, Node>();
  const active = new Set(graph.inputs.filter(({ type }) => /float/.test(type ?? '')).map(({ name }) => name));
  const learned = new Set<string>();

  /** The float initializer behind a value that is computed from nothing else. */
  const leafOf = (value: string): string | undefined => {
    let at = value;
    for (let maker = producers.get(at); maker && layout.has(maker.opType); maker = producers.get(at)) {
      at = maker.inputs[0];
    }
    const stored = graph.initializers.get(at);
    return stored && /float/.test(stored.type) && sizeOf(stored.shape) > 1 ? at : undefined;
  };
  const isVector = (name: string) =>
    graph.initializers.get(name)!.shape.filter((dim) => dim > 1).length === 1;
  const learn = (value: string, fits: (leaf: string) => boolean = () => true) => {
    const leaf = leafOf(value);
    if (leaf !== undefined && fits(leaf)) learned.add(leaf);
  };

  for (const node of graph.nodes) {
    for (const output of node.outputs) producers.set(output, node);
    const { opType, inputs } = node;
    let isActive = opType !== 'Shape' && inputs.some((name) => active.has(name));
    if (opType === 'Gather') {
      const leaf = leafOf(inputs[0]);
      const isTable = leaf !== undefined && graph.initializers.get(leaf)!.shape.length === 2;
      if (isTable && !multipliesOthers(graph, node.outputs[0])) {
        learned.add(leaf);
        isActive = true;
      }
    } else if (isActive && products.has(opType)) {
      for (const name of inputs) if (!active.has(name)) learn(name);
    } else if (isActive && (elementwise.has(opType) || isNormalization(opType))) {
      for (const name of inputs) if (!active.has(name)) learn(name, isVector);
    }
    if (isActive) for (const output of node.outputs) active.add(output);
  }
  return [...learned];
}

/** Whether a value, through changes of layout, is multiplied with something that is not computed from it. */
function multipliesOthers(graph: Graph, value: string): boolean {
  const from = new Set([value]);
  const same = new Set([value]);
  const constants = new Set(graph.initializers.keys());
  for (const { opType, inputs, outputs } of graph.nodes) {
    if (inputs.every((name) => name === '' || constants.has(name)))
      for (const output of outputs) constants.add(output);
    if (!inputs.some((name) => from.has(name))) continue;
    const laid = inputs.some((name) => same.has(name)) && (layout.has(opType) || opType === 'Slice');
    for (const output of outputs) {
      from.add(output);
      if (laid) same.add(output);
    }
  }
  return graph.nodes.some(
    ({ opType, inputs }) =>
      opType === 'Mul' &&
      inputs.some((name) => same.has(name)) &&
      inputs.some((name) => !from.has(name) && !constants.has(name)),
  );
}

/**
 * Readies a model for training: dropout is left out, and vectors that an exporter stored once because they were equal (biases
 * of zeros, scales of ones) become one for each reader, since training would tie what was never tied.
 * @returns a model of its own; weights are shared
 */
export function prepared(model: Model): Model {
  const result = cloneModel(model);
  const { graph } = result;
  for (const node of graph.nodes.filter(({ opType }) => opType === 'Dropout')) {
    if (graph.outputs.some(({ name }) => name === node.outputs[0])) {
      Object.assign(node, { opType: 'Identity', inputs: [node.inputs[0]], outputs: [node.outputs[0]] });
      node.attributes.clear();
    } else replaceUses(graph, node.outputs[0], node.inputs[0]);
  }
  const fresh = freshNames(graph);
  for (const [name, stored] of [...graph.initializers]) {
    if (stored.shape.length !== 1 || stored.shape[0] < 2 || !/^float/.test(stored.type)) continue;
    const readers = readersOf(graph, name);
    if (readers.length < 2 || !isUniform(stored.tensor().data as Float32Array)) continue;
    for (const { node, position } of readers.slice(1)) {
      const own = fresh(name);
      graph.initializers.set(own, { ...stored });
      node.inputs[position] = own;
    }
  }
  removeDeadNodes(graph);
  return result;
}

/** Who reads a value, through Identity. */
function readersOf(graph: Graph, value: string): { node: Node; position: number }[] {
  const index = indexGraph(graph);
  const visit = (name: string): { node: Node; position: number }[] =>
    index
      .uses(name)
      .flatMap(({ node, position }) =>
        node.opType === 'Identity' && !index.isOutput(node.outputs[0])
          ? visit(node.outputs[0])
          : [{ node, position }],
      );
  return visit(value);
}

function isUniform(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false;
  return true;
}
