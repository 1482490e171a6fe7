/**
 * The same graph with other consuming matrices: masked ones, which are the oracle of every cut, or refitted ones.
 * @module
 */
import { cloneModel, freshName, newNode } from '../onnx/edit.ts';
import type { Model, Node } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { indexGraph } from '../onnx/walk.ts';
import { clear } from '../tensor/slice.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type Analysis, layout } from './analyse.ts';
import { type Removal, removedStructures } from './block.ts';
import { flatten, nest } from './branches.ts';

/** The model with the consuming matrices' columns of removed structures at zero. A cut model must equal it. */
export function mask(model: Model, analysis: Analysis, removal: Removal): Model {
  const result = flatten(cloneModel(model));
  for (const [id, gone] of removedStructures(analysis.blocks, removal)) {
    const { columns } = analysis.blocks.find((block) => block.id === id)!;
    const zero = [...gone].flatMap((structure) => columns[structure]);
    editConsumers(result, analysis, id, (weight, axis) => clear(weight, axis, zero));
  }
  return nest(result);
}

/** The model with other consuming matrices, and biases: full size, in the stored orientation. */
export function replaceConsumers(
  model: Model,
  analysis: Analysis,
  weights: ReadonlyMap<string, { readonly weight: Tensor; readonly bias?: Tensor }>,
): Model {
  const result = flatten(cloneModel(model));
  for (const [id, { weight, bias }] of weights) editConsumers(result, analysis, id, () => weight, bias);
  return nest(result);
}

/**
 * Changes a block's consuming matrix in a flat model wherever the block reads it, copy-on-write: other readers of the
 * same initializer keep what they have.
 */
export function editConsumers(
  model: Model,
  analysis: Analysis,
  id: string,
  edit: (weight: Tensor, axis: 0 | 1) => Tensor,
  bias?: Tensor,
): void {
  const { axis } = analysis.blocks.find((block) => block.id === id)!.consumer;
  const readers = weightReaders(model, analysis, id);
  const stored = model.graph.initializers.get(leafOf(model, readers[0]))!;
  replaceLeaf(model, readers, edit(stored.tensor(), axis));
  const biased = bias && biasReaders(model, analysis, id);
  if (biased && biased.length > 0) replaceLeaf(model, biased, bias);
}

/** Where a flat model reads a block's consuming matrix. */
export function weightReaders(model: Model, analysis: Analysis, id: string): Reader[] {
  const nodes = new Map(model.graph.nodes.map((node) => [node.outputs[0], node]));
  return analysis.sites.get(id)!.consumers.map(({ node, weightInput }) => ({
    node: nodes.get(node.outputs[0])!,
    input: weightInput,
  }));
}

/** Where a block's output bias is read: at the consuming node itself, or at the next one. */
export function biasReaders(model: Model, analysis: Analysis, id: string): Reader[] {
  const { bias } = analysis.blocks.find((block) => block.id === id)!.consumer;
  if (bias === undefined) return [];
  const index = indexGraph(model.graph);
  return analysis.sites.get(id)!.consumers.flatMap(({ node: { outputs } }) => {
    const { node } = index.producer(outputs[0])!;
    const next = index.uses(outputs[0]).map((use) => use.node);
    const readers = [node, ...next].flatMap((one) => one.inputs.map((_, input) => ({ node: one, input })));
    return readers.filter((reader) => leafOf(model, reader) === bias).slice(0, 1);
  });
}

export interface Reader {
  readonly node: Node;
  readonly input: number;
}

/** The initializer behind an input, through Identity, Transpose and Cast, and the nodes on the way. */
function pathOf(model: Model, { node, input }: Reader): { leaf: string; path: Node[] } {
  const path: Node[] = [];
  let leaf = node.inputs[input];
  while (!model.graph.initializers.has(leaf)) {
    const maker = model.graph.nodes.find((one) => one.outputs.includes(leaf));
    if (!maker || !layout.has(maker.opType)) break;
    path.push(maker);
    leaf = maker.inputs[0];
  }
  return { leaf, path };
}

const leafOf = (model: Model, reader: Reader): string => pathOf(model, reader).leaf;

function replaceLeaf(model: Model, readers: readonly Reader[], value: Tensor): void {
  const { graph } = model;
  const { leaf } = pathOf(model, readers[0]);
  const ours = new Set(readers.map(({ node, input }) => `${input} ${node.outputs[0]}`));
  const index = indexGraph(graph);
  const owned = (name: string): boolean =>
    !index.isOutput(name) &&
    index.uses(name).every(({ node, position }) => {
      if (ours.has(`${position} ${node.outputs[0]}`)) return true;
      return layout.has(node.opType) && owned(node.outputs[0]);
    });
  if (owned(leaf)) {
    graph.initializers.set(leaf, storedTensor(value));
    return;
  }
  const name = freshName(graph, leaf);
  graph.initializers.set(name, storedTensor(value));
  redirect(model, readers, name);
}

/** Lets readers of a stored tensor read another value instead, through operators of their own like those on the way. */
export function redirect(model: Model, readers: readonly Reader[], to: string): void {
  const { graph } = model;
  for (const reader of readers) {
    let from = to;
    for (const step of pathOf(model, reader).path.reverse()) {
      const output = freshName(graph, step.outputs[0]);
      const copy = newNode(step.opType, [from, ...step.inputs.slice(1)], [output], step.attributes);
      graph.nodes.splice(graph.nodes.indexOf(reader.node), 0, copy);
      from = output;
    }
    reader.node.inputs[reader.input] = from;
  }
}
