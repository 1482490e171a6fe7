/**
 * Operators that compute: slice by slice, over an axis, or between two axes.
 * @module
 */
import { type Axes, type Axis, axis, sizeOfAxis } from '../axes.ts';
import { numbersOf } from '../shape-values.ts';
import {
  alike,
  along,
  any,
  broadcast,
  freezeInputs,
  isRefused,
  known,
  listedAxes,
  type Operation,
  place,
  type Rule,
  refused,
} from './operation.ts';
import { pieces } from './parts.ts';

export const elementwise: Rule = (op) => {
  const present = op.node.inputs.flatMap((name, input) => (name === '' ? [] : [op.axes(input)]));
  if (present.some((axes) => axes === undefined)) return refused();
  return alike(op, broadcast(op, present as Axes[]));
};

export const unary = known([any], alike);

/** Every slice of the axis has a say in every other. */
export const over = (what: string, absent = -1): Rule =>
  along(absent, (op, x, at) => {
    op.freeze(x[at], what);
    return alike(op, x);
  });

/** An axis that an input names, or, where it is computed, any of them. */
export const overInput = (what: string, input: number): Rule =>
  known([any], (op, x) => {
    const at = place(numbersOf(op.value(input))?.[0] ?? Number.NaN, x.length);
    for (const one of at === undefined ? x : [x[at]]) op.freeze(one, what);
    return alike(op, x);
  });

export const softmax = along(
  (op) => (op.opset < 13 ? 1 : -1),
  (op, x, at) => {
    // Before opset 13 the axis began a flattened whole.
    for (const one of op.opset < 13 ? x.slice(at) : [x[at]]) op.freeze(one, 'normalises over it');
    return [x];
  },
);

/** com.microsoft: a softmax of a sum. */
export const biasSoftmax = along(1, (op, x, at) => {
  const sum = broadcast(op, [x, op.axes(1) ?? []]);
  for (const one of sum.slice(at - x.length)) op.freeze(one, 'normalises over it');
  return [sum];
});

export const normalisation = along(-1, (op, x, from) => {
  broadcast(op, [x, ...[1, 2].map((input) => op.axes(input) ?? [])]);
  for (const one of x.slice(from)) op.freeze(one, 'normalises over it');
  const statistics = x.map((one, i) => (i < from ? one : []));
  return op.node.outputs.map((_, output) => (output === 0 ? x : statistics));
});

/** x + skip (+ bias), normalised; the sum is the fourth output. */
export const skipNormalisation = known([any, any], (op, x, skip) => {
  const vectors = op.node.inputs.slice(2).map((_, i) => op.axes(i + 2) ?? []);
  const sum = broadcast(op, [x, skip, ...vectors]);
  op.freeze(sum.at(-1) ?? [], 'normalises over it');
  return op.node.outputs.map((_, output) => (output === 0 || output === 3 ? sum : undefined));
});

/** com.microsoft: ids, segments, and the tables that both pick rows of. */
export const embedLayerNormalisation: Rule = (op) => {
  const [ids, words] = [op.axes(0), op.axes(2)];
  freezeInputs(op, 'normalises over it', [0, 1]);
  if (ids?.length !== 2 || words?.length !== 2)
    return refused('takes ids and a table of two dimensions each');
  return op.node.outputs.map((_, output) => (output === 1 ? [ids[0]] : [...ids, words[1]]));
};

/** Vectors of the operands after the first lie along axis 1; `over` says which axes the operator also sums over. */
export const perChannel = (what: string, over: (x: Axes) => Axes): Rule =>
  known([any], (op, x) => {
    if (x.length < 2) return refused('takes an operand of two dimensions or more');
    op.node.inputs.forEach((name, input) => {
      if (input > 0 && name !== '') op.unify(x[1], op.axes(input)?.[0] ?? axis(undefined));
    });
    for (const one of over(x)) op.freeze(one, what);
    return op.node.outputs.map((_, output) => (output === 0 ? x : [x[1]]));
  });

export const reduce = known([any], (op, x) => {
  const listed = listedAxes(op, 1, x.length);
  if (isRefused(listed)) return listed;
  if (!listed?.length && op.int('noop_with_empty_axes', 0) === 1) return [x];
  const over = new Set(listed?.length ? listed : x.keys());
  for (const i of over) op.freeze(x[i], 'reduces over it');
  if (op.int('keepdims', 1) === 1) return [x.map((one, i) => (over.has(i) ? [] : one))];
  return [x.filter((_, i) => !over.has(i))];
});

export const argReduce = along(0, (op, x, at) => {
  op.freeze(x[at], 'compares along it');
  return [op.int('keepdims', 1) === 1 ? x.with(at, []) : x.toSpliced(at, 1)];
});

export const topK = along(-1, (op, x, at) => {
  op.freeze(x[at], 'ranks it');
  return alike(op, x.with(at, axis(undefined)));
});

/** The order in which a product reads an operand's axes: batches, rows, columns. */
function reading(op: Operation, side: 'A' | 'B', rank: number): number[] {
  const order = Array.from({ length: rank }, (_, i) => i);
  // FusedMatMul may hold the rows in front of the batches.
  if (rank > 2 && op.int(`transBatch${side}`, 0) === 1) order.splice(rank - 2, 0, ...order.splice(0, 1));
  if (rank > 1 && op.int(`trans${side}`, 0) === 1) order.push(...order.splice(rank - 2, 1));
  return order;
}

function product(op: Operation, a: Axes, b: Axes): Axes | undefined {
  if (a.length === 0 || b.length === 0) return undefined;
  const [left, right] = [reading(op, 'A', a.length), reading(op, 'B', b.length)];
  const batches = broadcast(op, [left.slice(0, -2).map((i) => a[i]), right.slice(0, -2).map((i) => b[i])]);
  const rows = left.slice(0, -1).slice(-1);
  const columns = b.length === 1 ? [] : right.slice(-1);
  op.contract({ input: 0, at: left.at(-1)! }, { input: 1, at: right.at(b.length === 1 ? 0 : -2)! });
  const free = [...rows.map((i) => a[i]), ...columns.map((i) => b[i])];
  if (!op.isConstant(0) && !op.isConstant(1)) {
    batches.forEach(op.batch);
    free.forEach(op.mix);
  }
  return [...batches, ...free];
}

/** A product, and a bias where there is one. */
export const matMul = known([any, any], (op, a, b) => {
  const out = product(op, a, b);
  if (!out) return refused('multiplies a scalar');
  if (op.node.inputs[2]) broadcast(op, [out, op.axes(2) ?? [axis(undefined)]]);
  return [out];
});

/** With a function after the sum: its result is not linear in what it reads, so it only produces. */
export const activatedMatMul = known([any, any], (op, a, b) => {
  if (b.length !== 2) return refused('multiplies by what is no matrix');
  for (const one of a) op.freeze(one, 'applies a function to what it sums');
  return matMul(op);
});

/** Letters are axes; those that the result lacks are summed over. */
export const einsum: Rule = (op) => {
  const operands = op.node.inputs.map((_, input) => op.axes(input));
  if (!operands.every((one) => one !== undefined)) return refused();
  const equation = (op.text('equation') ?? '').replaceAll(/\s/g, '');
  const [left, result] = equation.split('->').map((side) => side.split(',').map((term) => [...term]));
  const distinct = (term: readonly string[]) => new Set(term).size === term.length;
  const isPlain = /^[A-Za-z,]*->[A-Za-z]*$/.test(equation);
  const fits = left.length === operands.length && left.every((term, i) => term.length === operands[i].length);
  const [output] = result ?? [];
  const places = Map.groupBy(
    left.flatMap((term, input) => term.map((letter, at) => ({ letter, input, at }))),
    ({ letter }) => letter,
  );
  if (
    !isPlain ||
    !fits ||
    ![...left, output].every(distinct) ||
    !output.every((letter) => places.has(letter))
  )
    return refused(`has the equation "${equation.slice(0, 60)}", which is not followed`);
  const summed = [...places.keys()].filter((letter) => !output.includes(letter));
  if (summed.length > 1 && operands.some((_, input) => op.isConstant(input)))
    return refused('sums over several axes of a constant at once');
  const dynamic = operands.length === 2 && !op.isConstant(0) && !op.isConstant(1);
  const of = new Map<string, Axis>();
  for (const [letter, [first, ...others]] of places) {
    const isSum = summed.includes(letter);
    if (isSum && summed.length === 1 && operands.length === 2 && others.length === 1)
      op.contract(first, others[0]);
    else {
      const [one] = broadcast(
        op,
        [first, ...others].map(({ input, at }) => [operands[input][at]]),
      );
      of.set(letter, one);
      if (isSum) op.freeze(one, 'sums over it');
      else if (dynamic) (others.length > 0 ? op.batch : op.mix)(one);
    }
  }
  return [output.map((letter) => of.get(letter)!)];
};

export const conv = known([any, any], (op, x, w) => {
  if (x.length < 3 || w.length !== x.length)
    return refused('convolves operands whose dimensions do not match');
  const group = op.int('group', 1);
  const isDepthwise = group > 1 && group === sizeOfAxis(x[1]) && group === sizeOfAxis(w[0]);
  if (isDepthwise) {
    op.unify(x[1], w[0]);
    op.target('group', [[x[1]]]);
  } else {
    for (const one of [x[1], w[1]]) op.freeze(one, 'convolves over it');
    if (group !== 1) op.freeze(w[0], 'convolves it in groups');
  }
  if (op.node.inputs[2]) op.unify(w[0], op.axes(2)?.[0] ?? axis(undefined));
  return [[x[0], w[0], ...space(op, x.slice(2), w.slice(2))]];
});

/** Windows slide over whole axes; one that is padded to keep its length is the same axis after. */
function space(op: Operation, x: Axes, kernel: Axes): Axes {
  const [strides, dilations, pads] = ['strides', 'dilations', 'pads'].map((name) => op.ints(name));
  return x.map((one, i) => {
    op.freeze(one, 'convolves over it');
    const reach = (dilations?.[i] ?? 1) * ((sizeOfAxis(kernel[i]) ?? Number.NaN) - 1);
    const padded = (pads?.[i] ?? 0) + (pads?.[i + x.length] ?? 0);
    const keeps = (strides?.[i] ?? 1) === 1 && padded === reach && !op.text('auto_pad')?.match(/SAME|VALID/);
    return keeps ? one : axis(undefined);
  });
}

/** Windows, or all of space at once: channels pass. */
export const pool = (whole: boolean): Rule =>
  known([any], (op, x) => {
    // Where a largest one stood is told by its place among all.
    for (const one of op.node.outputs[1] ? x : x.slice(2)) op.freeze(one, 'pools over it');
    return alike(
      op,
      x.map((one, i) => (i < 2 ? one : whole ? [] : axis(undefined))),
    );
  });

export const trilu = known([any], (op, x) => {
  for (const one of x.slice(-2)) op.freeze(one, 'masks by position along it');
  return [x];
});

/** com.microsoft: a gate and what it opens, side by side: a · gelu(b). */
export const biasSplitGelu = known([3, 1], (op, x, bias) => {
  const half = (sizeOfAxis(x[2]) ?? Number.NaN) / 2;
  if (!Number.isInteger(half)) return refused('halves an axis of odd or unknown size');
  op.unify(x[2], bias[0]);
  const [one, other] = pieces(op, x[2], [half, half]);
  op.unify(one, other);
  return [[x[0], x[1], one]];
});

/** Scales and rounds: by one number, or by one for each slice of an axis. */
export const scaled = known([any, any], (op, x, scale) => {
  if (scale.length > 1 || op.int('block_size', 0) !== 0) return refused('scales in blocks of several slices');
  if (sizeOfAxis(scale[0] ?? []) === 1) return [x];
  const at = place(op.int('axis', 1), x.length);
  if (at === undefined) return refused('scales an axis that its operand does not have');
  op.unify(x[at], scale[0]);
  if (op.node.inputs[2]) op.unify(x[at], op.axes(2)?.[0] ?? axis(undefined));
  return [x];
});

/** A scale taken from the data: what is removed would have had a say in it. */
export const scaledByRange = known([any], (op, x) => {
  for (const one of x) op.freeze(one, 'scales by the range of all its values');
  return op.node.outputs.map((_, output) => (output === 0 ? x : []));
});
