/**
 * What happens before any backward node is written: the nodes on the way are found, the fused ones are expanded, and whatever
 * has no derivative is named.
 * @module
 */
import { freshNames } from '../onnx/edit.ts';
import { type InferredValue, inferShapes } from '../onnx/infer.ts';
import type { Graph, Model, Node } from '../onnx/model.ts';
import { definedIn, describeNode, graphAttribute, subgraphs } from '../onnx/walk.ts';
import { type Activity, activityOf, captured } from './activity.ts';
import { expand, expansionOf } from './expand.ts';
import type { Knowledge } from './operation.ts';
import { operatorOf, ruleOf } from './rules.ts';

const NO_RULE = 'it has no rule';

/** A node through which the gradient would have to pass, and cannot. */
export interface Undifferentiable {
  /** The node as messages name it. */
  readonly node: string;
  /** `Name`, or `domain.Name` for operators of other domains. */
  readonly operator: string;
  readonly reason: string;
}

export interface Prepared {
  readonly model: Model;
  readonly knowledge: Knowledge;
  readonly activity: Activity;
  readonly problems: readonly Undifferentiable[];
}

/**
 * Changes the model: expands fused operators on the way, and lets nodes give the optional outputs that rules read.
 * @throws RangeError when the graph has no such loss or parameter
 */
export function prepare(model: Model, loss: string, parameters: readonly string[]): Prepared {
  const { graph } = model;
  const fused = analyse(model, loss, parameters);
  checkEnds(graph, fused.knowledge, loss, parameters);
  const refused = fused.activity.path.flatMap((node) => {
    const reason = expansionOf(node)?.refuse?.({ ...fused.knowledge, node });
    return reason === undefined ? [] : [problem(node, reason)];
  });
  if (refused.length > 0) return { model, ...fused, problems: refused };
  for (const node of fused.activity.path) expand(graph, node, fused.knowledge);

  const primitive = analyse(model, loss, parameters);
  const found = problemsOf(primitive.activity, primitive.knowledge);
  // Behind an operator without a rule, shapes are unknown too: that is no second problem.
  const unruled = found.filter(({ reason }) => reason === NO_RULE);
  const problems = unruled.length > 0 ? unruled : found;
  const fresh = freshNames(graph);
  for (const node of primitive.activity.path) {
    for (let i = node.outputs.length; i < (ruleOf(node)?.reads ?? 0); i++) node.outputs.push('');
    node.outputs = node.outputs.map((name) =>
      name === '' && ruleOf(node)?.reads ? fresh(`${node.outputs[0]}/statistics`) : name,
    );
  }
  return { model, ...primitive, problems };
}

function analyse(model: Model, loss: string, parameters: readonly string[]) {
  const shapes = inferShapes(model);
  const typeOf = (value: string) => shapes.get(value)?.type;
  const activity = activityOf(model.graph.nodes, parameters, [loss], typeOf);
  return { activity, knowledge: knowledgeOf(model, shapes, activity) };
}

function knowledgeOf(
  model: Model,
  shapes: ReadonlyMap<string, InferredValue>,
  activity: Activity,
): Knowledge {
  const readers = new Map<string, Node[]>();
  for (const node of model.graph.nodes)
    for (const input of node.inputs) readers.set(input, [...(readers.get(input) ?? []), node]);
  return {
    opset: model.opsets.get('') ?? 1,
    shape: (value) => shapes.get(value)?.shape,
    type: (value) => shapes.get(value)?.type,
    constant: (value) => {
      const elements = shapes.get(value)?.elements;
      const isKnown = !activity.isActive(value) && elements?.every((element) => typeof element === 'number');
      return isKnown ? (elements as readonly number[]) : undefined;
    },
    readers: (value) => readers.get(value) ?? [],
    inside(branch) {
      // As if the branch were always taken: what its nodes make comes after what the graph makes.
      const { graph } = model;
      const nodes = [...graph.nodes, ...branch.nodes];
      const initializers = new Map([...graph.initializers, ...branch.initializers]);
      const taken: Model = { ...model, graph: { ...graph, nodes, initializers } };
      const inner = inferShapes(taken);
      const around = new Set(branch.nodes.flatMap((node) => node.inputs).filter(activity.isActive));
      return knowledgeOf(
        taken,
        inner,
        activityOf(branch.nodes, around, [], (value) => inner.get(value)?.type),
      );
    },
  };
}

function checkEnds(graph: Graph, knowledge: Knowledge, loss: string, parameters: readonly string[]): void {
  const defined = definedIn(graph);
  const givenValues = new Set([...graph.initializers.keys(), ...graph.inputs.map(({ name }) => name)]);
  if (!defined.has(loss)) throw new RangeError(`differentiate: graph "${graph.name}" has no value "${loss}"`);
  const shape = knowledge.shape(loss);
  if (!shape?.every((dim) => dim === 1)) {
    throw new RangeError(
      `differentiate: the loss "${loss}" has the shape ${shape ? `[${shape.join(', ')}]` : 'of nothing known'}, expected a scalar`,
    );
  }
  for (const parameter of parameters) {
    if (!givenValues.has(parameter))
      throw new RangeError(`differentiate: graph "${graph.name}" has no initializer or input "${parameter}"`);
  }
}

/** Every node on the way that stops the gradient, those in branches included. */
function problemsOf({ path, needed, isActive }: Activity, knowledge: Knowledge): Undifferentiable[] {
  return path.flatMap((node) => {
    const reason = reasonOf(node, needed, knowledge);
    if (reason !== undefined) return [problem(node, reason)];
    return ['then_branch', 'else_branch'].flatMap((name) => {
      const branch = graphAttribute(node, name);
      if (!branch) return [];
      if (branch.nodes.some((inner) => subgraphs(inner).length > 0))
        return [problem(node, 'there is control flow inside its branches')];
      const seeds = branch.outputs.flatMap((info, i) => (needed.has(node.outputs[i]) ? info.name : []));
      const sources = captured(node).filter((value) => isActive(value));
      const inside = knowledge.inside(branch);
      return problemsOf(activityOf(branch.nodes, sources, seeds, inside.type), inside);
    });
  });
}

function reasonOf(node: Node, needed: ReadonlySet<string>, knowledge: Knowledge): string | undefined {
  const rule = ruleOf(node);
  if (!rule) return NO_RULE;
  const values = [...node.inputs, ...node.outputs].filter((value) => value !== '');
  for (const value of values) {
    const type = knowledge.type(value);
    if (!knowledge.shape(value) && (needed.has(value) || type?.includes('float')))
      return `the rank of "${value}" is not known`;
    if (needed.has(value) && type !== 'float32' && type !== 'float64')
      return `"${value}" is ${type ?? 'of no known type'}; gradients are computed in float32 and float64`;
  }
  const later = node.outputs.findIndex((output, i) => i > 0 && needed.has(output));
  if (later > 0 && rule.from !== 'every') return `its output ${later} is read`;
  return rule.refuse?.({ ...knowledge, node });
}

function problem(node: Node, reason: string): Undifferentiable {
  return { node: describeNode(node), operator: operatorOf(node), reason };
}
