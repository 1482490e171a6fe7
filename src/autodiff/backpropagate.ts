/**
 * The walk against the order of the nodes.
 * @module
 */
import type { GraphBuilder } from '../onnx/build.ts';
import type { Graph, Node } from '../onnx/model.ts';
import { graphAttribute } from '../onnx/walk.ts';
import { type Activity, activityOf, captured } from './activity.ts';
import { multiplied, total, whole } from './adjoint.ts';
import { type Adjoint, type Operation, type Writer, zerosLike } from './operation.ts';
import { ruleOf } from './rules.ts';

/** Value → what its readers contributed to its adjoint so far. */
export type Found = Map<string, Adjoint[]>;

/**
 * Writes the backward nodes of all nodes on the path, the last first.
 * @param found holds the adjoints to start from, and receives all others
 */
export function backpropagate(writer: Writer, activity: Activity, found: Found): void {
  for (const node of activity.path.toReversed()) {
    const adjoints = node.outputs.map((output) => {
      const parts = found.get(output);
      return parts && total(writer, parts, output);
    });
    const rule = ruleOf(node);
    if (!rule || adjoints.every((of) => of === undefined)) continue;
    const op = operation(writer, activity, node);
    const targets = [...node.inputs, ...op.captured];
    for (const [i, of] of rule.backward(op, adjoints).entries()) {
      if (!of || !activity.needed.has(targets[i]) || !(i >= node.inputs.length || op.wants(i))) continue;
      const parts = found.get(targets[i]);
      if (parts) parts.push(of);
      else found.set(targets[i], [of]);
    }
  }
}

function operation(writer: Writer, { needed }: Activity, node: Node): Operation {
  const through = ruleOf(node)?.through;
  const around = captured(node).filter((value) => needed.has(value));
  return {
    ...writer,
    node,
    captured: around,
    wants: (input) => needed.has(node.inputs[input]) && (through?.includes(input) ?? true),
    throughBody(attribute, body, seeds) {
      const branch = graphAttribute(node, attribute);
      if (!branch) throw new Error(`autodiff: an ${node.opType} has no ${attribute}`);
      return throughBranch(writer, branch, body, seeds, around);
    },
  };
}

/** Computes a branch again in `body`, and from there the gradients of the values around it. */
function throughBranch(
  writer: Writer,
  branch: Graph,
  body: GraphBuilder,
  seeds: ReadonlyMap<number, Adjoint>,
  values: readonly string[],
): string[] {
  const copies = copyNodes(branch, body);
  const origin = new Map([...copies.names].map(([name, copy]) => [copy, name]));
  const original = (value: string) => origin.get(value) ?? value;
  const memory = new Map<string, string>();
  const known = writer.inside(branch);
  const inside: Writer = {
    ...known,
    shape: (value) => known.shape(original(value)),
    type: (value) => known.type(original(value)),
    constant: (value) => known.constant(original(value)),
    readers: (value) => known.readers(original(value)),
    g: body,
    memo(key, make) {
      const value = memory.get(key) ?? make();
      memory.set(key, value);
      return value;
    },
  };
  const found: Found = new Map();
  for (const [i, of] of seeds) {
    const name = branch.outputs[i].name;
    const output = copies.names.get(name) ?? name;
    found.set(output, [...(found.get(output) ?? []), of]);
  }
  backpropagate(inside, activityOf(copies.nodes, values, found.keys(), inside.type), found);
  return values.map((value) => {
    const parts = found.get(value);
    if (!parts) return zerosLike(inside, value);
    const sum = total(inside, parts, value);
    return multiplied(inside, { ...sum, value: whole(inside, sum, value) }, value);
  });
}

/** The nodes of a branch once more, under names of their own. */
function copyNodes(branch: Graph, body: GraphBuilder): { nodes: Node[]; names: ReadonlyMap<string, string> } {
  const names = new Map<string, string>();
  for (const [name, stored] of branch.initializers) names.set(name, body.constant(stored, name));
  const nodes = branch.nodes.map((node): Node => {
    const inputs = node.inputs.map((name) => names.get(name) ?? name);
    const count = Math.max(node.outputs.length, ruleOf(node)?.reads ?? 0);
    const { domain } = node;
    const hint = node.name || node.opType;
    const outputs = body.ops(node.opType, inputs, Object.fromEntries(node.attributes), count, {
      domain,
      name: hint,
    });
    for (const [i, output] of node.outputs.entries()) if (output !== '') names.set(output, outputs[i]);
    return { ...node, inputs, outputs };
  });
  return { nodes, names };
}
