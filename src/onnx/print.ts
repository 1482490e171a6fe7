/**
 * The text of a graph, for errors, tests and documentation: one line for the inputs, one a node, one for the outputs.
 *
 * ```
 * encoder(x: float32[n, 4]) {
 *   Add: float32[n, 4] = Add(x, [1])
 *   y = Transpose(Add) {perm = [1, 0]}
 *   return y: float32[4, n]
 * }
 * ```
 * @module
 */
import { sizeOf } from '../tensor/tensor.ts';
import { isDataType } from './elements.ts';
import type { Attribute, Graph, Node, StoredTensor, ValueInfo } from './model.ts';

export interface PrintOptions {
  /** Types and shapes that are better known than declared: what `inferShapes` gives. */
  readonly shapes?: ReadonlyMap<string, ValueInfo>;
  /** Print nodes from here, at most this many. */
  readonly from?: number;
  readonly count?: number;
}

export function printGraph(graph: Graph, options: PrintOptions = {}): string {
  return lines(graph, options, '').join('\n');
}

/** One node's line, with the types of its outputs where they are known. */
export function printNode(node: Node, graph: Graph, shapes?: ReadonlyMap<string, ValueInfo>): string {
  const outputs = node.outputs.map((output) => {
    if (output === '') return '_';
    const info = shapes?.get(output) ?? graph.valueInfo.get(output);
    return info ? printValue({ ...info, name: output }) : output;
  });
  const inputs = node.inputs.map((input) => {
    const stored = graph.initializers.get(input);
    return input === '' ? '_' : stored ? printStored(input, stored) : input;
  });
  const attributes = Array.from(node.attributes).flatMap(([name, attribute]) => {
    return attribute.kind.startsWith('graph') ? [] : [`${name} = ${printAttribute(attribute)}`];
  });
  const domain = node.domain === '' ? '' : `${node.domain}.`;
  const braces = attributes.length > 0 ? ` {${attributes.join(', ')}}` : '';
  return `${outputs.join(', ')} = ${domain}${node.opType}(${inputs.join(', ')})${braces}`;
}

/** `name: float32[batch, 48]`; what is unknown is `?`. */
export function printValue({ name, type, shape }: ValueInfo): string {
  if (type === undefined && shape === undefined) return name;
  return `${name}: ${type ?? '?'}${shape ? `[${shape.map((dim) => dim ?? '?').join(', ')}]` : ''}`;
}

function lines(graph: Graph, options: PrintOptions, indent: string): string[] {
  const { shapes, from = 0, count = graph.nodes.length } = options;
  const out = [`${indent}${graph.name}(${graph.inputs.map(printValue).join(', ')}) {`];
  for (const node of graph.nodes.slice(from, from + count)) {
    out.push(`${indent}  ${printNode(node, graph, shapes)}`);
    for (const [name, attribute] of node.attributes) {
      const bodies =
        attribute.kind === 'graph' ? [attribute.value] : attribute.kind === 'graphs' ? attribute.value : [];
      for (const body of bodies) {
        const [head, ...rest] = lines(body, shapes ? { shapes } : {}, `${indent}    `);
        out.push(`${indent}    ${name}: ${head.trimStart()}`, ...rest);
      }
    }
  }
  out.push(`${indent}  return ${graph.outputs.map(printValue).join(', ')}`, `${indent}}`);
  return out;
}

/** A short constant is shown by its value, as shapes and axes say more than their names. */
function printStored(name: string, stored: StoredTensor): string {
  return literal(stored) ?? printValue({ name, type: stored.type, shape: stored.shape });
}

function literal(stored: StoredTensor): string | undefined {
  const { type, shape } = stored;
  if (sizeOf(shape) > 8 || shape.length > 1 || !isDataType(type) || type.endsWith('float16'))
    return undefined;
  const values = Array.from(stored.tensor().data as ArrayLike<number | bigint>, (value) =>
    typeof value === 'bigint' ? String(value) : short(value),
  );
  return shape.length === 0 ? values[0] : `[${values.join(', ')}]`;
}

/** Six digits say enough of a float. */
function short(value: number): string {
  return String(Number(value.toPrecision(6)));
}

function printAttribute(attribute: Attribute): string {
  switch (attribute.kind) {
    case 'int':
      return String(attribute.value);
    case 'float':
      return short(attribute.value);
    case 'ints':
      return `[${attribute.value.join(', ')}]`;
    case 'floats':
      return `[${attribute.value.map(short).join(', ')}]`;
    case 'string':
      return JSON.stringify(new TextDecoder().decode(attribute.value));
    case 'strings':
      return `[${attribute.value.map((text) => JSON.stringify(new TextDecoder().decode(text))).join(', ')}]`;
    case 'tensor':
      return literal(attribute.value) ?? `${attribute.value.type}[${attribute.value.shape.join(', ')}]`;
    default:
      return '…';
  }
}
