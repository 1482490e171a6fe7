/**
 * What a rule sees of a node, and the few operators whose form depends on the opset.
 * @module
 */
import type { GraphBuilder } from '../onnx/build.ts';
import { codeOf } from '../onnx/elements.ts';
import type { Dim, ElementType, Graph, Node } from '../onnx/model.ts';
import { zeros } from '../tensor/tensor.ts';

/** The types in which gradients are computed. */
export type Float = 'float32' | 'float64';

/** What is known of the graph before anything is written. */
export interface Knowledge {
  readonly opset: number;
  /** Undefined when not even the rank is known. */
  shape(value: string): readonly Dim[] | undefined;
  type(value: string): ElementType | undefined;
  /** The elements of a small value that no parameter reaches and no input changes; undefined when one is not known. */
  constant(value: string): readonly number[] | undefined;
  /** The nodes that read a value. */
  readers(value: string): readonly Node[];
  /** What is known inside a branch of an If: names in it may be those of the other branch. */
  inside(branch: Graph): Knowledge;
}

/** One node of it. */
export interface Facts extends Knowledge {
  readonly node: Node;
}

/** Where backward nodes are written. */
export interface Writer extends Knowledge {
  readonly g: GraphBuilder;
  /** The value under a key, made at the first call: what several rules derive from the same value is there once. */
  memo(key: string, make: () => string): string;
}

/** A gradient on its way from the loss to the parameters; `adjoint.ts` says how it is held. */
export interface Adjoint {
  readonly value: string;
  /** What the value has yet to be multiplied with. */
  readonly factor: number;
  /** Whether its shape may only broadcast to that of what it is the adjoint of. The rank is always the same. */
  readonly narrow: boolean;
}

/** One node of the forward graph, and the builder that writes its backward nodes. */
export interface Operation extends Facts, Writer {
  /** Whether the gradient with respect to an input is asked for. */
  wants(input: number): boolean;
  /** The values around the node whose gradients its bodies are asked for. */
  readonly captured: readonly string[];
  /**
   * Copies the nodes of one of the node's bodies into `body`, since what it computes is not seen from outside, and walks them
   * backwards.
   * @param attribute which body
   * @param seeds position among the outputs of the body → adjoint
   * @returns the gradient of each of `captured`, as a value of `body`
   */
  throughBody(attribute: string, body: GraphBuilder, seeds: ReadonlyMap<number, Adjoint>): string[];
}

export type Adjoints = readonly (Adjoint | undefined)[];

export interface Rule {
  /** The inputs that a gradient passes to; the others are indices, shapes and masks. All when left out. */
  readonly through?: readonly number[];
  /** The outputs that a gradient may come from; the first when left out. */
  readonly from?: 'first' | 'every';
  /** How many outputs the rule reads: the node is made to give its optional ones. */
  readonly reads?: number;
  /** Why this node is beyond the rule; undefined when it is not. */
  readonly refuse?: (facts: Facts) => string | undefined;
  /**
   * Writes the backward nodes.
   * @param adjoints one for each output, undefined where no gradient comes from
   * @returns one for each input, and after them one for each captured value; what is not wanted is ignored
   */
  readonly backward: (op: Operation, adjoints: Adjoints) => Adjoints;
}

/** Rules of one output, which always has an adjoint when the rule is asked. */
export function single(
  backward: (op: Operation, adjoint: Adjoint) => Adjoints,
  more: Omit<Rule, 'backward'> = {},
): Rule {
  return { ...more, backward: (op, [adjoint]) => (adjoint ? backward(op, adjoint) : []) };
}

/** For each of the first `count` inputs: what `make` gives, where the input's gradient is wanted. */
export function each(
  op: Operation,
  count: number,
  make: (input: number) => Adjoint | undefined,
): (Adjoint | undefined)[] {
  return Array.from({ length: count }, (_, input) => (op.wants(input) ? make(input) : undefined));
}

/** The float type of a value on the gradient's way; `differentiate` has checked that it is one. */
export function floatType(facts: Knowledge, value: string): Float {
  return facts.type(value) === 'float64' ? 'float64' : 'float32';
}

/** The rank of a value on the gradient's way; `differentiate` has checked that it is known. */
export function rankOf(facts: Knowledge, value: string): number {
  return dimsOf(facts, value).length;
}

export function dimsOf(facts: Knowledge, value: string): readonly Dim[] {
  const shape = facts.shape(value);
  if (!shape) throw new Error(`autodiff: the rank of "${value}" is not known`);
  return shape;
}

/** −1 is the last axis. */
export function axisOf(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** A scalar of the type of `like`. */
export function scalar(op: Writer, value: number, like: string): string {
  return op.g.scalar(floatType(op, like), value);
}

/** The one element of a constant that stands for a scalar. */
export function scalarConstant(facts: Knowledge, value: string): number | undefined {
  const elements = facts.constant(value);
  return elements?.length === 1 && Number.isFinite(elements[0]) ? elements[0] : undefined;
}

/** Whether the dimension is the same for every input of the model. */
export function sameDim(a: Dim, b: Dim): boolean {
  return a !== undefined && a === b;
}

export function isStatic(shape: readonly Dim[]): shape is readonly number[] {
  return shape.every((dim) => typeof dim === 'number');
}

/** The shape of a value as an int64 vector. */
export function shapeOf(op: Writer, value: string): string {
  const shape = dimsOf(op, value);
  if (isStatic(shape)) return op.g.ints(...shape);
  return op.memo(`shape ${value}`, () => op.g.op('Shape', [value]));
}

/** One dimension of a value: a number where it is known, else an int64 vector of one element. */
export function dimension(op: Writer, value: string, axis: number): number | string {
  const dim = dimsOf(op, value)[axis];
  if (typeof dim === 'number') return dim;
  return op.memo(`dimension ${axis} ${value}`, () => slice(op, shapeOf(op, value), 0, axis, axis + 1));
}

/** An int64 vector of numbers and of vectors of one element. */
export function vector(op: Writer, items: readonly (number | string)[]): string {
  if (items.every((item) => typeof item === 'number')) return op.g.ints(...items);
  const parts = items.map((item) => (typeof item === 'number' ? op.g.ints(item) : item));
  return parts.length === 1 ? parts[0] : op.g.op('Concat', parts, { axis: 0 });
}

/** `x` in the shape of `like`, which has as many elements. */
export function reshapeLike(op: Writer, x: string, like: string): string {
  const shape = dimsOf(op, like);
  const open = shape.filter((dim) => typeof dim !== 'number').length;
  if (open > 1 || shape.includes(0)) return op.g.op('Reshape', [x, shapeOf(op, like)]);
  return op.g.op('Reshape', [x, op.g.ints(...shape.map((dim) => (typeof dim === 'number' ? dim : -1)))]);
}

/** All axes of `x`, which has the shape of `like`, but the last as one: [tokens, width]. */
export function asMatrix(op: Writer, x: string, like: string = x): string {
  const dims = dimsOf(op, like);
  if (dims.length === 2) return x;
  const shape = () => vector(op, [-1, dimension(op, like, dims.length - 1)]);
  return op.memo(`matrix ${x}`, () => op.g.op('Reshape', [x, shape()]));
}

export function unsqueeze(op: Writer, x: string, axes: readonly number[]): string {
  if (op.opset < 13) return op.g.op('Unsqueeze', [x], { axes });
  return op.g.op('Unsqueeze', [x, op.g.ints(...axes)]);
}

export function squeeze(op: Writer, x: string, axes: readonly number[]): string {
  if (op.opset < 13) return op.g.op('Squeeze', [x], { axes });
  return op.g.op('Squeeze', [x, op.g.ints(...axes)]);
}

/** Reductions over known axes. */
export function reduce(
  op: Pick<Writer, 'g' | 'opset'>,
  opType: 'ReduceSum' | 'ReduceMean',
  x: string,
  axes: readonly number[],
  keepdims: boolean,
): string {
  const flags = { keepdims: Number(keepdims) };
  if (op.opset < (opType === 'ReduceSum' ? 13 : 18)) return op.g.op(opType, [x], { axes, ...flags });
  return op.g.op(opType, [x, op.g.ints(...axes)], flags);
}

/** x[start:end] along an axis; bounds are numbers, or int64 vectors of one element. */
export function slice(
  op: Pick<Writer, 'g'>,
  x: string,
  axis: number,
  start: number | string,
  end: number | string,
): string {
  const bound = (at: number | string) => (typeof at === 'number' ? op.g.ints(at) : at);
  return op.g.op('Slice', [x, bound(start), bound(end), op.g.ints(axis)]);
}

/** The value with its last two axes exchanged. */
export function transposeLast(op: Writer, x: string, rank: number): string {
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  perm.push(...perm.splice(-2).reverse());
  return op.memo(`transpose ${x}`, () => op.g.op('Transpose', [x], { perm }));
}

/** Zeros of the shape and type of a value. */
export function zerosLike(op: Writer, value: string): string {
  const zero = zeros(floatType(op, value), [1]);
  return op.g.op('ConstantOfShape', [shapeOf(op, value)], { value: zero });
}

export function cast(op: Pick<Writer, 'g'>, x: string, type: ElementType): string {
  return op.g.op('Cast', [x], { to: codeOf(type) });
}

/** How a fused operator is written as the ones it was fused from. */
export interface Expansion {
  /** Why this node cannot be expanded; undefined when it can. */
  readonly refuse?: (facts: Facts) => string | undefined;
  /** Writes the operators. @returns the values that stand for the outputs, undefined for those that nothing reads */
  readonly write: (op: Facts & Writer) => readonly (string | undefined)[];
}
