/**
 * Reverse mode: from a graph that computes a scalar to the graph that also computes its gradients.
 *
 * A gradient is nodes of the same graph. One walk against the order of the nodes; a closed table has one rule per
 * operator; broadcasting is undone in one place. What no parameter reaches gets no backward nodes.
 * @module
 */
import { InputError } from '../errors.ts';
import { graphExtension } from '../onnx/build.ts';
import { cloneModel } from '../onnx/edit.ts';
import type { Model } from '../onnx/model.ts';
import { tensor } from '../tensor/tensor.ts';
import { adjoint, multiplied, total, whole } from './adjoint.ts';
import { backpropagate, type Found } from './backpropagate.ts';
import { type Float, floatType, rankOf, type Writer } from './operation.ts';
import { type Prepared, prepare, type Undifferentiable } from './prepare.ts';

export type { Undifferentiable } from './prepare.ts';

export interface Differentiated {
  /** The model with the backward nodes added. Its inputs and outputs are as they were. */
  readonly model: Model;
  /**
   * Parameter → the value that is its gradient, of its type and shape. A parameter that the loss does not depend on has none.
   */
  readonly gradients: ReadonlyMap<string, string>;
}

/**
 * Adds the nodes that compute the gradient of a scalar.
 *
 * Fused operators on the way are replaced by the ones they were fused from. Names of new values begin with `backward/`.
 * @param loss a value of the graph: one float, of shape [] or [1, …, 1]
 * @param parameters initializers or graph inputs, of type float32 or float64
 * @returns a new model; the one given is left as it was, and shares its weights with the new one
 * @throws InputError naming the nodes in the way, as `undifferentiable` lists them
 * @throws RangeError when the graph has no such loss or parameter
 */
export function differentiate(model: Model, loss: string, parameters: readonly string[]): Differentiated {
  const prepared = prepare(cloneModel(model), loss, parameters);
  const [first, ...more] = prepared.problems;
  if (first) {
    const others = more.length > 0 ? ` (and ${more.length} more)` : '';
    throw new InputError(
      `autodiff: no gradient passes through ${first.node}: ${first.reason}${others}. ` +
        'Export the model with another opset or without that operator, or freeze the weights before it.',
    );
  }
  const { graph } = prepared.model;
  const g = graphExtension(graph, 'backward/');
  const memory = new Map<string, string>();
  const writer: Writer = {
    ...prepared.knowledge,
    g,
    memo(key, make) {
      const value = memory.get(key) ?? make();
      memory.set(key, value);
      return value;
    },
  };
  const found: Found = new Map([[loss, [seed(writer, loss)]]]);
  backpropagate(writer, prepared.activity, found);
  const gradients = new Map<string, string>();
  for (const parameter of parameters) {
    const parts = found.get(parameter);
    if (!parts) continue;
    const sum = total(writer, parts, parameter);
    const value = whole(writer, sum, parameter);
    gradients.set(parameter, multiplied(writer, { ...sum, value }, parameter));
  }
  const written = g.graph();
  graph.nodes.push(...written.nodes);
  for (const [name, stored] of written.initializers) graph.initializers.set(name, stored);
  return { model: prepared.model, gradients };
}

/** The derivative of the loss with respect to itself. */
function seed(writer: Writer, loss: string) {
  const type = floatType(writer, loss);
  const shape = Array<number>(rankOf(writer, loss)).fill(1);
  const one = tensor<Float>(type, shape, type === 'float64' ? Float64Array.of(1) : Float32Array.of(1));
  return adjoint(writer.g.constant(one, 'one'));
}

/** The nodes between the parameters and the loss that have no rule, in the order of the graph; empty when all have. */
export function undifferentiable(
  model: Model,
  loss: string,
  parameters: readonly string[],
): readonly Undifferentiable[] {
  const { problems }: Prepared = prepare(cloneModel(model), loss, parameters);
  return problems;
}
