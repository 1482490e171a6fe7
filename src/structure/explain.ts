/**
 * A block, drawn: every node on the way from its producers to its consuming matrix, and how the axes are divided there.
 * @module
 */
import type { Model, Node } from '../onnx/model.ts';
import { type Analysis, nodeKey, operandKey } from './analyse.ts';
import { type Atom, type Axes, type Axis, factors, leaves } from './axes.ts';
import { flatten } from './branches.ts';

/** A value and its axes as text: `batch`, `4*·8` for four structures (the star) of eight slices, `?` for no number. */
export interface Drawn {
  readonly name: string;
  readonly axes: readonly string[];
}

export interface Step {
  readonly node: string;
  readonly opType: string;
  /** The result. */
  readonly makes: Drawn;
  /** What else it reads: constants that are cut, and values from outside the block. */
  readonly reads: readonly Drawn[];
}

/** Steps, each of which reads the next; then those that the last one reads side by side. */
export interface Lane {
  readonly steps: readonly Step[];
  readonly from: readonly Lane[];
  /** Where the lane goes on: the node of another lane, or an input of the model. */
  readonly end?: Drawn;
}

/**
 * From the consuming matrix back to the producers. Of a matrix that serves several layers the first is drawn, of one in both
 * branches of an If, both.
 */
export function draw(model: Model, analysis: Analysis, blockId: string): Lane {
  const { atom, consumers } = analysis.sites.get(blockId)!;
  const { graph } = flatten(model);
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const names = dimensionNames(model, analysis);
  const holds = (axes: Axes | undefined) => axes?.flatMap(leaves).includes(atom) ?? false;
  const drawn = (name: string, axes: Axes | undefined): Drawn => ({
    name,
    axes: (axes ?? []).map((one) => axisText(one, atom, names)),
  });

  const step = (node: Node, made: string): Step => ({
    node: node.name || nodeKey(node),
    opType: node.opType,
    makes: drawn(made, analysis.values.get(made)),
    reads: node.inputs.flatMap((name, input) => {
      const value = analysis.values.get(name);
      const operand = analysis.operands.get(operandKey(node, input));
      if (operand && (holds(operand) || value)) return [drawn(name, operand)];
      // Vectors and scalars that are computed are sizes and scales.
      return value && value.length > 1 && !holds(value) ? [drawn(name, value)] : [];
    }),
  });

  const seen = new Set<string>();
  const lane = (start: string): Lane => {
    const steps: Step[] = [];
    for (let value = start; ; ) {
      const node = producers.get(value);
      const name = node ? node.name || nodeKey(node) : value;
      if (!node || seen.has(value)) return { steps, from: [], end: drawn(name, analysis.values.get(value)) };
      for (const output of node.outputs) seen.add(output);
      steps.push(step(node, value));
      const inside = new Set(
        node.inputs.filter((name, input) => {
          const own = analysis.operands.get(operandKey(node, input)) ?? analysis.values.get(name);
          return analysis.values.has(name) && holds(own) && holds(analysis.values.get(name));
        }),
      );
      const [next, ...others] = inside;
      if (next === undefined || others.length > 0) return { steps, from: [...inside].map(lane) };
      value = next;
    }
  };
  const { uses } = analysis.blocks.find(({ id }) => id === blockId)!;
  const [first, ...others] = consumers.map(({ node }) => node.outputs[0]);
  return uses > others.length ? lane(first) : { steps: [], from: [first, ...others].map(lane) };
}

/** The names that the model's inputs give to dimensions. */
function dimensionNames(model: Model, analysis: Analysis): ReadonlyMap<Atom, string> {
  const names = new Map<Atom, string>();
  for (const { name, shape } of model.graph.inputs) {
    shape?.forEach((dim, i) => {
      const [atom, ...others] = factors(analysis.values.get(name)?.[i] ?? []);
      if (typeof dim === 'string' && atom && others.length === 0) names.set(atom, dim);
    });
  }
  return names;
}

function axisText(of: Axis, cut: Atom, names: ReadonlyMap<Atom, string>): string {
  const parts = factors(of).map((atom) => {
    if (atom.parts?.kind === 'sum')
      return `(${atom.parts.terms.map((term) => axisText(term, cut, names)).join(' + ')})`;
    return `${atom.size ?? names.get(atom) ?? '?'}${atom === cut ? '*' : ''}`;
  });
  return parts.length === 0 ? '1' : parts.join('·');
}
