/**
 * What a model must be before anything is computed from it: a well-formed graph of operators that we know the home
 * of, within limits that no honest model reaches. The codec has already checked that each tensor fits its payload.
 * @module
 */
import { InputError } from '../errors.ts';
import type { Graph, Model, Node, ValueInfo } from './model.ts';
import { describeNode, subgraphs } from './walk.ts';

/** Operator sets that are parts of ONNX or of ONNX Runtime. Any other would need a library loaded into the process. */
const knownDomains: ReadonlySet<string> = new Set([
  '',
  'ai.onnx.ml',
  'ai.onnx.preview',
  'com.microsoft',
  'com.microsoft.nchwc',
]);

const limits = { nodes: 1_000_000, depth: 8, rank: 64, elements: 2 ** 48 } as const;

/** @throws InputError naming the node or value that is wrong. */
export function validateModel(model: Model): void {
  const functions = new Set(model.functions.map(({ domain, name }) => `${domain}:${name}`));
  let nodes = 0;

  const visitNodes = (where: string, list: readonly Node[], visible: Set<string>, depth: number) => {
    const made = new Map<string, Node>();
    for (const node of list) for (const output of node.outputs) made.set(output, node);
    for (const node of list) {
      const who = `${where}: node ${describeNode(node)}`;
      if (++nodes > limits.nodes) throw new InputError(`the model has more than ${limits.nodes} nodes.`);
      const local = functions.has(`${node.domain}:${node.opType}`);
      if (!local && !knownDomains.has(node.domain)) {
        throw new InputError(`${who} is of the domain "${node.domain}", which is not one that we run.`);
      }
      for (const input of node.inputs) {
        if (input === '' || visible.has(input)) continue;
        const later = made.get(input);
        if (later === node) throw new InputError(`${who} reads its own output "${input}".`);
        throw new InputError(
          later
            ? `${who} reads "${input}" before ${describeNode(later)} makes it: a cycle, or nodes out of order.`
            : `${who} reads "${input}", which nothing makes.`,
        );
      }
      for (const body of subgraphs(node)) visitGraph(body, visible, depth + 1, who);
      for (const output of node.outputs) {
        if (output === '') continue;
        if (visible.has(output)) throw new InputError(`${who} makes "${output}", which exists already.`);
        visible.add(output);
      }
    }
  };

  const visitGraph = (graph: Graph, around: ReadonlySet<string>, depth: number, inside?: string) => {
    const where = inside ?? `graph "${graph.name}"`;
    if (depth > limits.depth)
      throw new InputError(`${where}: graphs are nested more than ${limits.depth} deep.`);
    const visible = new Set(around);
    const own = new Set<string>();
    for (const info of graph.inputs) {
      checkSize(where, info);
      if (info.name === '') throw new InputError(`${where} has an input without a name.`);
      if (own.has(info.name)) throw new InputError(`${where} has two inputs of the name "${info.name}".`);
      own.add(info.name);
    }
    // An initializer of an input's name is that input's default.
    for (const name of graph.initializers.keys()) own.add(name);
    for (const name of own) visible.add(name);
    for (const info of graph.valueInfo.values()) checkSize(where, info);
    visitNodes(where, graph.nodes, visible, depth);
    const outputs = new Set<string>();
    for (const info of graph.outputs) {
      checkSize(where, info);
      if (!visible.has(info.name)) throw new InputError(`${where}: nothing makes the output "${info.name}".`);
      if (outputs.has(info.name))
        throw new InputError(`${where} has two outputs of the name "${info.name}".`);
      outputs.add(info.name);
    }
  };

  visitGraph(model.graph, new Set(), 0);
  for (const definition of model.functions) {
    visitNodes(`function "${definition.name}"`, definition.nodes, new Set(definition.inputs), 0);
  }
}

function checkSize(where: string, { name, shape }: ValueInfo): void {
  if (!shape) return;
  if (shape.length > limits.rank) throw new InputError(`${where}: "${name}" has ${shape.length} dimensions.`);
  const elements = shape.reduce<number>(
    (size, dim) => size * (typeof dim === 'number' && dim > 0 ? dim : 1),
    1,
  );
  if (elements > limits.elements) {
    throw new InputError(
      `${where}: "${name}" of shape [${shape.join(', ')}] is larger than any machine's memory.`,
    );
  }
}
