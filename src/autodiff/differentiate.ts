/**
 * Reverse mode: from a graph that computes a scalar to the graph that also computes its gradients.
 *
 * A gradient is nodes of the same graph. One walk against the order of the nodes; a closed table has one rule per
 * operator; broadcasting is undone in one place. What no parameter reaches gets no backward nodes.
 * @module
 */
import { InputError } from '../errors.ts';
import type { Model } from '../onnx/model.ts';

export interface Differentiated {
  /** The model with the backward nodes added. Its inputs and outputs are as they were. */
  readonly model: Model;
  /**
   * Parameter → the value that is its gradient, of its type and shape. A parameter that the loss does not depend on has none.
   */
  readonly gradients: ReadonlyMap<string, string>;
}

/** A node through which the gradient would have to pass, and cannot. */
export interface Undifferentiable {
  /** The node as messages name it. */
  readonly node: string;
  /** `Name`, or `domain.Name` for operators of other domains. */
  readonly operator: string;
  readonly reason: string;
}

/**
 * Adds the nodes that compute the gradient of a scalar.
 * @param loss a value of the graph: one float, of shape [] or [1, …, 1]
 * @param parameters initializers or graph inputs, of a float type
 * @returns a new model; the one given is left as it was, and shares its weights with the new one
 * @throws InputError naming the nodes in the way, as `undifferentiable` lists them
 */
export function differentiate(model: Model, loss: string, parameters: readonly string[]): Differentiated {
  void model;
  void parameters;
  throw new InputError(`autodiff: the gradient of "${loss}" cannot be computed.`);
}

/** The nodes between the parameters and the loss that have no rule, in the order of the graph; empty when all have. */
export function undifferentiable(
  model: Model,
  loss: string,
  parameters: readonly string[],
): readonly Undifferentiable[] {
  void model;
  void loss;
  void parameters;
  return [];
}
