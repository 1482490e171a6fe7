/**
 * Looking at a graph: every tensor of it.
 * @module
 */
import type { Attribute, Graph, Model, Node, StoredTensor } from './model.ts';

/** The graphs in a node's attributes: the bodies of If, Loop and Scan. */
export function subgraphs(node: Node): Graph[] {
  return [...node.attributes.values()].flatMap(graphsOf);
}

function graphsOf(attribute: Attribute): readonly Graph[] {
  if (attribute.kind === 'graph') return [attribute.value];
  return attribute.kind === 'graphs' ? attribute.value : [];
}

/** All tensors of a model in the order of the file, each once: initializers and attributes, subgraphs and functions. */
export function storedTensors(model: Model): Set<StoredTensor> {
  const found = new Set<StoredTensor>();
  const visitNode = (node: Node) => {
    for (const attribute of node.attributes.values()) {
      if (attribute.kind === 'tensor') found.add(attribute.value);
      for (const graph of graphsOf(attribute)) visit(graph);
    }
  };
  const visit = (graph: Graph) => {
    for (const node of graph.nodes) visitNode(node);
    for (const stored of graph.initializers.values()) found.add(stored);
  };
  visit(model.graph);
  for (const definition of model.functions) definition.nodes.forEach(visitNode);
  return found;
}
