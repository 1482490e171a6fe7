/**
 * Copying the nodes of a graph into one that is being written: a whole model becomes the inside of a training step.
 * @module
 */
import { InputError } from '../errors.ts';
import type { GraphBuilder } from '../onnx/build.ts';
import type { Graph } from '../onnx/model.ts';
import { describeNode, subgraphs } from '../onnx/walk.ts';

/**
 * Copies all nodes, and the initializers that they read, into `g`. Names are kept as far as they are free there.
 * @param given what stands for values of the graph that are made elsewhere: all its inputs, and whichever initializers
 * @returns the copy of a value
 * @throws InputError for a node with a graph of its own, whose reads a copy would not follow
 */
export function inline(
  g: GraphBuilder,
  graph: Graph,
  given: ReadonlyMap<string, string>,
): (value: string) => string {
  const copies = new Map(given);
  const read = (value: string): string => {
    if (value === '') return '';
    const known = copies.get(value);
    if (known !== undefined) return known;
    const stored = graph.initializers.get(value);
    if (!stored) throw new Error(`train: nothing stands for "${value}" of graph "${graph.name}"`);
    const copy = g.constant(stored, value);
    copies.set(value, copy);
    return copy;
  };
  for (const node of graph.nodes) {
    if (subgraphs(node).length > 0) {
      throw new InputError(
        `train: ${describeNode(node)} holds a graph of its own, which training does not follow. Export the model without control flow.`,
      );
    }
    const { opType, domain, inputs, outputs, attributes } = node;
    const name = outputs.find((output) => output !== '') ?? opType;
    const made = g.ops(opType, inputs.map(read), Object.fromEntries(attributes), outputs.length, {
      domain,
      name,
    });
    outputs.forEach((output, i) => {
      if (output !== '') copies.set(output, made[i]);
    });
  }
  return read;
}
