/**
 * Rules of products of matrices, and of convolution.
 * @module
 */
import { float } from '../../onnx/build.ts';
import { floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../../onnx/walk.ts';
import { adjoint as adjointOf, carried, reduced, scaled, whole } from '../adjoint.ts';
import {
  type Adjoint,
  asMatrix,
  dimension,
  dimsOf,
  each,
  type Facts,
  type Operation,
  type Rule,
  rankOf,
  reduce,
  reshapeLike,
  shapeOf,
  single,
  transposeLast,
  unsqueeze,
  vector,
} from '../operation.ts';

interface Transposed {
  readonly transA?: number;
  readonly transB?: number;
}

/** A Gemm takes the factor for nothing. */
function gemmOf(op: Operation, a: string, b: string, factor: number, how: Transposed): string {
  return op.g.op('Gemm', [a, b], { ...(factor === 1 ? {} : { alpha: float(factor) }), ...how });
}

/**
 * y = a·b. With a matrix on the right, every axis of `a` before its last is one axis of tokens, and the gradient of the
 * matrix is one product over all tokens.
 */
export const matMul: Rule = single((op, adjoint) => {
  const [a, b] = op.node.inputs;
  const [y] = op.node.outputs;
  const [rankA, rankB] = [rankOf(op, a), rankOf(op, b)];
  if (rankA === 1 || rankB === 1) return withVectors(op, adjoint);
  const wide = whole(op, adjoint, y);
  if (rankB === 2) {
    const g = asMatrix(op, wide, y);
    return each(op, 2, (i) => {
      if (i === 1) return adjointOf(gemmOf(op, asMatrix(op, a), g, adjoint.factor, { transA: 1 }));
      const product = gemmOf(op, g, b, adjoint.factor, { transB: 1 });
      return adjointOf(rankA === 2 ? product : reshapeLike(op, product, a));
    });
  }
  return each(op, 2, (i) => {
    const product =
      i === 0
        ? op.g.op('MatMul', [wide, transposeLast(op, b, rankB)])
        : op.g.op('MatMul', [transposeLast(op, a, rankA), wide]);
    return batchReduced(op, carried(adjoint, product), y, i);
  });
});

/** Sums over the batch axes along which an operand was repeated. */
function batchReduced(op: Operation, of: Adjoint, y: string, input: number): Adjoint {
  const operand = op.node.inputs[input];
  // The product has the batch of the result and the matrices of the operand.
  const dims = [...dimsOf(op, y).slice(0, -2), ...dimsOf(op, operand).slice(-2)];
  const shape = (value: string) => (value === of.value ? dims : op.shape(value));
  return reduced({ ...op, shape }, of, of.value, operand);
}

/** A vector is a matrix of one row on the left, of one column on the right. */
function withVectors(op: Operation, adjoint: Adjoint): (Adjoint | undefined)[] {
  const [a, b] = op.node.inputs;
  const [y] = op.node.outputs;
  const [rankA, rankB] = [rankOf(op, a), rankOf(op, b)];
  const rank = rankOf(op, y);
  let wide = whole(op, adjoint, y);
  if (rankB === 1) wide = unsqueeze(op, wide, [rank]);
  if (rankA === 1) wide = unsqueeze(op, wide, [rankB === 1 ? rank : rank - 1]);
  const left = rankA === 1 ? unsqueeze(op, a, [0]) : a;
  const right = rankB === 1 ? unsqueeze(op, b, [1]) : b;
  const batches = Math.max(rankA, rankB, 2) - 2;
  return each(op, 2, (i) => {
    const product =
      i === 0
        ? op.g.op('MatMul', [wide, transposeLast(op, right, Math.max(rankB, 2))])
        : op.g.op('MatMul', [transposeLast(op, left, Math.max(rankA, 2)), wide]);
    const operand = i === 0 ? a : b;
    if (rankOf(op, operand) > 1) return carried(adjoint, product);
    const batch = Array.from({ length: batches }, (_, axis) => axis);
    const sum = batch.length > 0 ? reduce(op, 'ReduceSum', product, batch, false) : product;
    return carried(adjoint, reshapeLike(op, sum, operand));
  });
}

/** α·a·b + β·c, each matrix transposed or not. */
export const gemm: Rule = single((op, adjoint) => {
  const [a, b, c] = op.node.inputs;
  const [y] = op.node.outputs;
  const transA = intAttribute(op.node, 'transA', 0);
  const transB = intAttribute(op.node, 'transB', 0);
  const factor = adjoint.factor * floatAttribute(op.node, 'alpha', 1);
  const g = whole(op, adjoint, y);
  return each(op, op.node.inputs.length, (i) => {
    if (i === 2) return reduced(op, scaled(adjoint, floatAttribute(op.node, 'beta', 1)), y, c);
    const forA = transA
      ? () => gemmOf(op, b, g, factor, { transA: transB, transB: 1 })
      : () => gemmOf(op, g, b, factor, { transB: 1 - transB });
    const forB = transB
      ? () => gemmOf(op, g, a, factor, { transA: 1, transB: transA })
      : () => gemmOf(op, a, g, factor, { transA: 1 - transA });
    return adjointOf(i === 0 ? forA() : forB());
  });
});

/** The letters of an equation of two operands without ellipses; undefined for others. */
function letters(facts: Facts): { left: string; right: string; result: string } | undefined {
  const equation = stringAttribute(facts.node, 'equation', '').replace(/\s/g, '');
  const [operands, result] = equation.split('->');
  const [left, right, ...more] = operands.split(',');
  if (result === undefined || right === undefined || more.length > 0 || equation.includes('.'))
    return undefined;
  const once = (term: string) => new Set(term).size === term.length;
  return once(left) && once(right) && once(result) ? { left, right, result } : undefined;
}

/** The adjoint takes the place of the operand whose gradient is asked for. */
export const einsum: Rule = single(
  (op, adjoint) => {
    const found = letters(op);
    if (!found) return [];
    const { left, right, result } = found;
    const [a, b] = op.node.inputs;
    const wide = whole(op, adjoint, op.node.outputs[0]);
    return each(op, 2, (i) => {
      const equation = i === 0 ? `${result},${right}->${left}` : `${left},${result}->${right}`;
      return carried(adjoint, op.g.op('Einsum', i === 0 ? [wide, b] : [a, wide], { equation }));
    });
  },
  {
    refuse: (facts) => {
      const found = letters(facts);
      if (!found) return 'its equation is not one of two operands whose axes have a letter each';
      const { left, right, result } = found;
      const alone = [...left].find((letter) => !right.includes(letter) && !result.includes(letter));
      const other = [...right].find((letter) => !left.includes(letter) && !result.includes(letter));
      return alone || other ? `it sums one operand alone over "${alone ?? other}"` : undefined;
    },
  },
);

/** As long as `like` along every axis: a stride may have left something over at the end, or the padding reached beyond it. */
function fittedTo(op: Operation, x: string, like: string): string {
  const { g } = op;
  const none = dimsOf(op, like).map(() => 0);
  const missing = g.op('Sub', [shapeOf(op, like), g.op('Shape', [x])]);
  return g.op('Pad', [x, g.op('Concat', [g.ints(...none), missing], { axis: 0 })]);
}

/** [n, c, …] ⋆ [m, c, …] → [n, m, …]. */
export const conv: Rule = single(
  (op, adjoint) => {
    const { g, node } = op;
    const [x, w, bias] = node.inputs;
    const [y] = node.outputs;
    const rank = rankOf(op, w);
    const ones = Array<number>(rank - 2).fill(1);
    const strides = intsAttribute(node, 'strides', ones);
    const dilations = intsAttribute(node, 'dilations', ones);
    const pads = intsAttribute(node, 'pads', [...ones, ...ones].fill(0));
    const wide = whole(op, adjoint, y);
    return each(op, node.inputs.length, (i) => {
      if (i === 2) {
        const axes = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
        return carried(adjoint, reshapeLike(op, reduce(op, 'ReduceSum', wide, axes, false), bias));
      }
      if (i === 0) {
        const open = pads.map((width, i) => (i < ones.length ? width : 0));
        const product = g.op('ConvTranspose', [wide, w], { strides, dilations, pads: open });
        return carried(adjoint, fittedTo(op, product, x));
      }
      // Examples and channels change places: the adjoint is the kernel, and its stride the dilation.
      const swap = [1, 0, ...ones.map((_, axis) => axis + 2)];
      const [images, kernel] = [x, wide].map((value) => g.op('Transpose', [value], { perm: swap }));
      const product = g.op('Conv', [images, kernel], { strides: dilations, dilations: strides, pads });
      const axes = ones.map((_, axis) => axis + 2);
      const widths = axes.map((axis) => dimension(op, w, axis));
      const bounds = [g.ints(...axes.map(() => 0)), vector(op, widths), g.ints(...axes)];
      const cut = g.op('Slice', [product, ...bounds]);
      return carried(adjoint, g.op('Transpose', [cut], { perm: swap }));
    });
  },
  {
    refuse: ({ node }) => {
      const mode = stringAttribute(node, 'auto_pad', 'NOTSET');
      if (mode !== 'NOTSET') return `its padding is automatic (${mode})`;
      return intAttribute(node, 'group', 1) === 1 ? undefined : 'it convolves in groups';
    },
  },
);
