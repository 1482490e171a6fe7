/**
 * Rules of operators that move elements without computing: they carry integer values along, so that a Reshape's
 * target is known however its exporter computed it.
 * @module
 */
import { sizeOf } from '../../tensor/tensor.ts';
import { intAttribute, intsAttribute } from '../walk.ts';
import {
  add,
  compare,
  divide,
  type Expression,
  isNatural,
  multiply,
  quotient,
  subtract,
} from './expression.ts';
import {
  axesOf,
  axisAttribute,
  axisIn,
  broadcast,
  describedShape,
  fill,
  given,
  larger,
  largestValue,
  lengthOf,
  numbersOf,
  type Rule,
  type Shape,
  smaller,
  type Value,
  vector,
} from './known.ts';

/** A value under another shape, where that is all numbers and of the same size. */
function reshaped(value: Value | undefined, shape: Shape): Value | undefined {
  if (!value || !shape.every((dim) => typeof dim === 'number')) return undefined;
  return sizeOf(shape as number[]) === value.items.length
    ? { shape: shape as number[], items: value.items }
    : undefined;
}

const reshape: Rule = (node, [data, target]) => {
  const wanted = describedShape(target);
  if (!wanted) return [{ type: data.type }];
  const copiesZero = intAttribute(node, 'allowzero', 0) === 0;
  const shape = wanted.map((dim, axis) => (dim === 0 && copiesZero ? data.shape?.[axis] : dim));
  const inferred = shape.indexOf(-1);
  if (inferred >= 0) {
    const others = shape.toSpliced(inferred, 1);
    const known = data.shape?.every((dim) => dim !== undefined) && others.every((dim) => dim !== undefined);
    shape[inferred] = known ? quotient(data.shape as Expression[], others as Expression[]) : undefined;
  }
  // What may be −1 when the model runs (a Where that was not decided) is not a dimension.
  const clean = shape.map((dim) => (dim !== undefined && isNatural(dim) ? dim : undefined));
  return [{ type: data.type, shape: clean, value: reshaped(data.value, clean) }];
};

const squeeze: Rule = (node, [data, axesInput]) => {
  const axes = axesOf(node, axesInput, 1);
  const { shape } = data;
  if (!shape || axes === 'unknown') return [{ type: data.type }];
  // Without axes every dimension of 1 goes: which ones, unknown dimensions do not say.
  if (!axes && !shape.every((dim) => typeof dim === 'number')) return [{ type: data.type }];
  const gone = new Set(axes?.map((axis) => axisIn(shape.length, axis)));
  const left = shape.filter((dim, axis) => (axes ? !gone.has(axis) : dim !== 1));
  return [{ type: data.type, shape: left, value: reshaped(data.value, left) }];
};

const unsqueeze: Rule = (node, [data, axesInput]) => {
  const axes = axesOf(node, axesInput, 1);
  if (!data.shape || !axes || axes === 'unknown') return [{ type: data.type }];
  const rank = data.shape.length + axes.length;
  const ones = new Set(axes.map((axis) => axisIn(rank, axis)));
  const dims = data.shape.values();
  const shape = Array.from({ length: rank }, (_, axis) => (ones.has(axis) ? 1 : dims.next().value));
  return [{ type: data.type, shape, value: reshaped(data.value, shape) }];
};

const flatten: Rule = (node, [data]) => {
  if (!data.shape) return [{ type: data.type, shape: [undefined, undefined] }];
  const axis = axisAttribute(node, data.shape, 1);
  const product = (dims: Shape) =>
    dims.every((dim) => dim !== undefined) ? (dims as Expression[]).reduce(multiply, 1) : undefined;
  return [{ type: data.type, shape: [product(data.shape.slice(0, axis)), product(data.shape.slice(axis))] }];
};

const transpose: Rule = (node, [data]) => {
  const { shape } = data;
  if (!shape) return [{ type: data.type }];
  const order = intsAttribute(node, 'perm', [...shape.keys()].reverse());
  return [
    {
      type: data.type,
      shape: order.map((axis) => shape[axis]),
      value: shape.length < 2 ? data.value : undefined,
    },
  ];
};

const concat: Rule = (node, operands) => {
  const inputs = given(node, operands);
  const type = inputs.find((input) => input.type)?.type;
  const ranked = inputs.find((input) => input.shape)?.shape;
  if (!ranked) return [{ type }];
  const axis = axisAttribute(node, ranked, 0);
  const shape = ranked.map((_, at) => {
    const dims = inputs.map((input) => input.shape?.[at]);
    if (at === axis) {
      return dims.reduce<Expression | undefined>(
        (sum, dim) => (sum === undefined || dim === undefined ? undefined : add(sum, dim)),
        0,
      );
    }
    return dims.find((dim) => typeof dim === 'number') ?? dims.find((dim) => dim !== undefined);
  });
  // Parts of known length whose elements are unknown still leave the others known.
  const parts = inputs.map((input) => {
    const length = lengthOf(input);
    return (
      input.value?.items ?? (length === undefined ? undefined : new Array<undefined>(length).fill(undefined))
    );
  });
  const value =
    shape.length === 1 && parts.every((part) => part !== undefined) ? vector(parts.flat()) : undefined;
  return [{ type, shape, value: value && value.items.length <= largestValue ? value : undefined }];
};

const split: Rule = (node, [data, sizesInput]) => {
  const { shape, type } = data;
  const count = node.outputs.length;
  if (!shape) return node.outputs.map(() => ({ type }));
  const axis = axisAttribute(node, shape, 0);
  const dim = shape[axis];
  let sizes: Shape;
  if (intsAttribute(node, 'split')) sizes = intsAttribute(node, 'split', []);
  else if (node.inputs[1]) sizes = sizesInput.value?.items ?? new Array(count).fill(undefined);
  else {
    // Equal parts; what is left over makes the last one shorter.
    const part =
      typeof dim === 'number' ? Math.ceil(dim / count) : dim === undefined ? undefined : divide(dim, count);
    sizes = Array.from({ length: count }, (_, i) =>
      typeof part === 'number' && typeof dim === 'number' && i === count - 1
        ? dim - part * (count - 1)
        : part,
    );
  }
  let from = 0;
  return node.outputs.map((_, i) => {
    const size = sizes[i];
    const start = from;
    from = typeof size === 'number' ? from + size : Number.NaN;
    const value =
      shape.length === 1 && !Number.isNaN(from) ? data.value?.items.slice(start, from) : undefined;
    return { type, shape: shape.with(axis, size), value: value && vector(value) };
  });
};

/** Ends beyond this mean "to the end", however long the axis is. */
const farAway = 2 ** 31 - 2;

/** How many elements a slice has, and where it starts in an axis of known length. */
function sliced(
  dim: Expression | undefined,
  start: Expression | undefined,
  end: Expression | undefined,
  step: number,
) {
  if (dim === undefined || start === undefined || end === undefined) return undefined;
  const inside = (bound: Expression): Expression | undefined => {
    if (typeof bound === 'number' && bound >= farAway) return dim;
    if (typeof bound === 'number' && bound <= -farAway) return 0;
    const order = compare(bound, 0);
    const forward = order !== undefined && order < 0 ? add(dim, bound) : isNatural(bound) ? bound : undefined;
    if (forward === undefined) return undefined;
    if (typeof forward === 'number' && typeof dim === 'number') return Math.min(Math.max(forward, 0), dim);
    // A bound that counts from the end of a named axis is taken to lie inside: exporters drop a known few.
    if (!isNatural(forward)) return typeof bound === 'number' ? forward : undefined;
    return typeof dim === 'number' || typeof forward === 'object' ? smaller(forward, dim) : forward;
  };
  if (step !== 1) {
    if (typeof dim !== 'number' || typeof start !== 'number' || typeof end !== 'number') return undefined;
    const clamp = (bound: number) =>
      Math.min(Math.max(bound < 0 ? bound + dim : bound, step < 0 ? -1 : 0), step < 0 ? dim - 1 : dim);
    const first = clamp(start);
    const last = end <= -farAway && step < 0 ? -1 : clamp(end);
    return { start: first, length: Math.max(0, Math.ceil((last - first) / step)) as Expression };
  }
  const first = inside(start);
  const last = inside(end);
  if (first === undefined || last === undefined) return undefined;
  const length = larger(subtract(last, first), 0) ?? subtract(last, first);
  return { start: first, length };
}

const slice: Rule = (node, inputs) => {
  const [data] = inputs;
  const { shape, type } = data;
  if (!shape) return [{ type }];
  const operand = (position: number, name: string): Shape | undefined =>
    intsAttribute(node, name) ?? describedShape(inputs[position]);
  const starts = operand(1, 'starts');
  const ends = operand(2, 'ends');
  const axes =
    node.inputs[3] || node.attributes.has('axes') ? axesOf(node, inputs[3], 3) : starts && [...starts.keys()];
  const steps = node.inputs[4] ? numbersOf(inputs[4]) : starts?.map(() => 1);
  if (!starts || !ends || !axes || axes === 'unknown') return [{ type, shape: shape.map(() => undefined) }];
  const result = [...shape];
  let value: Value | undefined;
  axes.forEach((axis, i) => {
    const at = axisIn(shape.length, axis);
    const found = steps && sliced(shape[at], starts[i], ends[i], steps[i]);
    result[at] = found?.length;
    if (
      shape.length === 1 &&
      data.value &&
      typeof found?.start === 'number' &&
      typeof found.length === 'number'
    ) {
      const { start, length } = found;
      value = vector(Array.from({ length }, (_, k) => data.value?.items[start + k * (steps?.[i] ?? 1)]));
    }
  });
  return [{ type, shape: result, value }];
};

const expand: Rule = (_node, [data, target]) => {
  const wanted = describedShape(target);
  const clean = wanted?.map((dim) => (dim !== undefined && isNatural(dim) ? dim : undefined));
  const shape = broadcast([data.shape, clean]);
  return [
    {
      type: data.type,
      shape,
      value: shape && data.value?.items.length === 1 ? fill(shape, data.value.items[0]) : undefined,
    },
  ];
};

const tile: Rule = (_node, [data, repeats]) => {
  const shape = data.shape?.map((dim, axis) => {
    const count = repeats.value?.items[axis];
    return dim === undefined || count === undefined ? undefined : multiply(dim, count);
  });
  return [{ type: data.type, shape }];
};

const pad: Rule = (node, inputs) => {
  const [data, padsInput] = inputs;
  const { shape, type } = data;
  const pads = intsAttribute(node, 'pads') ?? padsInput?.value?.items;
  if (!shape) return [{ type }];
  const axes = node.inputs[3] ? numbersOf(inputs[3]) : [...shape.keys()];
  if (!pads || !axes) return [{ type, shape: shape.map(() => undefined) }];
  const result = [...shape];
  axes.forEach((axis, i) => {
    const at = axisIn(shape.length, axis);
    const parts = [shape[at], pads[i], pads[i + axes.length]];
    result[at] = parts.every((part) => part !== undefined)
      ? (parts as Expression[]).reduce(add, 0)
      : undefined;
  });
  return [{ type, shape: result }];
};

export const layoutRules = {
  Concat: concat,
  Expand: expand,
  Flatten: flatten,
  Pad: pad,
  Reshape: reshape,
  Slice: slice,
  Split: split,
  Squeeze: squeeze,
  Tile: tile,
  Transpose: transpose,
  Unsqueeze: unsqueeze,
} as const satisfies Record<string, Rule>;
