/**
 * The algebra of adjoints: gradients on their way from the loss to the parameters.
 *
 * All rules are linear in the adjoint. So two things can wait. Numbers (the ½ of a GELU, attention's 1/√d, a minus, the 1/n of
 * a mean) are multiplied together when the graph is written, and meet the tensor once, most often as a Gemm's alpha. And
 * what is constant along an axis (the gradient of a mean over it) stays one slice wide until something needs it whole.
 * @module
 */
import type { Dim } from '../onnx/model.ts';
import { sizeOf, tensor } from '../tensor/tensor.ts';
import {
  type Adjoint,
  asMatrix,
  cast,
  dimension,
  dimsOf,
  floatType,
  isStatic,
  reduce,
  reshapeLike,
  sameDim,
  shapeOf,
  slice,
  squeeze,
  vector,
  type Writer,
} from './operation.ts';

export function adjoint(value: string, factor = 1, narrow = false): Adjoint {
  return { value, factor, narrow };
}

export function scaled(of: Adjoint, factor: number): Adjoint {
  return { ...of, factor: of.factor * factor };
}

/** The adjoint with its value replaced by one of the same rank that is as wide as what it belongs to. */
export function carried(of: Adjoint, value: string): Adjoint {
  return { value, factor: of.factor, narrow: false };
}

/** The value of an adjoint in the full shape of `like`; the factor stays apart. */
export function whole(op: Writer, of: Adjoint, like: string): string {
  if (!of.narrow) return of.value;
  return op.memo(`whole ${of.value} ${like}`, () => op.g.op('Expand', [of.value, shapeOf(op, like)]));
}

/** The value with its factor multiplied in. */
export function multiplied(op: Writer, of: Adjoint, like: string): string {
  if (of.factor === 1) return of.value;
  if (of.factor === -1) return op.g.op('Neg', [of.value]);
  return op.g.op('Mul', [of.value, op.g.scalar(floatType(op, like), of.factor)]);
}

/** The sum of what several readers of a value contribute to its adjoint. */
export function total(op: Writer, parts: readonly Adjoint[], like: string): Adjoint {
  // Equal factors are added first, so that each is applied once; the factor of most stays apart.
  const groups = new Map<number, Adjoint[]>();
  for (const part of parts) groups.set(part.factor, [...(groups.get(part.factor) ?? []), part]);
  const sums = [...groups.values()].sort((a, b) => b.length - a.length).map((group) => added(op, group));
  const [first, ...others] = sums;
  return others.reduce((sum, other) => {
    const ratio = other.factor / sum.factor;
    const value =
      ratio === -1
        ? op.g.op('Sub', [sum.value, other.value])
        : op.g.op('Add', [sum.value, multiplied(op, { ...other, factor: ratio }, like)]);
    return { value, factor: sum.factor, narrow: sum.narrow && other.narrow };
  }, first);
}

function added(op: Writer, group: readonly Adjoint[]): Adjoint {
  return group.reduce((sum, part) => ({
    value: op.g.op('Add', [sum.value, part.value]),
    factor: sum.factor,
    narrow: sum.narrow && part.narrow,
  }));
}

/**
 * Undoes broadcasting: the adjoint of a value of the shape of `from`, summed over the axes along which `to` was repeated.
 */
export function reduced(op: Writer, of: Adjoint, from: string, to: string): Adjoint {
  const plan = repeated(dimsOf(op, from), dimsOf(op, to));
  if (plan.leading === 0 && plan.certain.length === 0 && plan.open.length === 0) return of;
  let value = whole(op, of, from);
  const leading = Array.from({ length: plan.leading }, (_, axis) => axis);
  const axes = [...leading, ...plan.certain.map((axis) => axis + plan.leading)];
  const keeps = plan.certain.length > 0;
  const isVector = dimsOf(op, to).length === 1;
  if (isVector && plan.leading > 0 && !keeps) value = columnSums(op, value, from);
  else if (axes.length > 0) value = reduce(op, 'ReduceSum', value, axes, keeps);
  if (keeps && plan.leading > 0) value = squeeze(op, value, leading);
  for (const axis of plan.open) value = summedWhereRepeated(op, value, to, axis);
  return carried(of, value);
}

/**
 * The sum over all axes but the last, as a row of ones times a matrix: a bias or a scale has it at every layer, and ONNX Runtime's
 * ReduceSum over leading axes takes two to three times as long.
 */
function columnSums(op: Writer, value: string, from: string): string {
  const { g } = op;
  const tokens = dimsOf(op, from).slice(0, -1);
  const matrix = asMatrix(op, value, from);
  const makeOnes = () => {
    const count = isStatic(tokens) ? sizeOf(tokens) : slice(op, g.op('Shape', [matrix]), 0, 0, 1);
    const one = tensor('float32', [1], Float32Array.of(1));
    const ones = g.op('ConstantOfShape', [vector(op, [1, count])], { value: one });
    return floatType(op, from) === 'float32' ? ones : cast(op, ones, 'float64');
  };
  // Equal names are equal numbers: one row serves every layer.
  const isNamed = tokens.every((dim) => dim !== undefined);
  const ones = op.memo(`ones ${floatType(op, from)} ${isNamed ? tokens.join('·') : from}`, makeOnes);
  return squeeze(op, g.op('MatMul', [ones, matrix]), [0]);
}

/**
 * Along which axes a value of shape `to` was repeated to become one of shape `from`. An axis counts in `to`; `open` are those
 * that only the model's inputs decide.
 */
export function repeated(
  from: readonly Dim[],
  to: readonly Dim[],
): { leading: number; certain: number[]; open: number[] } {
  const leading = from.length - to.length;
  const certain: number[] = [];
  const open: number[] = [];
  for (const [axis, dim] of to.entries()) {
    const long = from[axis + leading];
    if (sameDim(dim, long) || (typeof dim === 'number' && dim !== 1)) continue;
    if (dim === 1) certain.push(axis);
    else open.push(axis);
  }
  return { leading, certain, open };
}

/** Sums over an axis if it is longer than that of `to`, which is then 1. */
function summedWhereRepeated(op: Writer, value: string, to: string, axis: number): string {
  const { g } = op;
  const wide = g.op('Slice', [g.op('Shape', [value]), g.ints(axis), g.ints(axis + 1)]);
  const own = dimension(op, to, axis);
  const isSame = g.op('Squeeze', [g.op('Equal', [wide, typeof own === 'number' ? g.ints(own) : own])]);
  const same = g.body('same');
  same.output('kept', same.op('Identity', [value]));
  const repeats = g.body('repeated');
  repeats.output('summed', reduce({ g: repeats, opset: op.opset }, 'ReduceSum', value, [axis], true));
  return g.op('If', [isSame], { then_branch: same.graph(), else_branch: repeats.graph() });
}

/** An adjoint of as many elements in another order of axes: its value reshaped to the shape of `like`. */
export function reshaped(op: Writer, of: Adjoint, from: string, like: string): Adjoint {
  return carried(of, reshapeLike(op, whole(op, of, from), like));
}
