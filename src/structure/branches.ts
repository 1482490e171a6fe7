/**
 * Models with branches, laid out flat.
 *
 * A flat graph holds the nodes of both bodies of every `If` before it, and the `If` only chooses: it reads the condition,
 * then what its first body hands out, then what its second does. So axes are followed and cuts made in one
 * list of nodes, as if both branches ran. `nest` puts each node into the innermost body around all that read it: where
 * it came from, or deeper, so that a branch alone pays for what it alone needs.
 *
 * Laws: `flatten` gives every value a name of its own, and the same ones whenever it is applied, also to what `nest` made.
 * @module
 */
import { freshNames, newNode } from '../onnx/edit.ts';
import type { Attribute, Graph, Model, Node, ValueInfo } from '../onnx/model.ts';
import { definedIn, forEachRead, graphAttribute } from '../onnx/walk.ts';

const bodyNames = ['then_branch', 'else_branch'] as const;

/** The two bodies of an `If` that is not flat. */
function bodiesOf(node: Node): Graph[] | undefined {
  if (node.opType !== 'If' || node.domain !== '' || node.inputs.length !== 1) return undefined;
  const bodies = bodyNames.flatMap((name) => graphAttribute(node, name) ?? []);
  const complete =
    bodies.length === 2 && bodies.every(({ outputs }) => outputs.length === node.outputs.length);
  return complete ? bodies : undefined;
}

const isFlat = (node: Node): boolean => node.opType === 'If' && node.domain === '' && node.inputs.length > 1;

/** The model with its branches laid out; the model itself where it has none. */
export function flatten(model: Model): Model {
  if (!model.graph.nodes.some(bodiesOf)) return model;
  const { nodes, ...rest } = model.graph;
  const graph: Graph = {
    ...rest,
    nodes: [],
    initializers: new Map(rest.initializers),
    valueInfo: new Map(rest.valueInfo),
  };
  const fresh = freshNames(model.graph);
  const used = definedIn(model.graph);

  const lay = (list: readonly Node[]) => {
    for (const node of list) {
      const bodies = bodiesOf(node);
      if (!bodies) {
        graph.nodes.push(node);
        continue;
      }
      const results = bodies.flatMap(open);
      const attributes = new Map(node.attributes);
      bodies.forEach((body, i) => {
        const value = { ...body, nodes: [], initializers: new Map(), outputs: [], valueInfo: new Map() };
        attributes.set(bodyNames[i], { kind: 'graph', value });
      });
      graph.nodes.push({ ...node, inputs: [...node.inputs, ...results], attributes });
    }
  };
  const open = (given: Graph): string[] => {
    const names = new Map<string, string>();
    for (const name of definedIn(given)) {
      if (used.has(name)) names.set(name, fresh(name));
      else used.add(name);
    }
    const body = renamedGraph(given, names);
    lay(body.nodes);
    for (const [name, stored] of body.initializers) graph.initializers.set(name, stored);
    for (const info of [...body.valueInfo.values(), ...body.outputs]) graph.valueInfo.set(info.name, info);
    const made = new Set(body.nodes.flatMap(({ outputs }) => outputs));
    return body.outputs.map(({ name }) => {
      // A body hands out what it does not make through an Identity; here it needs none.
      const maker = body.nodes.find(({ outputs }) => outputs.includes(name));
      const around = maker?.opType === 'Identity' && !made.has(maker.inputs[0]);
      return around ? maker.inputs[0] : name;
    });
  };
  lay(nodes);
  return { ...model, graph };
}

/** The graph with other names for what it defines itself, or for what it captures. */
function renamedGraph(graph: Graph, names: ReadonlyMap<string, string>): Graph {
  if (names.size === 0) return graph;
  const to = (name: string) => names.get(name) ?? name;
  const info = (one: ValueInfo) => ({ ...one, name: to(one.name) });
  return {
    ...graph,
    nodes: graph.nodes.map((node) => renamedNode(node, names)),
    initializers: new Map(Array.from(graph.initializers, ([name, stored]) => [to(name), stored])),
    outputs: graph.outputs.map(info),
    valueInfo: new Map(Array.from(graph.valueInfo, ([name, one]) => [to(name), info(one)])),
  };
}

function renamedNode(node: Node, names: ReadonlyMap<string, string>): Node {
  const to = (name: string) => names.get(name) ?? name;
  const inside = (graph: Graph): Graph => {
    const own = definedIn(graph);
    return renamedGraph(graph, new Map([...names].filter(([name]) => !own.has(name))));
  };
  const attribute = (one: Attribute): Attribute => {
    if (one.kind === 'graph') return { ...one, value: inside(one.value) };
    return one.kind === 'graphs' ? { ...one, value: one.value.map(inside) } : one;
  };
  return {
    ...node,
    inputs: node.inputs.map(to),
    outputs: node.outputs.map(to),
    attributes: new Map(Array.from(node.attributes, ([name, one]) => [name, attribute(one)])),
  };
}

/** A body of an `If`, or (without `around`) the graph itself. */
interface Place {
  readonly around?: Place;
  readonly depth: number;
}

function common(a: Place, b: Place): Place {
  let [one, other] = [a, b];
  while (one !== other) {
    if (one.depth >= other.depth) one = one.around!;
    else other = other.around!;
  }
  return one;
}

/** The innermost body around all readers of each node of a flat graph; nodes that nothing reads have none. */
function placesOf(graph: Graph) {
  const root: Place = { depth: 0 };
  const home = new Map<string, Place>(graph.outputs.map(({ name }) => [name, root]));
  const places = new Map<Node, Place>();
  const bodies = new Map<Node, readonly [Place, Place]>();
  const read = (value: string, from: Place) => home.set(value, common(home.get(value) ?? from, from));
  for (const node of graph.nodes.toReversed()) {
    const readers = node.outputs.flatMap((output) => home.get(output) ?? []);
    if (readers.length === 0) continue;
    const place = readers.reduce(common);
    places.set(node, place);
    if (isFlat(node)) {
      const body = (): Place => ({ around: place, depth: place.depth + 1 });
      const [then, otherwise] = [body(), body()];
      bodies.set(node, [then, otherwise]);
      const half = node.outputs.length;
      for (const [i, value] of node.inputs.entries())
        read(value, i === 0 ? place : i <= half ? then : otherwise);
    } else forEachRead(node, (value) => read(value, place));
  }
  return { root, places, bodies };
}

/** Of nodes of a flat graph, the most that one run executes: not those in different branches. */
export function runTogether(graph: Graph, nodes: readonly Node[]): number {
  if (nodes.length < 2 || !graph.nodes.some(isFlat)) return nodes.length;
  const { places } = placesOf(graph);
  const all = nodes.flatMap((node) => places.get(node) ?? []);
  return Math.max(
    ...all.map((one) => all.filter((other) => [one, other].includes(common(one, other))).length),
  );
}

/** The inverse of `flatten`. Nodes that nothing reads are left out. */
export function nest(model: Model): Model {
  if (!model.graph.nodes.some(isFlat)) return model;
  const { root, places, bodies } = placesOf(model.graph);
  const fresh = freshNames(model.graph);
  const valueInfo = new Map(model.graph.valueInfo);
  const lists = new Map<Place, Node[]>();

  const body = (template: Graph, place: Place, results: readonly string[]): Graph => {
    const nodes = lists.get(place) ?? [];
    const made = new Set(nodes.flatMap(({ outputs }) => outputs));
    const handed = new Set<string>();
    const outputs = results.map((value): ValueInfo => {
      const name = made.has(value) && !handed.has(value) ? value : fresh(value);
      if (name !== value) nodes.push(newNode('Identity', [value], [name]));
      handed.add(name);
      return { ...valueInfo.get(value), name };
    });
    const own = new Map<string, ValueInfo>();
    for (const name of made) {
      const info = valueInfo.get(name);
      if (info && !handed.has(name)) own.set(name, info);
      valueInfo.delete(name);
    }
    return { ...template, nodes, outputs, valueInfo: own };
  };

  for (const node of model.graph.nodes) {
    const place = places.get(node);
    if (!place) continue;
    const list = lists.get(place) ?? [];
    lists.set(place, list);
    const inside = bodies.get(node);
    if (!inside) {
      list.push(node);
      continue;
    }
    const attributes = new Map(node.attributes);
    const half = node.outputs.length;
    inside.forEach((one, i) => {
      const results = node.inputs.slice(1 + i * half, 1 + (i + 1) * half);
      const value = body(graphAttribute(node, bodyNames[i])!, one, results);
      attributes.set(bodyNames[i], { kind: 'graph', value });
    });
    list.push({ ...node, inputs: node.inputs.slice(0, 1), attributes });
  }
  return { ...model, graph: { ...model.graph, nodes: lists.get(root) ?? [], valueInfo } };
}
