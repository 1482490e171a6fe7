/**
 * What a model must be before anything is computed from it: a well-formed graph of operators that we know the home
 * of, within limits that no honest model reaches. The codec has already checked that each tensor fits its payload.
 * @module
 */
import { InputError } from '../errors.ts';
import { limits } from './limits.ts';
import type { FunctionDefinition, Graph, Model, Node, ValueInfo } from './model.ts';
import { describeNode, graphAttribute, subgraphs } from './walk.ts';

/** Operator sets that are parts of ONNX or of ONNX Runtime. Any other would need a library loaded into the process. */
const knownDomains: ReadonlySet<string> = new Set([
  '',
  'ai.onnx.ml',
  'ai.onnx.preview',
  'com.microsoft',
  'com.microsoft.nchwc',
]);

/** The names that a graph sees: its own, and those of the graphs around it. */
interface Scope {
  readonly own: Set<string>;
  readonly around?: Scope;
}

function sees(scope: Scope, name: string): boolean {
  for (let at: Scope | undefined = scope; at; at = at.around) if (at.own.has(name)) return true;
  return false;
}

/** @throws InputError naming the node or value that is wrong. */
export function validateModel(model: Model): void {
  const functions = checkFunctions(model);
  const isKnown = (node: Node) =>
    knownDomains.has(node.domain) || functions.has(functionKey(node.domain, node.opType));
  checkGraph(model.graph, { own: new Set() }, 0, isKnown);
  for (const definition of model.functions) {
    const where = `function "${definition.name}"`;
    const scope: Scope = { own: new Set(definition.inputs) };
    checkNodes(where, definition.nodes, scope, 0, isKnown);
    for (const output of definition.outputs) {
      if (!sees(scope, output)) throw new InputError(`${where}: nothing makes the output "${output}".`);
    }
  }
}

function checkNodes(
  where: string,
  nodes: readonly Node[],
  scope: Scope,
  depth: number,
  isKnown: (node: Node) => boolean,
): void {
  const makers = new Map<string, Node>();
  for (const node of nodes) for (const output of node.outputs) makers.set(output, node);
  for (const node of nodes) {
    const who = `${where}: node ${describeNode(node)}`;
    if (!isKnown(node)) {
      throw new InputError(`${who} is of the domain "${node.domain}", which is not one that we run.`);
    }
    for (const input of node.inputs) {
      if (input === '' || sees(scope, input)) continue;
      const later = makers.get(input);
      if (later === node) throw new InputError(`${who} reads its own output "${input}".`);
      throw new InputError(
        later
          ? `${who} reads "${input}" before ${describeNode(later)} makes it: a cycle, or nodes out of order.`
          : `${who} reads "${input}", which nothing makes.`,
      );
    }
    for (const body of subgraphs(node)) checkGraph(body, scope, depth + 1, isKnown, who);
    checkBodies(who, node);
    if (node.outputs.every((output) => output === '')) throw new InputError(`${who} makes nothing.`);
    for (const output of node.outputs) {
      if (output === '') continue;
      if (sees(scope, output)) throw new InputError(`${who} makes "${output}", which exists already.`);
      scope.own.add(output);
    }
  }
}

/** Whether a node of control flow has the bodies that it needs, with as many ends as it has itself. */
function checkBodies(who: string, node: Node): void {
  if (node.domain !== '') return;
  const expect = (what: string, got: number, least: number, most = least) => {
    if (got >= least && got <= most) return;
    throw new InputError(`${who} has ${got} ${what}, expected ${least}${most > least ? ' or more' : ''}.`);
  };
  const body = (name: string): Graph => {
    const found = graphAttribute(node, name);
    if (!found) throw new InputError(`${who} has no body "${name}".`);
    return found;
  };
  const { inputs, outputs } = node;
  switch (node.opType) {
    case 'If':
      expect('inputs', inputs.length, 1);
      for (const name of ['then_branch', 'else_branch']) {
        expect(`inputs in "${name}"`, body(name).inputs.length, 0);
        expect(`outputs in "${name}"`, body(name).outputs.length, outputs.length);
      }
      return;
    case 'Loop': {
      // Trip count, condition and what is carried; the condition and what is carried, and what is gathered.
      const carried = Math.max(inputs.length - 2, 0);
      expect('inputs in its body', body('body').inputs.length, 2 + carried);
      expect(
        'outputs in its body',
        body('body').outputs.length,
        1 + Math.max(carried, outputs.length),
        Infinity,
      );
      return;
    }
    case 'Scan':
      expect('inputs in its body', body('body').inputs.length, inputs.length);
      expect('outputs in its body', body('body').outputs.length, outputs.length, Infinity);
  }
}

/** @param inside the node whose body this is */
function checkGraph(
  graph: Graph,
  around: Scope,
  depth: number,
  isKnown: (node: Node) => boolean,
  inside?: string,
): void {
  const where = inside ?? `graph "${graph.name}"`;
  if (depth > limits.graphDepth)
    throw new InputError(`${where}: graphs are nested more than ${limits.graphDepth} deep.`);
  const scope: Scope = { own: new Set(), around };
  for (const info of graph.inputs) {
    checkSize(where, info);
    if (info.name === '') throw new InputError(`${where} has an input without a name.`);
    if (scope.own.has(info.name)) throw new InputError(`${where} has two inputs of the name "${info.name}".`);
    if (sees(around, info.name)) throw hiding(where, 'input', info.name);
    scope.own.add(info.name);
  }
  // An initializer of an input's name is that input's default.
  for (const name of graph.initializers.keys()) {
    if (sees(around, name)) throw hiding(where, 'initializer', name);
    scope.own.add(name);
  }
  for (const info of graph.valueInfo.values()) checkSize(where, info);
  checkNodes(where, graph.nodes, scope, depth, isKnown);
  const outputs = new Set<string>();
  for (const info of graph.outputs) {
    checkSize(where, info);
    if (!sees(scope, info.name)) throw new InputError(`${where}: nothing makes the output "${info.name}".`);
    if (outputs.has(info.name)) throw new InputError(`${where} has two outputs of the name "${info.name}".`);
    outputs.add(info.name);
  }
}

function hiding(where: string, what: string, name: string): InputError {
  return new InputError(
    `${where}: the body's ${what} "${name}" hides a value of that name in the graph around it.`,
  );
}

const functionKey = (domain: string, name: string) => `${domain}:${name}`;

/**
 * Functions must be calls that end, and not stand for operators that mean something else.
 * @returns their keys
 */
function checkFunctions({ graph, functions }: Model): ReadonlySet<string> {
  const overloads = Map.groupBy(functions, ({ domain, name }) => functionKey(domain, name));
  for (const { domain, name, inputs } of functions) {
    if (knownDomains.has(domain) || domain === 'ai.onnx') {
      throw new InputError(
        `the model's function "${name}" would take the place of an operator of the domain "${domain || 'ai.onnx'}".`,
      );
    }
    if (new Set(inputs).size < inputs.length)
      throw new InputError(`the model's function "${name}" has two inputs of one name.`);
  }
  for (const same of overloads.values()) {
    if (new Set(same.map(({ overload }) => overload)).size < same.length)
      throw new InputError(`the model has two functions of the name "${same[0].name}".`);
  }
  /** Nodes when every call is written out, and how deep calls go. A function is open while its own body is counted. */
  interface Size {
    nodes: number;
    height: number;
  }
  const sizes = new Map<FunctionDefinition, Size | 'open'>();
  const measure = (nodes: readonly Node[], depth: number, size: Size = { nodes: 0, height: 0 }): Size => {
    for (const node of nodes) {
      size.nodes++;
      for (const body of depth < limits.graphDepth ? subgraphs(node) : [])
        measure(body.nodes, depth + 1, size);
      for (const called of overloads.get(functionKey(node.domain, node.opType)) ?? []) {
        const inside = sizeOf(called);
        size.nodes += inside.nodes;
        size.height = Math.max(size.height, inside.height + 1);
      }
      if (size.nodes > limits.nodes) throw new InputError(`the model has more than ${limits.nodes} nodes.`);
      if (size.height > limits.callDepth)
        throw new InputError(`the model's functions call each other more than ${limits.callDepth} deep.`);
    }
    return size;
  };
  const sizeOf = (definition: FunctionDefinition): Size => {
    const known = sizes.get(definition);
    if (known === 'open') throw new InputError(`the model's function "${definition.name}" calls itself.`);
    if (known !== undefined) return known;
    sizes.set(definition, 'open');
    const size = measure(definition.nodes, 0);
    sizes.set(definition, size);
    return size;
  };
  measure(graph.nodes, 0);
  for (const definition of functions) sizeOf(definition);
  return new Set(overloads.keys());
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
