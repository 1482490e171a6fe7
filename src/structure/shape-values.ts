/**
 * Shape arithmetic, evaluated before running: what a small integer tensor holds, as numbers and named dimensions.
 * It is what Reshape, Expand, Split and Slice read, so it is what discovers heads.
 * @module
 */
import type { Node } from '../onnx/model.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type Axes, type Extent, extentOf, factors } from './axes.ts';

/** A scalar, a vector or a matrix; an item is undefined when nothing is known about it. */
export interface ShapeValue {
  readonly scalar: boolean;
  /** Row by row, where it is a matrix. */
  readonly items: readonly Item[];
  /** The width of a matrix: paddings are turned about as one. */
  readonly columns?: number;
}
export type Item = Extent | undefined;

/** Longer vectors are data, not shapes. */
const longest = 64;

export interface ShapeInputs {
  readonly node: Node;
  value(input: number): ShapeValue | undefined;
  axes(input: number): Axes | undefined;
  int(name: string, otherwise: number): number;
  ints(name: string): readonly number[] | undefined;
}

export const number = (times: number): Extent => ({ times, symbols: [] });

/** The number, where the item is one. */
export function numberOf(item: Item): number | undefined {
  return item && item.symbols.length === 0 ? item.times : undefined;
}

/** The numbers of a value that holds nothing else. */
export function numbersOf(value: ShapeValue | undefined): number[] | undefined {
  const all = value?.items.map(numberOf);
  return all?.every((item) => item !== undefined) ? (all as number[]) : undefined;
}

export function shapeValueOf(tensor: Tensor): ShapeValue | undefined {
  if (tensor.shape.length > 1 || tensor.data.length > longest) return undefined;
  if (tensor.type === 'float16' || tensor.type === 'bfloat16') return undefined;
  return {
    scalar: tensor.shape.length === 0,
    items: Array.from(tensor.data as ArrayLike<number | bigint>, (item) => number(Number(item))),
  };
}

function product(a: Item, b: Item): Item {
  if (numberOf(a) === 0 || numberOf(b) === 0) return number(0);
  if (!a || !b || a.symbols.length + b.symbols.length > longest) return undefined;
  return { times: a.times * b.times, symbols: [...a.symbols, ...b.symbols] };
}

function quotient(a: Item, b: Item): Item {
  if (!a || !b || b.times === 0) return undefined;
  const left = factors(a.symbols);
  for (const symbol of factors(b.symbols)) {
    const at = left.indexOf(symbol);
    if (at < 0) return undefined;
    left.splice(at, 1);
  }
  const times = a.times / b.times;
  if (left.length > 0 && !Number.isInteger(times)) return undefined;
  return { times, symbols: left };
}

/** Sums of named dimensions are named themselves: past + present tokens is one length. */
function sum(a: Item, b: Item): Item {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return number(x + y);
  if (x === 0) return b;
  if (y === 0) return a;
  return a && b && a.times > 0 && b.times > 0 ? { times: 1, symbols: [{ size: undefined }] } : undefined;
}

/** Applies a function of numbers, undefined where either is not one. */
const onNumbers = (f: (a: number, b: number) => number) => (a: Item, b: Item) => {
  const [x, y] = [numberOf(a), numberOf(b)];
  return x === undefined || y === undefined ? undefined : number(f(x, y));
};

function equal(a: Item, b: Item): Item {
  if (!a || !b) return undefined;
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return number(Number(x === y));
  const ratio = quotient(a, b);
  if (ratio?.times === 1 && ratio.symbols.length === 0) return number(1);
  // A dimension is never negative, so it is not the -1 that exporters compare with.
  return (x ?? 1) < 0 || (y ?? 1) < 0 ? number(0) : undefined;
}

type Evaluate = (op: ShapeInputs) => ShapeValue | undefined;

const pairwise =
  (f: (a: Item, b: Item) => Item): Evaluate =>
  (op) => {
    const [a, b] = [op.value(0), op.value(1)];
    if (!a || !b) return undefined;
    const length = Math.max(a.items.length, b.items.length);
    const at = (of: ShapeValue, i: number) => of.items[of.items.length === 1 ? 0 : i];
    const items = Array.from({ length }, (_, i) => f(at(a, i), at(b, i)));
    return { scalar: a.scalar && b.scalar, items };
  };

const each =
  (f: (a: number) => number): Evaluate =>
  (op) => {
    const a = op.value(0);
    const apply = (item: Item) => {
      const value = numberOf(item);
      return value === undefined ? item : number(f(value));
    };
    return a && { ...a, items: a.items.map(apply) };
  };

/** What holds of numbers alone. */
const certain =
  (f: (a: number) => number): Evaluate =>
  (op) => {
    const a = op.value(0);
    return a && { ...a, items: a.items.map((item) => onNumbers(f)(item, item)) };
  };

/** The rows of a matrix, or the items of a vector, from the last to the first. */
function reversed({ items, columns = 1, ...value }: ShapeValue): ShapeValue {
  const rows = Array.from({ length: items.length / columns }, (_, i) =>
    items.slice(i * columns, (i + 1) * columns),
  );
  return { ...value, items: rows.reverse().flat(), ...(columns > 1 && { columns }) };
}

const same: Evaluate = (op) => op.value(0);

function whereItem(condition: Item, a: Item, b: Item): Item {
  const chosen = numberOf(condition);
  return chosen === undefined ? undefined : chosen ? a : b;
}

const table: Readonly<Record<string, Evaluate>> = {
  Shape(op) {
    const axes = op.axes(0);
    if (!axes) return undefined;
    const end = op.ints('end')?.[0] ?? op.int('end', axes.length);
    return { scalar: false, items: axes.slice(op.int('start', 0), end).map(extentOf) };
  },
  Size(op) {
    const axes = op.axes(0);
    return axes && { scalar: true, items: [extentOf(axes.flat())] };
  },
  Gather(op) {
    const [data, indices] = [op.value(0), op.value(1)];
    const at = numbersOf(indices);
    if (!data || data.scalar || !indices || !at) return undefined;
    return { scalar: indices.scalar, items: at.map((i) => data.items.at(i)) };
  },
  Slice(op) {
    const data = op.value(0);
    const [start, end, along, step = 1] = [1, 2, 3, 4].map((input) => numbersOf(op.value(input))?.[0]);
    if (!data || start === undefined || end === undefined) return undefined;
    if (step === -1 && start === -1 && end <= -longest && (along ?? 0) === 0) return reversed(data);
    return step === 1 && !data.columns ? { scalar: false, items: data.items.slice(start, end) } : undefined;
  },
  Concat(op) {
    const parts = op.node.inputs.map((_, input) => op.value(input));
    if (parts.some((part) => !part)) return undefined;
    const items = parts.flatMap((part) => part!.items);
    return items.length > longest ? undefined : { scalar: false, items };
  },
  Unsqueeze: (op) => {
    const data = op.value(0);
    return data?.scalar ? { ...data, scalar: false } : undefined;
  },
  Squeeze: (op) => {
    const data = op.value(0);
    return data?.items.length === 1 ? { ...data, scalar: true } : undefined;
  },
  Reshape(op) {
    const [data, target] = [op.value(0), op.value(1)];
    if (!data || !target) return undefined;
    const columns = numberOf(target.items[1]);
    if (target.items.length === 2)
      return columns! > 0 ? { scalar: false, items: data.items, columns: columns! } : undefined;
    return target.items.length < 2 ? { scalar: target.items.length === 0, items: data.items } : undefined;
  },
  Transpose(op) {
    const data = op.value(0);
    const { columns = 1, items } = data ?? { items: [] };
    const rows = items.length / columns;
    if (!data || (data.columns && (op.ints('perm') ?? [1, 0]).join() !== '1,0')) return undefined;
    if (!data.columns) return data;
    const turned = Array.from({ length: columns }, (_, j) =>
      Array.from({ length: rows }, (_, i) => items[i * columns + j]),
    );
    return { scalar: false, items: turned.flat(), columns: rows };
  },
  Cast: (op) => {
    const integer = [2, 3, 4, 5, 6, 7, 12, 13].includes(op.int('to', 1));
    return integer ? each(Math.trunc)(op) : op.value(0);
  },
  Identity: same,
  Floor: each(Math.floor),
  Ceil: each(Math.ceil),
  Neg: certain((a) => -a),
  Not: certain((a) => Number(a === 0)),
  Mul: pairwise(product),
  Add: pairwise(sum),
  Sub: pairwise(onNumbers((a, b) => a - b)),
  Mod: pairwise(onNumbers((a, b) => ((a % b) + b) % b)),
  Max: pairwise(onNumbers(Math.max)),
  Min: pairwise(onNumbers(Math.min)),
  Equal: pairwise(equal),
  Where(op) {
    const [condition, a, b] = [op.value(0), op.value(1), op.value(2)];
    if (!condition || !a || !b) return undefined;
    const length = Math.max(condition.items.length, a.items.length, b.items.length);
    const at = (of: ShapeValue, i: number) => of.items[of.items.length === 1 ? 0 : i];
    const items = Array.from({ length }, (_, i) => whereItem(at(condition, i), at(a, i), at(b, i)));
    return { scalar: condition.scalar && a.scalar && b.scalar, items };
  },
  ReduceProd(op) {
    const data = op.value(0);
    return data && { scalar: op.int('keepdims', 1) === 0, items: [data.items.reduce(product, number(1))] };
  },
  ConstantOfShape(op) {
    const shape = numbersOf(op.value(0));
    const fill = op.node.attributes.get('value');
    const length = shape?.length === 0 ? 1 : shape?.[0];
    if (!shape || shape.length > 1 || length === undefined || length > longest) return undefined;
    const item = fill?.kind === 'tensor' ? Number(fill.value.tensor().data[0]) : 0;
    return { scalar: shape.length === 0, items: Array.from({ length }, () => number(item)) };
  },
};

const forMatrices = new Set(['Reshape', 'Slice', 'Transpose', 'Identity', 'Cast']);

/** Integer division truncates; whether the operands are integers is known by the caller. */
const divide = (integer: boolean) =>
  pairwise((a, b) => {
    const result = quotient(a, b);
    return result && integer && result.symbols.length === 0 ? number(Math.trunc(result.times)) : result;
  });

/** What the node's first output holds, when it is shape arithmetic; undefined otherwise. */
export function evaluateShape(op: ShapeInputs, integer: boolean): ShapeValue | undefined {
  if (op.node.domain !== '') return undefined;
  const isMatrix = op.node.inputs.some((_, input) => op.value(input)?.columns !== undefined);
  if (isMatrix && !forMatrices.has(op.node.opType)) return undefined;
  if (op.node.opType === 'Div') return divide(integer)(op);
  return Object.hasOwn(table, op.node.opType) ? table[op.node.opType](op) : undefined;
}

/** What each output of a Split holds, when it divides a vector of sizes. */
export function evaluateParts(op: ShapeInputs): readonly ShapeValue[] {
  const data = op.value(0);
  if (op.node.opType !== 'Split' || op.node.domain !== '' || !data || data.columns) return [];
  const even = data.items.length / op.node.outputs.length;
  const sizes =
    op.ints('split') ?? (op.node.inputs[1] ? numbersOf(op.value(1)) : op.node.outputs.map(() => even));
  return (sizes ?? []).map((size, i, all) => {
    const from = all.slice(0, i).reduce((sum, one) => sum + one, 0);
    return { scalar: false, items: data.items.slice(from, from + size) };
  });
}
