/**
 * Rules of operators that move elements and compute none: what they do is undone.
 * @module
 */
import { intAttribute, intsAttribute } from '../../onnx/walk.ts';
import { tensor } from '../../tensor/tensor.ts';
import { adjoint as adjointOf, carried, multiplied, reduced, reshaped, whole } from '../adjoint.ts';
import {
  type Adjoint,
  axisOf,
  cast,
  dimension,
  dimsOf,
  each,
  type Facts,
  floatType,
  type Operation,
  type Rule,
  rankOf,
  reduce,
  reshapeLike,
  single,
  slice as sliceOf,
  unsqueeze,
  vector,
  zerosLike,
} from '../operation.ts';

/** Reshape, Flatten, Squeeze and Unsqueeze. */
export const reshape: Rule = single(
  (op, adjoint) => [reshaped(op, adjoint, op.node.outputs[0], op.node.inputs[0])],
  { through: [0] },
);

export const transpose: Rule = single((op, adjoint) => {
  const rank = rankOf(op, op.node.inputs[0]);
  const perm = intsAttribute(op.node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  const inverse = perm.map((_, axis) => perm.indexOf(axis));
  return [{ ...adjoint, value: op.g.op('Transpose', [adjoint.value], { perm: inverse }) }];
});

export const expand: Rule = single(
  (op, adjoint) => [reduced(op, adjoint, op.node.outputs[0], op.node.inputs[0])],
  { through: [0] },
);

/** Each axis becomes [repeats, length], and is summed over the repeats. */
export const tile: Rule = single(
  (op, adjoint) => {
    const [x, repeats] = op.node.inputs;
    const times = op.constant(repeats) ?? [];
    const dims = times.flatMap((count, axis) => [count, dimension(op, x, axis)]);
    const wide = whole(op, adjoint, op.node.outputs[0]);
    const split = op.g.op('Reshape', [wide, vector(op, dims)]);
    const axes = times.map((_, axis) => 2 * axis);
    return [carried(adjoint, reduce(op, 'ReduceSum', split, axes, false))];
  },
  {
    through: [0],
    refuse: ({ node, constant }) =>
      constant(node.inputs[1]) ? undefined : 'its repeats are computed from the input',
  },
);

/** An operand's slice of the adjoint lies behind those of the operands before it. */
export const concat: Rule = single((op, adjoint) => {
  const { inputs, outputs } = op.node;
  const axis = axisOf(intAttribute(op.node, 'axis', 0), rankOf(op, outputs[0]));
  const wide = whole(op, adjoint, outputs[0]);
  let start: number | string = 0;
  return inputs.map((x, i) => {
    const from = start;
    start = plus(op, start, dimension(op, x, axis));
    return op.wants(i) ? carried(adjoint, sliceOf(op, wide, axis, from, start)) : undefined;
  });
});

function plus(op: Operation, a: number | string, b: number | string): number | string {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a === 0) return b;
  return op.g.op('Add', [vector(op, [a]), vector(op, [b])]);
}

function minus(op: Operation, a: number | string, b: number | string): number | string {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return b === 0 ? a : op.g.op('Sub', [vector(op, [a]), vector(op, [b])]);
}

export const split: Rule = {
  through: [0],
  from: 'every',
  backward: (op, adjoints) => {
    const { inputs, outputs } = op.node;
    const axis = intAttribute(op.node, 'axis', 0);
    const parts = outputs.map((output, i) => {
      const adjoint = adjoints[i];
      return adjoint
        ? multiplied(op, { ...adjoint, value: whole(op, adjoint, output) }, output)
        : zerosLike(op, output);
    });
    return [adjointOf(op.g.op('Concat', parts, { axis: axisOf(axis, rankOf(op, inputs[0])) }))];
  },
};

/** What was cut off is zeros. */
export const slice: Rule = single(
  (op, adjoint) => {
    const [x, starts, , axesInput] = op.node.inputs;
    const [y] = op.node.outputs;
    const rank = rankOf(op, x);
    const begins = Array<number | string>(rank).fill(0);
    const ends = Array<number | string>(rank).fill(0);
    const first = op.constant(starts);
    const axes = axesInput ? op.constant(axesInput) : undefined;
    const length = axes?.length ?? first?.length ?? rank;
    for (let i = 0; i < length; i++) {
      const axis = axisOf(axes?.[i] ?? i, rank);
      const start = first ? first[i] : sliceOf(op, starts, 0, i, i + 1);
      begins[axis] = beginning(op, start, dimension(op, x, axis));
      ends[axis] = minus(op, minus(op, dimension(op, x, axis), begins[axis]), dimension(op, y, axis));
    }
    return [padded(op, adjoint, begins, ends)];
  },
  {
    through: [0],
    refuse: ({ node, constant }) => {
      const [, , , axes, steps] = node.inputs;
      if (axes && !constant(axes)) return 'its axes are computed from the input';
      if (steps && !constant(steps)?.every((step) => step === 1)) return 'its steps are not 1';
      return undefined;
    },
  },
);

/** Where a slice begins: a negative start counts from the end, one beyond it is the end. */
function beginning(op: Operation, start: number | string, length: number | string): number | string {
  if (start === 0) return 0;
  if (typeof start === 'number' && typeof length === 'number') {
    return Math.min(Math.max(start < 0 ? start + length : start, 0), length);
  }
  const { g } = op;
  const zero = g.ints(0);
  const [from, all] = [vector(op, [start]), vector(op, [length])];
  const counted = g.op('Where', [g.op('Less', [from, zero]), g.op('Add', [from, all]), from]);
  const natural = g.op('Where', [g.op('Less', [counted, zero]), zero, counted]);
  return g.op('Where', [g.op('Less', [natural, all]), natural, all]);
}

function padded(
  op: Operation,
  adjoint: Adjoint,
  begins: readonly (number | string)[],
  ends: readonly (number | string)[],
): Adjoint {
  const wide = whole(op, adjoint, op.node.outputs[0]);
  return carried(adjoint, op.g.op('Pad', [wide, vector(op, [...begins, ...ends])]));
}

export const pad: Rule = single(
  (op, adjoint) => {
    const [x, pads, , axesInput] = op.node.inputs;
    const rank = rankOf(op, x);
    const widths = op.constant(pads) ?? [];
    const axes = (axesInput && op.constant(axesInput)) || Array.from({ length: rank }, (_, axis) => axis);
    const own = axes.map((axis) => axisOf(axis, rank));
    const starts = own.map((_, i) => Math.max(widths[i], 0));
    const stops = own.map((axis, i) => plus(op, starts[i], dimension(op, x, axis)));
    const wide = whole(op, adjoint, op.node.outputs[0]);
    const cut = op.g.op('Slice', [wide, op.g.ints(...starts), vector(op, stops), op.g.ints(...own)]);
    return [carried(adjoint, cut)];
  },
  {
    through: [0],
    refuse: ({ node, constant }) => {
      const mode = node.attributes.get('mode');
      if (mode?.kind === 'string' && new TextDecoder().decode(mode.value) !== 'constant')
        return 'it pads with more than a constant';
      const widths = constant(node.inputs[1]);
      if (!widths || (node.inputs[3] && !constant(node.inputs[3])))
        return 'its widths are computed from the input';
      return widths.some((width) => width < 0) ? 'it has negative widths' : undefined;
    },
  },
);

/** The triangle that was kept. */
export const trilu: Rule = single(
  (op, adjoint) => {
    const wide = whole(op, adjoint, op.node.outputs[0]);
    const attributes = Object.fromEntries(op.node.attributes);
    return [carried(adjoint, op.g.op('Trilu', [wide, ...op.node.inputs.slice(1)], attributes))];
  },
  { through: [0] },
);

/** The sum from the other end. */
export const cumulativeSum: Rule = single(
  (op, adjoint) => {
    const wide = whole(op, adjoint, op.node.outputs[0]);
    const attributes = {
      ...Object.fromEntries(op.node.attributes),
      reverse: 1 - intAttribute(op.node, 'reverse', 0),
    };
    return [carried(adjoint, op.g.op('CumSum', [wide, op.node.inputs[1]], attributes))];
  },
  { through: [0] },
);

/** Before opset 16 nothing adds up what is scattered to the same place. */
const SCATTER_ADDS = 16;

/**
 * Up to here the product with a one-hot matrix is the faster way: a scatter adds on one thread, every token to the same few rows
 * (13 ms against 1 for the segments of 2,048 tokens of width 384).
 */
const FEW_ROWS = 32;

/** Rows of a table. One constant row is padded back to its place; others are added up where they came from. */
export const gather: Rule = single(
  (op, adjoint) => {
    const [x, indices] = op.node.inputs;
    const [y] = op.node.outputs;
    const rank = rankOf(op, x);
    const axis = gatherAxis(op);
    const wide = whole(op, adjoint, y);
    const place = onlyIndex(op);
    if (place !== undefined) {
      const length = dimension(op, x, axis);
      const at = beginning(op, place, length);
      const slot = (here: number | string) => Array<number | string>(rank).fill(0).with(axis, here);
      const one = rankOf(op, indices) === 0 ? unsqueeze(op, wide, [axis]) : wide;
      return [padded(op, carried(adjoint, one), slot(at), slot(minus(op, length, plus(op, at, 1))))];
    }
    const flat = op.g.op('Reshape', [indices, op.g.ints(-1)]);
    const around = (items: (of: number) => number | string) =>
      Array.from({ length: rank }, (_, at) => (at === axis ? -1 : items(at)));
    const rows =
      rankOf(op, indices) === 1
        ? wide
        : op.g.op('Reshape', [
            wide,
            vector(
              op,
              around((at) => dimension(op, x, at)),
            ),
          ]);
    const count = dimsOf(op, x)[axis];
    const isShort = axis === 0 && typeof count === 'number' && count <= FEW_ROWS;
    if (isShort || op.opset < SCATTER_ADDS) return [carried(adjoint, throughOneHot(op, x, flat, rows))];
    const placed = op.g.op('Reshape', [
      flat,
      vector(
        op,
        around(() => 1),
      ),
    ]);
    const everywhere = op.g.op('Expand', [placed, op.g.op('Shape', [rows])]);
    const attributes = { axis, reduction: 'add' };
    return [carried(adjoint, op.g.op('ScatterElements', [zerosLike(op, x), everywhere, rows], attributes))];
  },
  {
    through: [0],
    refuse: (facts) =>
      facts.opset < SCATTER_ADDS && onlyIndex(facts) === undefined && gatherAxis(facts) !== 0
        ? `its gradient needs opset ${SCATTER_ADDS}, where scattered elements can be added; export with that, or freeze what it reads`
        : undefined,
  },
);

function gatherAxis(facts: Facts): number {
  return axisOf(intAttribute(facts.node, 'axis', 0), facts.shape(facts.node.inputs[0])?.length ?? 0);
}

/** The index, where there is one and it is constant. */
function onlyIndex(facts: Facts): number | undefined {
  const rank = facts.shape(facts.node.inputs[1])?.length;
  const elements = facts.constant(facts.node.inputs[1]);
  return elements?.length === 1 && rank !== undefined && rank < 2 ? elements[0] : undefined;
}

/** The rows added up by a product with the one-hot matrix of their indices: as large as tokens × rows of the table. */
function throughOneHot(op: Operation, x: string, indices: string, rows: string): string {
  const { g } = op;
  const count = dimension(op, x, 0);
  const depth = typeof count === 'number' ? g.scalar('int64', count) : g.op('Squeeze', [count]);
  const at = op.type(op.node.inputs[1]) === 'int64' ? indices : cast(op, indices, 'int64');
  const offOn = g.constant(tensor('float32', [2], Float32Array.of(0, 1)));
  const hot = g.op('OneHot', [at, depth, offOn]);
  const type = floatType(op, x);
  const matrix = type === 'float32' ? hot : cast(op, hot, type);
  if (rankOf(op, x) === 2) return g.op('Gemm', [matrix, rows], { transA: 1 });
  const flat = g.op('Flatten', [rows], { axis: 1 });
  return reshapeLike(op, g.op('Gemm', [matrix, flat], { transA: 1 }), x);
}

export const gatherElements: Rule = single(
  (op, adjoint) => {
    const [x, indices] = op.node.inputs;
    const wide = whole(op, adjoint, op.node.outputs[0]);
    const attributes = { axis: intAttribute(op.node, 'axis', 0), reduction: 'add' };
    return [carried(adjoint, op.g.op('ScatterElements', [zerosLike(op, x), indices, wide], attributes))];
  },
  { through: [0], refuse: needsAddingScatter },
);

function needsAddingScatter({ opset }: Facts): string | undefined {
  return opset < SCATTER_ADDS
    ? `its gradient needs opset ${SCATTER_ADDS}, where scattered elements can be added`
    : undefined;
}

/** The data's adjoint has zeros where it was overwritten; the updates' is found there. */
const scattered = (scatter: 'ScatterND' | 'ScatterElements', find: 'GatherND' | 'GatherElements'): Rule =>
  single(
    (op, adjoint) => {
      const [, indices, updates] = op.node.inputs;
      const wide = whole(op, adjoint, op.node.outputs[0]);
      const attributes = scatter === 'ScatterND' ? undefined : { axis: intAttribute(op.node, 'axis', 0) };
      return each(op, 3, (i) => {
        if (i === 2) return carried(adjoint, op.g.op(find, [wide, indices], attributes));
        return carried(adjoint, op.g.op(scatter, [wide, indices, zerosLike(op, updates)], attributes));
      });
    },
    {
      through: [0, 2],
      refuse: ({ node }) => {
        const reduction = node.attributes.get('reduction');
        const isPlain = reduction?.kind !== 'string' || new TextDecoder().decode(reduction.value) === 'none';
        return isPlain ? undefined : 'it combines what it scatters with what is there';
      },
    },
  );

export const scatterND = scattered('ScatterND', 'GatherND');
export const scatterElements = scattered('ScatterElements', 'GatherElements');
