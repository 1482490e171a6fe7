/**
 * Looking at a graph: who makes a value and who reads it, what a node's attributes say, which tensors there are.
 * @module
 */
import { InputError } from '../errors.ts';
import type { Attribute, Graph, Model, Node, StoredTensor } from './model.ts';

export interface Producer {
  readonly node: Node;
  /** Position among the node's outputs. */
  readonly position: number;
}

export interface Use {
  /** The node that reads the value: one of the graph's own, or one inside a subgraph that captures it. */
  readonly node: Node;
  /** Position among the node's inputs; -1 where a subgraph captures the value only to hand it out. */
  readonly position: number;
  /** The graph's own node: `node` itself, or the If, Loop or Scan around it. */
  readonly owner: Node;
}

/** Who makes and who reads the values of one graph. A snapshot: index again after an edit. */
export interface GraphIndex {
  /** The node that makes a value; undefined for inputs, initializers, and values from around the graph. */
  producer(value: string): Producer | undefined;
  /** Every reading of a value, in the order of the nodes; graph outputs are not among them. */
  uses(value: string): readonly Use[];
  isOutput(value: string): boolean;
}

export function indexGraph(graph: Graph): GraphIndex {
  const producers = new Map<string, Producer>();
  const uses = new Map<string, Use[]>();
  for (const owner of graph.nodes) {
    owner.outputs.forEach((value, position) => {
      if (value !== '') producers.set(value, { node: owner, position });
    });
    forEachRead(owner, (value, node, position) => {
      const known = uses.get(value);
      const use = { node, position, owner };
      if (known) known.push(use);
      else uses.set(value, [use]);
    });
  }
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  return {
    producer: (value) => producers.get(value),
    uses: (value) => uses.get(value) ?? [],
    isOutput: (value) => outputs.has(value),
  };
}

/**
 * Calls `read` for every value that a node reads from the graph around it: its inputs, and what its subgraphs capture.
 * @param read receives the value, the node that reads it, and the position among that node's inputs (-1: a
 * subgraph's output)
 */
export function forEachRead(owner: Node, read: (value: string, node: Node, position: number) => void): void {
  owner.inputs.forEach((value, position) => {
    if (value !== '') read(value, owner, position);
  });
  for (const graph of subgraphs(owner)) {
    const own = definedIn(graph);
    for (const inner of graph.nodes) {
      forEachRead(inner, (value, node, position) => {
        if (!own.has(value)) read(value, node, position);
      });
    }
    for (const { name } of graph.outputs) if (!own.has(name)) read(name, owner, -1);
  }
}

/** The values that a graph defines itself: inputs, initializers and node outputs, its subgraphs' apart. */
export function definedIn(graph: Graph): Set<string> {
  const names = new Set<string>(graph.initializers.keys());
  for (const { name } of graph.inputs) names.add(name);
  for (const node of graph.nodes) for (const output of node.outputs) if (output !== '') names.add(output);
  return names;
}

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

/** A node in a message: its name, or its operator and first output. */
export function describeNode(node: Node): string {
  if (node.name !== '') return `"${node.name}" (${node.opType})`;
  return `${node.opType} → "${node.outputs.find((output) => output !== '') ?? ''}"`;
}

/**
 * An attribute of a node, or what stands for it when it is absent.
 * @throws InputError when the attribute is of another kind.
 */
export function intAttribute<D extends number | undefined = undefined>(
  node: Node,
  name: string,
  absent?: D,
): number | D {
  const found = attributeOf(node, name, 'int');
  return found ? Number(found.value) : (absent as D);
}

export function floatAttribute<D extends number | undefined = undefined>(
  node: Node,
  name: string,
  absent?: D,
): number | D {
  const found = attributeOf(node, name, 'float');
  return found ? found.value : (absent as D);
}

export function intsAttribute<D extends readonly number[] | undefined = undefined>(
  node: Node,
  name: string,
  absent?: D,
): readonly number[] | D {
  const found = attributeOf(node, name, 'ints');
  return found ? found.value.map(Number) : (absent as D);
}

export function stringAttribute<D extends string | undefined = undefined>(
  node: Node,
  name: string,
  absent?: D,
): string | D {
  const found = attributeOf(node, name, 'string');
  return found ? new TextDecoder().decode(found.value) : (absent as D);
}

export function tensorAttribute(node: Node, name: string): StoredTensor | undefined {
  return attributeOf(node, name, 'tensor')?.value;
}

export function graphAttribute(node: Node, name: string): Graph | undefined {
  return attributeOf(node, name, 'graph')?.value;
}

function attributeOf<K extends Attribute['kind']>(
  node: Node,
  name: string,
  kind: K,
): Extract<Attribute, { readonly kind: K }> | undefined {
  const found = node.attributes.get(name);
  if (found === undefined) return undefined;
  if (found.kind !== kind) {
    throw new InputError(
      `node ${describeNode(node)} has the attribute ${name} of kind ${found.kind}, but ${node.opType} takes ${kind}.`,
    );
  }
  return found as Extract<Attribute, { readonly kind: K }>;
}
