/**
 * What inference knows of a value, and the arithmetic that several rules share.
 * @module
 */
import { sizeOf } from '../../tensor/tensor.ts';
import type { ElementType, Graph, Node } from '../model.ts';
import { intAttribute, intsAttribute } from '../walk.ts';
import { compare, type Expression, same } from './expression.ts';

/** Dimensions, each known, a formula, or unknown. */
export type Shape = readonly (Expression | undefined)[];

/** A small tensor of integers (or a few floats that shapes are computed through) whose elements are known in part. */
export interface Value {
  readonly shape: readonly number[];
  readonly items: readonly (Expression | undefined)[];
}

export interface Known {
  readonly type?: ElementType | undefined;
  /** Absent when even the rank is unknown. */
  readonly shape?: Shape | undefined;
  /** The elements, where they follow from shapes and constants. */
  readonly value?: Value | undefined;
}

export interface Context {
  readonly opset: number;
  /** Infers a body of a control-flow node; returns what is known of its outputs. */
  body(graph: Graph, inputs: readonly Known[]): Known[];
}

/** What is known of a node's outputs. `inputs` has an entry for each operand that a rule may name, `{}` for absent ones. */
export type Rule = (node: Node, inputs: readonly Known[], context: Context) => readonly Known[];

/** Larger values are data, not shapes. */
export const largestValue = 1024;

export const unknown: Known = {};

/** The operands that a node really has, for operators of any number. */
export function given(node: Node, inputs: readonly Known[]): readonly Known[] {
  return inputs.slice(0, node.inputs.length);
}

export function scalarOf(known: Known | undefined): Expression | undefined {
  return known?.value?.items.length === 1 ? known.value.items[0] : undefined;
}

/** All elements as numbers; undefined when one is not. */
export function numbersOf(known: Known | undefined): number[] | undefined {
  const items = known?.value?.items;
  return items?.every((item) => typeof item === 'number') ? (items as number[]) : undefined;
}

export function vector(items: readonly (Expression | undefined)[]): Value {
  return { shape: [items.length], items };
}

/** −1 is the last axis. */
export function axisIn(rank: number, axis: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** An axes operand: an attribute in old opsets, an input since. Undefined: absent; 'unknown': not a constant. */
export function axesOf(
  node: Node,
  input: Known | undefined,
  position: number,
): readonly number[] | undefined | 'unknown' {
  const attribute = intsAttribute(node, 'axes');
  if (attribute) return attribute;
  if (!node.inputs[position]) return undefined;
  return numbersOf(input) ?? 'unknown';
}

/**
 * Numpy's broadcasting. A dimension that is not known gives way to one that is: it could win only where that one is 1
 * when the model runs. Two different names leave the result unknown.
 */
export function broadcast(shapes: readonly (Shape | undefined)[]): Shape | undefined {
  if (shapes.some((shape) => shape === undefined)) return undefined;
  const rank = Math.max(0, ...shapes.map((shape) => shape?.length ?? 0));
  return Array.from({ length: rank }, (_, axis) => {
    const dims = shapes.flatMap((shape) => {
      const at = axis - rank + (shape?.length ?? 0);
      return shape && at >= 0 ? [shape[at]] : [];
    });
    const long = dims.filter((dim) => dim !== 1);
    if (long.length === 0) return 1;
    const fixed = long.find((dim) => typeof dim === 'number');
    if (fixed !== undefined) return fixed;
    const named = long.filter((dim) => dim !== undefined);
    return named.every((dim) => same(dim, named[0])) ? named[0] : undefined;
  });
}

/** Applies a function to the elements of values, broadcast against each other. */
export function mapValues(
  f: (...items: (Expression | undefined)[]) => Expression | undefined,
  values: readonly (Value | undefined)[],
): Value | undefined {
  if (values.some((value) => value === undefined)) return undefined;
  const shape = broadcast(values.map((value) => value?.shape)) as readonly number[];
  if (sizeOf(shape) > largestValue) return undefined;
  const items = Array.from({ length: sizeOf(shape) }, (_, flat) =>
    f(...values.map((value) => value?.items[broadcastIndex(flat, shape, value.shape)])),
  );
  return { shape, items };
}

/** Where element `flat` of the broadcast shape stands in a tensor that was broadcast to it. */
function broadcastIndex(flat: number, shape: readonly number[], own: readonly number[]): number {
  let index = 0;
  let stride = 1;
  let left = flat;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const at = left % shape[axis];
    left = Math.floor(left / shape[axis]);
    const dim = own[axis - shape.length + own.length];
    if (dim === undefined) break;
    index += (dim === 1 ? 0 : at) * stride;
    stride *= dim;
  }
  return index;
}

/** Equal dimensions stay, others become unknown; a rank that differs is unknown. */
export function merge(a: Known, b: Known): Known {
  const shape =
    a.shape && b.shape && a.shape.length === b.shape.length
      ? a.shape.map((dim, axis) => (same(dim, b.shape?.[axis]) ? dim : undefined))
      : undefined;
  const value =
    a.value && b.value && a.value.items.length === b.value.items.length
      ? {
          ...a.value,
          items: a.value.items.map((item, i) => (same(item, b.value?.items[i]) ? item : undefined)),
        }
      : undefined;
  return { type: a.type ?? b.type, shape, value };
}

/** `axis` attribute as an index into the shape of the first input. */
export function axisAttribute(node: Node, shape: Shape, absent: number): number {
  return axisIn(shape.length, intAttribute(node, 'axis', absent));
}

/** The larger of two expressions where that is certain. */
export function larger(a: Expression, b: Expression): Expression | undefined {
  const order = compare(a, b);
  return order === undefined ? undefined : order >= 0 ? a : b;
}

export function smaller(a: Expression, b: Expression): Expression | undefined {
  const order = compare(a, b);
  return order === undefined ? undefined : order <= 0 ? a : b;
}

/** A dynamic rank-1 operand's length: the rank of what it describes. */
export function lengthOf(known: Known | undefined): number | undefined {
  const length = known?.shape?.length === 1 ? known.shape[0] : undefined;
  return typeof length === 'number' && length <= 64 ? length : undefined;
}

/** The shape that a vector of dimensions describes. */
export function describedShape(known: Known | undefined): Shape | undefined {
  if (known?.value) return known.value.items;
  const length = lengthOf(known);
  return length === undefined ? undefined : new Array(length).fill(undefined);
}

/** A value of equal elements, where the shape is all numbers and small. */
export function fill(shape: Shape, item: Expression | undefined): Value | undefined {
  if (!shape.every((dim) => typeof dim === 'number')) return undefined;
  const size = sizeOf(shape as number[]);
  return size <= largestValue ? { shape: shape as number[], items: new Array(size).fill(item) } : undefined;
}
