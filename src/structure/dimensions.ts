/**
 * What shape inference knows, in terms of axes: a dimension that is not a number is an atom, and goes by its name
 * wherever it stands. So the sizes that Reshape, Expand, Split and Slice read tell which axes they mean: this is what
 * discovers heads.
 * @module
 */
import { parseDim } from '../onnx/infer/expression.ts';
import { inferShapes } from '../onnx/infer.ts';
import type { Dim, ElementType, Model } from '../onnx/model.ts';
import { type Atom, type Axes, type Axis, axis, type Extent } from './axes.ts';

/** A size; undefined when nothing is known about it. */
export type Item = Extent | undefined;

/** The number, where the item is one. */
export function numberOf(item: Item): number | undefined {
  return item && item.symbols.length === 0 ? item.times : undefined;
}

/** The numbers of a vector that holds nothing else. */
export function numbersOf(items: readonly Item[] | undefined): number[] | undefined {
  const all = items?.map(numberOf);
  return all?.every((item) => item !== undefined) ? (all as number[]) : undefined;
}

/** The axis of a computed size: of its factors, the batch before the heads, or an unknown one. */
export const sizedBy = (item: Item): Axis =>
  item && Number.isSafeInteger(item.times) && item.times >= 0
    ? [...item.symbols, ...axis(item.times)]
    : axis(undefined);

export interface Dimensions {
  typeOf(value: string): ElementType | undefined;
  /** Axes of a value's sizes, new ones where those are numbers. */
  shapeOf(value: string): Axes | undefined;
  /** What a small tensor of integers holds, row by row. */
  itemsOf(value: string): readonly Item[] | undefined;
}

export function dimensionsOf(model: Model): Dimensions {
  const inferred = inferShapes(model, { named: true });
  const named = new Map<string, Atom>();
  const atom = (name: string): Atom => {
    const known = named.get(name) ?? { size: undefined };
    named.set(name, known);
    return known;
  };
  const item = (dim: Dim): Item => {
    if (dim === undefined) return undefined;
    const size = parseDim(dim);
    if (typeof size === 'number') return { times: size, symbols: [] };
    // A sum of named dimensions is named itself: past + present tokens is one length.
    const [{ factor, symbols }, ...others] = size;
    const isProduct = others.length === 0 && Number.isInteger(factor) && factor > 0;
    return isProduct
      ? { times: factor, symbols: symbols.map(atom) }
      : { times: 1, symbols: [atom(String(dim))] };
  };
  return {
    typeOf: (value) => inferred.get(value)?.type,
    shapeOf: (value) => inferred.get(value)?.shape?.map((dim) => sizedBy(item(dim))),
    itemsOf: (value) => inferred.get(value)?.elements?.map(item),
  };
}
