/**
 * Types and shapes of every value, with names for the dimensions that only the input decides.
 *
 * Integers are followed too: exporters compute a Reshape's target by Shape, Gather, Concat and arithmetic, and its
 * result is known only to who computes along. One pass in the order of the nodes; a table has one rule per operator,
 * and a rule sees nothing but its node and what is known of its inputs.
 * @module
 */
import { sizeOf } from '../tensor/tensor.ts';
import { isDataType } from './elements.ts';
import { computeRules } from './infer/compute.ts';
import { contribRules } from './infer/contrib.ts';
import { controlRules } from './infer/control.ts';
import { elementwiseRules } from './infer/elementwise.ts';
import { type Expression, isSimple, parseDim, print, symbol, toDim } from './infer/expression.ts';
import {
  type Context,
  type Known,
  largestValue,
  type Rule,
  type Shape,
  unknown,
  type Value,
} from './infer/known.ts';
import { layoutRules } from './infer/layout.ts';
import { makingRules } from './infer/making.ts';
import { pickingRules } from './infer/picking.ts';
import { limits } from './limits.ts';
import type { Dim, ElementType, Graph, Model, Node, StoredTensor, ValueInfo } from './model.ts';
import { tensorAttribute } from './walk.ts';

const standard: Readonly<Record<string, Rule>> = {
  ...elementwiseRules,
  ...computeRules,
  ...layoutRules,
  ...pickingRules,
  ...makingRules,
  ...controlRules,
};
/** No rule names more operands by position. */
const mostNamed = 8;

const contrib: Readonly<Record<string, Rule>> = contribRules;

/** The operators that have a rule, by domain. */
export const inferredOperators: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(standard).sort(),
  'com.microsoft': Object.keys(contrib).sort(),
};

export interface InferOptions {
  /** Take the model's declared types where nothing was inferred (the default). They go stale when widths change. */
  readonly declared?: boolean;
}

/** What is known of a value: beside its type and shape, the elements of a small integer tensor. */
export interface InferredValue extends ValueInfo {
  /** Row-major; a number, a formula of dimension names, or undefined. */
  readonly elements?: readonly (number | string | undefined)[];
}

/**
 * The type and shape of every value, those inside subgraphs included. What follows from nothing is left out of the
 * entry; an unknown operator makes its outputs unknown. An unnamed dimension of an input is called `input.axis`.
 * @throws InputError when an attribute is of the wrong kind.
 */
export function inferShapes(model: Model, options: InferOptions = {}): Map<string, InferredValue> {
  const found = new Map<string, InferredValue>();
  inferGraph(model.graph, [], undefined, {
    opset: model.opsets.get('') ?? 1,
    declared: options.declared ?? true,
    found,
    left: mostVisits,
  });
  return found;
}

interface Run {
  readonly opset: number;
  readonly declared: boolean;
  readonly found: Map<string, InferredValue>;
  /** Nodes that may still be visited: loops in loops are each inferred several times over. */
  left: number;
}

const mostVisits = 4 * limits.nodes;

/** What is known in a graph, and in those around it. */
interface Scope {
  readonly own: Map<string, Known>;
  readonly around: Scope | undefined;
}

function lookUp(scope: Scope, name: string): Known {
  for (let at: Scope | undefined = scope; at; at = at.around) {
    const known = at.own.get(name);
    if (known) return known;
  }
  return unknown;
}

/** @param given what is known of a body's inputs */
function inferGraph(graph: Graph, given: readonly Known[], around: Scope | undefined, run: Run): Known[] {
  const scope: Scope = { own: new Map(), around };
  const bind = (name: string, known: Known) => {
    if (name === '') return;
    const clean = simplified(known);
    scope.own.set(name, clean);
    run.found.set(name, toInferred(name, clean));
  };
  for (const [name, stored] of graph.initializers) bind(name, knownOf(stored));
  graph.inputs.forEach((info, i) => {
    const known = filled(given[i] ?? {}, fromDeclared(info, given.length === 0));
    // An initializer of that name is only the default of an input that may be given otherwise, but its type holds.
    if (!graph.initializers.has(info.name)) bind(info.name, known);
  });
  const context: Context = {
    opset: run.opset,
    body: (inner, inputs) => inferGraph(inner, inputs, scope, run),
  };
  const outputs = new Map(graph.outputs.map((info) => [info.name, info]));
  for (const node of graph.nodes) {
    if (run.left-- <= 0) return graph.outputs.map(() => unknown);
    const inputs = node.inputs.map((name) => lookUp(scope, name));
    const known = apply(node, inputs, context);
    node.outputs.forEach((name, i) => {
      const declared = run.declared ? (graph.valueInfo.get(name) ?? outputs.get(name)) : undefined;
      bind(name, declared ? filled(known[i] ?? {}, fromDeclared(declared, false)) : (known[i] ?? {}));
    });
  }
  return graph.outputs.map(({ name }) => lookUp(scope, name));
}

function apply(node: Node, inputs: readonly Known[], context: Context): readonly Known[] {
  const table = node.domain === '' ? standard : node.domain === 'com.microsoft' ? contrib : {};
  // Not `in`: an operator may be called "constructor".
  const rule = Object.hasOwn(table, node.opType) ? table[node.opType] : undefined;
  const stored =
    node.domain === '' && node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
  if (stored) return [knownOf(stored)];
  if (!rule) return [];
  try {
    // Rules name their operands; those that a node leaves out at the end are unknown.
    return rule(
      node,
      Object.assign(new Array<Known>(Math.max(inputs.length, mostNamed)).fill({}), inputs),
      context,
    );
  } catch (cause) {
    // An axis beyond the shape, or too long a formula: a node that does not fit its inputs, or is beyond us.
    if (cause instanceof RangeError) return [];
    throw cause;
  }
}

function knownOf(stored: StoredTensor): Known {
  return { type: stored.type, shape: stored.shape, value: shapeValue(stored) };
}

/** Integers and booleans that may be shapes, and single floats that shapes are computed with. */
function shapeValue({ type, shape, tensor }: StoredTensor): Value | undefined {
  const integers = isDataType(type) && !type.includes('float');
  const float = type === 'float32' || type === 'float64';
  const size = sizeOf(shape);
  if (!(integers && size <= largestValue) && !(float && size === 1)) return undefined;
  const items = Array.from(tensor().data as ArrayLike<number | bigint>, Number);
  // Int64's ends mean "as far as it goes", and need not be exact; nothing else beyond a double's integers occurs.
  return { shape, items };
}

function fromDeclared({ name, type, shape }: ValueInfo, nameThem: boolean): Known {
  const dims = shape?.map((dim, axis) => {
    if (dim !== undefined) return parseDim(dim);
    return nameThem ? symbol(`${name}.${axis}`) : undefined;
  });
  return { ...(type && { type }), ...(dims && { shape: dims }) };
}

/** What was inferred, and the declared where that knows nothing. */
function filled(known: Known, declared: Known): Known {
  const shape =
    known.shape && declared.shape?.length === known.shape.length
      ? known.shape.map((dim, axis) => dim ?? declared.shape?.[axis])
      : (known.shape ?? declared.shape);
  return { ...known, type: known.type ?? declared.type, shape };
}

function simplified({ type, shape, value }: Known): Known {
  const simple = (item: Expression | undefined) => (item !== undefined && isSimple(item) ? item : undefined);
  const exact = (item: Expression | undefined) => representable(simple(item), type);
  return { type, shape: shape?.map(simple), value: value && { ...value, items: value.items.map(exact) } };
}

/** Half precision rounds what we would go on computing with: only small integers are certain to be exact in it. */
function representable(item: Expression | undefined, type: ElementType | undefined): Expression | undefined {
  if (type === 'float32' && typeof item === 'number') return Math.fround(item);
  if (type !== 'float16' && type !== 'bfloat16') return item;
  return typeof item === 'number' && Number.isInteger(item) && Math.abs(item) <= 256 ? item : undefined;
}

function toInferred(name: string, { type, shape, value }: Known): InferredValue {
  const dims = (of: Shape): Dim[] => of.map(toDim);
  const elements = value?.items.map((item) => (typeof item === 'object' ? print(item) : item));
  return { name, ...(type && { type }), ...(shape && { shape: dims(shape) }), ...(elements && { elements }) };
}
