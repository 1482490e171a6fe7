/**
 * Which values depend on the parameters and lead to the loss: only these have adjoints.
 * @module
 */
import type { ElementType, Node } from '../onnx/model.ts';
import { forEachRead } from '../onnx/walk.ts';
import { ruleOf } from './rules.ts';

export interface Activity {
  /** Whether a value depends on a parameter, by operators that have a derivative. */
  isActive(value: string): boolean;
  /** The nodes between the parameters and the loss, in the order of the graph. */
  readonly path: readonly Node[];
  /** The values whose gradients are needed: active, and leading to the loss. */
  readonly needed: ReadonlySet<string>;
}

/** Undefined types may be floats. */
const mayBeFloat = (type: ElementType | undefined) => type === undefined || type.includes('float');

/**
 * @param sources the values that the gradient is asked for
 * @param targets the values that the gradient comes from
 */
export function activityOf(
  nodes: readonly Node[],
  sources: Iterable<string>,
  targets: Iterable<string>,
  typeOf: (value: string) => ElementType | undefined,
): Activity {
  const active = new Set(sources);
  for (const node of nodes) {
    if (!entrances(node).some((value) => active.has(value))) continue;
    for (const output of node.outputs) if (output !== '' && mayBeFloat(typeOf(output))) active.add(output);
  }
  const needed = new Set([...targets].filter((value) => active.has(value)));
  const path: Node[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    path.push(node);
    for (const value of entrances(node)) if (active.has(value)) needed.add(value);
  }
  return { isActive: (value) => active.has(value), path: path.reverse(), needed };
}

/** The values through which a gradient leaves a node, those that its bodies read included. */
function entrances(node: Node): string[] {
  const through = ruleOf(node)?.through;
  const inputs = through ? through.flatMap((position) => node.inputs[position] ?? []) : node.inputs;
  return [...inputs.filter((value) => value !== ''), ...captured(node)];
}

/** The values around a node that its bodies read, each once. */
export function captured(node: Node): string[] {
  const found = new Set<string>();
  forEachRead(node, (value, reader, position) => {
    if (reader !== node || position < 0) found.add(value);
  });
  return [...found];
}
