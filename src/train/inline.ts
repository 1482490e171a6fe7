/**
 * Copying the nodes of a graph into one that is being written: a whole model becomes the inside of a training step.
 * @module
 */
import type { GraphBuilder } from '../onnx/build.ts';
import type { Attribute, Graph } from '../onnx/model.ts';

/**
 * Copies all nodes, and the initializers that they read, into `g`. Names are kept as far as they are free there.
 * @param given what stands for values of the graph that are made elsewhere: all its inputs, and whichever initializers
 * @param around what stands for values of the graphs around it
 * @returns the copy of a value
 */
export function inline(
  g: GraphBuilder,
  graph: Graph,
  given: ReadonlyMap<string, string>,
  around: (value: string) => string = (value) => {
    throw new Error(`train: nothing stands for "${value}" of graph "${graph.name}"`);
  },
): (value: string) => string {
  const copies = new Map(given);
  const read = (value: string): string => {
    if (value === '') return '';
    const known = copies.get(value);
    if (known !== undefined) return known;
    const stored = graph.initializers.get(value);
    if (!stored) return around(value);
    const copy = g.constant(stored, value);
    copies.set(value, copy);
    return copy;
  };
  const copied = (attribute: Attribute): Attribute => {
    if (attribute.kind === 'graph') return { ...attribute, value: body(g, attribute.value, read) };
    if (attribute.kind === 'graphs')
      return { ...attribute, value: attribute.value.map((one) => body(g, one, read)) };
    return attribute;
  };
  for (const { opType, domain, inputs, outputs, attributes } of graph.nodes) {
    const own = Object.fromEntries([...attributes].map(([name, value]) => [name, copied(value)]));
    const name = outputs.find((output) => output !== '') ?? opType;
    const made = g.ops(opType, inputs.map(read), own, outputs.length, { domain, name });
    outputs.forEach((output, i) => {
      if (output !== '') copies.set(output, made[i]);
    });
  }
  return read;
}

/** A copy of the body of an If, Loop or Scan. */
function body(g: GraphBuilder, graph: Graph, around: (value: string) => string): Graph {
  const inner = g.body(graph.name);
  const given = graph.inputs.map(
    ({ name, type, shape }) => [name, inner.input(name, type ?? 'float32', shape)] as const,
  );
  const read = inline(inner, graph, new Map(given), around);
  for (const { name, type, shape } of graph.outputs) inner.output(name, read(name), type, shape);
  return inner.graph();
}
