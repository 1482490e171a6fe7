/**
 * Changing a graph. Every edit looks first and changes afterwards: when it throws, the graph is as it was.
 * @module
 */
import { InputError } from '../errors.ts';
import type { Attribute, Graph, Model, Node } from './model.ts';
import { definedIn, describeNode, forEachRead, subgraphs } from './walk.ts';

/** A model of its own to edit. Weights, and what the form does not model, are shared: both are never changed. */
export function cloneModel(model: Model): Model {
  return {
    ...model,
    opsets: new Map(model.opsets),
    graph: cloneGraph(model.graph),
    functions: model.functions.map((definition) => ({
      ...definition,
      nodes: definition.nodes.map(cloneNode),
    })),
    metadata: new Map(model.metadata),
  };
}

export function cloneGraph(graph: Graph): Graph {
  return {
    ...graph,
    nodes: graph.nodes.map(cloneNode),
    initializers: new Map(graph.initializers),
    inputs: [...graph.inputs],
    outputs: [...graph.outputs],
    valueInfo: new Map(graph.valueInfo),
  };
}

export function cloneNode(node: Node): Node {
  const attributes = new Map<string, Attribute>();
  for (const [name, attribute] of node.attributes) {
    if (attribute.kind === 'graph')
      attributes.set(name, { ...attribute, value: cloneGraph(attribute.value) });
    else if (attribute.kind === 'graphs')
      attributes.set(name, { ...attribute, value: attribute.value.map(cloneGraph) });
    else attributes.set(name, attribute);
  }
  return { ...node, inputs: [...node.inputs], outputs: [...node.outputs], attributes };
}

/** A node of ours. */
export function newNode(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Iterable<readonly [string, Attribute]> = [],
  domain = '',
): Node {
  return {
    name: outputs[0],
    opType,
    domain,
    inputs: [...inputs],
    outputs: [...outputs],
    attributes: new Map(attributes),
  };
}

/** Every name that a value or a node of the graph or of its subgraphs has. */
export function namesIn(graph: Graph): Set<string> {
  const taken = new Set<string>();
  const visit = (inner: Graph) => {
    for (const name of definedIn(inner)) taken.add(name);
    for (const name of inner.valueInfo.keys()) taken.add(name);
    for (const node of inner.nodes) {
      taken.add(node.name);
      subgraphs(node).forEach(visit);
    }
  };
  visit(graph);
  return taken;
}

/**
 * Makes names that no value and no node of the graph or of its subgraphs has, each only once. For a subgraph, give
 * the outermost graph: its values are visible inside.
 */
export function freshNames(graph: Graph): (hint: string) => string {
  const taken = namesIn(graph);
  return (hint) => {
    let name = hint;
    for (let i = 1; name === '' || taken.has(name); i++) name = `${hint}_${i}`;
    taken.add(name);
    return name;
  };
}

/** A name that nothing in the graph has yet: the hint itself, or the hint and a number. */
export function freshName(graph: Graph, hint: string): string {
  return freshNames(graph)(hint);
}

/**
 * Lets everything that reads `from` read `to`, inside subgraphs too. Graph outputs keep their names, and with them
 * their producers. The order of nodes is mended where `to` is made later than it is now read.
 * @param except nodes that go on reading `from`
 * @throws RangeError when the graph has no value `to`; InputError when the graph would have a cycle.
 */
export function replaceUses(
  graph: Graph,
  from: string,
  to: string,
  except: ReadonlySet<Node> = new Set(),
): void {
  if (!definedIn(graph).has(to)) {
    throw new RangeError(`replaceUses: graph "${graph.name}" has no value "${to}" to stand for "${from}"`);
  }
  const reads: { node: Node; position: number }[] = [];
  for (const owner of graph.nodes) {
    if (except.has(owner)) continue;
    forEachRead(owner, (value, node, position) => {
      if (value !== from) return;
      if (position < 0) {
        throw new RangeError(`replaceUses: a subgraph of ${describeNode(owner)} hands out "${from}" by name`);
      }
      reads.push({ node, position });
    });
  }
  for (const { node, position } of reads) node.inputs[position] = to;
  try {
    sortTopologically(graph);
  } catch (cause) {
    for (const { node, position } of reads) node.inputs[position] = from;
    throw cause;
  }
}

/**
 * Renames a value where it is made and wherever it is read.
 * @throws RangeError when the graph does not define it, or the new name is taken.
 */
export function renameValue(graph: Graph, from: string, to: string): void {
  const defined = definedIn(graph);
  if (!defined.has(from))
    throw new RangeError(`renameValue: graph "${graph.name}" does not define "${from}"`);
  if (defined.has(to)) throw new RangeError(`renameValue: graph "${graph.name}" has a value "${to}" already`);
  const rename = (name: string) => (name === from ? to : name);
  const renameIn = (inner: Graph) => {
    for (const node of inner.nodes) {
      node.inputs = node.inputs.map(rename);
      for (const body of subgraphs(node)) if (!definedIn(body).has(from)) renameIn(body);
    }
    inner.outputs = inner.outputs.map((info) => (info.name === from ? { ...info, name: to } : info));
  };
  renameIn(graph);
  for (const node of graph.nodes) node.outputs = node.outputs.map(rename);
  graph.inputs = graph.inputs.map((info) => (info.name === from ? { ...info, name: to } : info));
  graph.initializers = new Map(Array.from(graph.initializers, ([name, stored]) => [rename(name), stored]));
  graph.valueInfo = new Map(
    Array.from(graph.valueInfo, ([name, info]) =>
      name === from ? [to, { ...info, name: to }] : [name, info],
    ),
  );
}

/**
 * Adds nodes to a graph, each where its inputs are made and before its readers.
 * @throws RangeError when a node reads a value that neither the graph nor `around` has, or makes one that exists.
 */
export function insertNodes(
  graph: Graph,
  nodes: readonly Node[],
  around: ReadonlySet<string> = new Set(),
): void {
  const defined = definedIn(graph);
  for (const node of nodes) {
    for (const output of node.outputs) {
      if (output === '') continue;
      if (defined.has(output))
        throw new RangeError(`insertNodes: "${output}" of ${describeNode(node)} exists already`);
      defined.add(output);
    }
  }
  for (const node of nodes) {
    forEachRead(node, (value) => {
      if (!defined.has(value) && !around.has(value)) {
        throw new RangeError(`insertNodes: nothing makes "${value}", which ${describeNode(node)} reads`);
      }
    });
  }
  graph.nodes = sorted(graph, [...graph.nodes, ...nodes]);
}

/**
 * Removes what no output depends on: nodes, initializers and declared types, in subgraphs too. Graph inputs and
 * outputs stay, as does an initializer that is the default of an input.
 * @returns how many of the graph's own nodes were removed
 */
export function removeDeadNodes(graph: Graph): number {
  const producers = new Map<string, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) producers.set(output, node);
  const before = graph.nodes.length;
  const needed = new Set(graph.outputs.map(({ name }) => name));
  const alive = new Set<Node>();
  // A set is iterated in the order of insertion, additions included: the frontier and the memory in one.
  for (const value of needed) {
    const node = producers.get(value);
    if (!node || alive.has(node)) continue;
    alive.add(node);
    for (const body of subgraphs(node)) removeDeadNodes(body);
    forEachRead(node, (read) => needed.add(read));
  }
  graph.nodes = graph.nodes.filter((node) => alive.has(node));
  const kept = new Set(needed);
  for (const { name } of graph.inputs) kept.add(name);
  for (const name of graph.initializers.keys()) if (!kept.has(name)) graph.initializers.delete(name);
  for (const node of graph.nodes) for (const output of node.outputs) kept.add(output);
  for (const name of graph.valueInfo.keys()) if (!kept.has(name)) graph.valueInfo.delete(name);
  return before - graph.nodes.length;
}

/**
 * Puts nodes behind what they read. Nodes that stand in order already keep their order.
 * @throws InputError naming a cycle.
 */
export function sortTopologically(graph: Graph): void {
  graph.nodes = sorted(graph, graph.nodes);
}

function sorted(graph: Graph, nodes: readonly Node[]): Node[] {
  const producers = new Map<string, Node>();
  for (const node of nodes) for (const output of node.outputs) if (output !== '') producers.set(output, node);
  const order: Node[] = [];
  const state = new Map<Node, 'open' | 'done'>();
  for (const root of nodes) {
    // Depth first with a stack of our own: graphs are deeper than the call stack may be.
    const path: { node: Node; before: Node[] }[] = [];
    const enter = (node: Node) => {
      if (state.get(node) === 'done') return;
      if (state.get(node) === 'open') {
        const cycle = path
          .slice(path.findIndex((step) => step.node === node))
          .map((step) => describeNode(step.node));
        throw new InputError(`graph "${graph.name}" has a cycle: ${cycle.reverse().join(' → ')} → back.`);
      }
      state.set(node, 'open');
      const before: Node[] = [];
      forEachRead(node, (value) => {
        const producer = producers.get(value);
        if (producer) before.push(producer);
      });
      path.push({ node, before: before.reverse() });
    };
    enter(root);
    for (let step = path.at(-1); step; step = path.at(-1)) {
      const next = step.before.pop();
      if (next) {
        enter(next);
        continue;
      }
      state.set(step.node, 'done');
      order.push(step.node);
      path.pop();
    }
  }
  return order;
}
