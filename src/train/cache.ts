/**
 * Decoders whose cache is empty, as they are trained: what they read beside tokens is made in the graph, so that a step needs
 * tokens only.
 * @module
 */
import { emptyCache, readsTokens } from '../data/decoder.ts';
import { InputError } from '../errors.ts';
import { graphExtension } from '../onnx/build.ts';
import { cloneModel, removeDeadNodes } from '../onnx/edit.ts';
import type { Model } from '../onnx/model.ts';
import { arrayOf, type DataType, tensor } from '../tensor/tensor.ts';
import { inputsOf } from './losses.ts';

/**
 * The model with its cache's inputs made in the graph, under the names that they have; the model itself where it has none.
 * @throws InputError for an input that is neither tokens' nor a cache's
 */
export function withEmptyCache(model: Model): Model {
  const inputs = inputsOf(model);
  const others = inputs.filter((input) => !readsTokens(input));
  if (others.length === 0) return model;
  const tokens = inputs.find(readsTokens);
  if (tokens === undefined) {
    throw new InputError(`train: no input of the model reads tokens. Export it for language modelling.`);
  }
  const names = new Set(others.map(({ name }) => name));
  const result = cloneModel(model);
  const { graph } = result;
  graph.inputs = graph.inputs.filter(({ name }) => !names.has(name));
  const g = graphExtension(graph);
  const batch = g.op('Gather', [g.op('Shape', [tokens.name]), g.ints(0)]);
  // An axis that grows with the batch is the batch's.
  const [one, two] = [1, 2].map((count) => emptyCache(inputs, [count, 1]));
  for (const { name } of others) {
    const { type, shape, data } = one[name];
    const sizes = shape.map((size, axis) => (two[name].shape[axis] === size ? g.ints(size) : batch));
    const target = sizes.length > 0 ? g.op('Concat', sizes, { axis: 0 }) : g.ints();
    const value = new arrayOf[type](1);
    if (data.length > 0) value[0] = data[0] as never;
    const filled = g.op('ConstantOfShape', [target], { value: tensor<DataType>(type, [1], value) });
    g.output(name, filled);
  }
  const { nodes, initializers } = g.graph();
  graph.nodes.unshift(...nodes);
  for (const [name, stored] of initializers) graph.initializers.set(name, stored);
  return result;
}

/** The inverse, after training: a model of `withEmptyCache` with the inputs that `original` has. */
export function withCacheOf(original: Model, trained: Model): Model {
  const left = new Set(trained.graph.inputs.map(({ name }) => name));
  const back = new Set(original.graph.inputs.map(({ name }) => name).filter((name) => !left.has(name)));
  if (back.size === 0) return trained;
  const result = cloneModel(trained);
  const { graph } = result;
  graph.nodes = graph.nodes.filter(({ outputs }) => !outputs.some((name) => back.has(name)));
  graph.inputs = [...original.graph.inputs];
  removeDeadNodes(graph);
  return result;
}
