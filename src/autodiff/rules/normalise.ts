/**
 * Rules of operators along an axis: reductions, softmax, normalisation, rotary positions.
 * @module
 */
import { intAttribute, intsAttribute } from '../../onnx/walk.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { carried, reduced, scaled, whole } from '../adjoint.ts';
import {
  type Adjoint,
  axisOf,
  cast,
  dimension,
  dimsOf,
  type Facts,
  floatType,
  isStatic,
  type Operation,
  type Rule,
  rankOf,
  reduce,
  scalar,
  single,
  unsqueeze,
  vector,
} from '../operation.ts';

/** The axes that a node reduces; undefined when they are computed from the input. */
function reducedAxes(facts: Facts): readonly number[] | undefined {
  const { node } = facts;
  const rank = facts.shape(node.inputs[0])?.length ?? 0;
  const listed = intsAttribute(node, 'axes') ?? (node.inputs[1] ? facts.constant(node.inputs[1]) : []);
  if (!listed) return undefined;
  if (listed.length > 0) return listed.map((axis) => axisOf(axis, rank));
  return intAttribute(node, 'noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, i) => i);
}

const refuseReduction = (facts: Facts) =>
  reducedAxes(facts) ? undefined : 'its axes are computed from the input';

/** A value of the reduced shape with the axes that it lost, as ones. */
function kept(op: Operation, value: string): string {
  const axes = reducedAxes(op) ?? [];
  const drops = intAttribute(op.node, 'keepdims', 1) === 0 && axes.length > 0;
  return drops ? unsqueeze(op, value, axes) : value;
}

/** The adjoint of a reduction, one slice wide. */
function spread(op: Operation, of: Adjoint): Adjoint {
  const narrow = of.narrow || (reducedAxes(op) ?? []).length > 0;
  return { value: kept(op, of.value), factor: of.factor, narrow };
}

const reduction = (rule: (op: Operation, spread: Adjoint, x: string) => Adjoint): Rule =>
  single((op, of) => [rule(op, spread(op, of), op.node.inputs[0])], {
    through: [0],
    refuse: refuseReduction,
  });

const timesX = (op: Operation, of: Adjoint, x: string): Adjoint => carried(of, op.g.op('Mul', [of.value, x]));

export const sum: Rule = reduction((_op, of) => of);

export const mean: Rule = reduction((op, of, x) => {
  const axes = reducedAxes(op) ?? [];
  const dims = axes.map((axis) => dimension(op, x, axis));
  if (isStatic(dims)) return scaled(of, 1 / sizeOf(dims));
  const { g } = op;
  const count = g.op('ReduceProd', [vector(op, dims)], { keepdims: 0 });
  return { ...of, value: g.op('Div', [of.value, cast(op, count, floatType(op, x))]) };
});

export const sumOfSquares: Rule = reduction((op, of, x) => scaled(timesX(op, of, x), 2));

export const sumOfMagnitudes: Rule = reduction((op, of, x) =>
  carried(of, op.g.op('Mul', [of.value, op.g.op('Sign', [x])])),
);

/** √Σx²: x over it. */
export const length: Rule = reduction((op, of, x) => {
  const y = kept(op, op.node.outputs[0]);
  return timesX(op, { ...of, value: op.g.op('Div', [of.value, y]) }, x);
});

export const logOfSumOfExponentials: Rule = reduction((op, of, x) => {
  const y = kept(op, op.node.outputs[0]);
  const share = op.g.op('Exp', [op.g.op('Sub', [x, y])]);
  return carried(of, op.g.op('Mul', [of.value, share]));
});

/** The elements that are the extreme share its adjoint. */
export const extremeOf: Rule = reduction((op, of, x) => {
  const { g } = op;
  const y = kept(op, op.node.outputs[0]);
  const chosen = cast(op, g.op('Equal', [x, y]), floatType(op, x));
  const count = reduce(op, 'ReduceSum', chosen, reducedAxes(op) ?? [], true);
  return carried(of, g.op('Mul', [g.op('Div', [of.value, count]), chosen]));
});

/** Before opset 13 a softmax is over all axes from its own on. */
function softmaxAxes(op: Operation): number[] {
  const rank = rankOf(op, op.node.outputs[0]);
  if (op.opset >= 13) return [axisOf(intAttribute(op.node, 'axis', -1), rank)];
  const first = axisOf(intAttribute(op.node, 'axis', 1), rank);
  return Array.from({ length: rank - first }, (_, i) => first + i);
}

/** y·(g − Σg·y). */
export const softmax: Rule = single((op, of) => {
  const { g } = op;
  const y = withoutNaN(op, op.node.outputs[0]);
  const along = reduce(op, 'ReduceSum', g.op('Mul', [of.value, y]), softmaxAxes(op), true);
  return [carried(of, g.op('Mul', [y, g.op('Sub', [of.value, along])]))];
});

/**
 * A row of which everything is masked has no softmax. Where the model replaces its NaNs, none may come back by the gradient, in which
 * even 0 times NaN is one.
 */
function withoutNaN(op: Operation, y: string): string {
  if (!op.readers(y).some(({ opType }) => opType === 'IsNaN')) return y;
  return op.g.op('Where', [op.g.op('IsNaN', [y]), scalar(op, 0, y), y]);
}

/** g − e^y·Σg. */
export const logSoftmax: Rule = single((op, of) => {
  const { g } = op;
  const [y] = op.node.outputs;
  const wide = whole(op, of, y);
  const along = reduce(op, 'ReduceSum', wide, softmaxAxes(op), true);
  return [carried(of, g.op('Sub', [wide, g.op('Mul', [g.op('Exp', [y]), along])]))];
});

/**
 * y = x̂·γ + β over the last axes, where x̂ is (x − μ)·r. The gradient is r·(g·γ − ⟨g·γ⟩ − x̂·⟨g·γ·x̂⟩), and the means ⟨·⟩ over one
 * axis are products with γ as a column: no tensor is made for them.
 */
function normalisationGradients(
  op: Operation,
  of: Adjoint,
  centred: string,
  r: string,
  hasMean: boolean,
): (Adjoint | undefined)[] {
  const { g } = op;
  const [x, scale, bias] = op.node.inputs;
  const [y] = op.node.outputs;
  const wide = whole(op, of, y);
  const unit = g.op('Mul', [centred, r]);
  const product = op.wants(0) || op.wants(1) ? g.op('Mul', [wide, unit]) : wide;
  const forX = () => {
    const along = meanAlong(op, x, scale);
    const weighted = g.op('Mul', [wide, scale]);
    const inner = g.op('Sub', [weighted, g.op('Mul', [unit, along(product)])]);
    return g.op('Mul', [hasMean ? g.op('Sub', [inner, along(wide)]) : inner, r]);
  };
  return [
    op.wants(0) ? carried(of, forX()) : undefined,
    op.wants(1) ? reduced(op, carried(of, product), y, scale) : undefined,
    bias && op.wants(2) ? reduced(op, carried(of, wide), y, bias) : undefined,
  ];
}

/** The mean of t·γ over the normalised axes, kept as ones. */
function meanAlong(op: Operation, x: string, scale: string): (t: string) => string {
  const { g } = op;
  const dims = dimsOf(op, x);
  const first = axisOf(intAttribute(op.node, 'axis', -1), dims.length);
  const width = dims.at(-1);
  if (first === dims.length - 1 && rankOf(op, scale) === 1 && typeof width === 'number') {
    const column = g.op('Mul', [g.op('Reshape', [scale, g.ints(-1, 1)]), scalar(op, 1 / width, x)]);
    return (t) => g.op('MatMul', [t, column]);
  }
  const axes = Array.from({ length: dims.length - first }, (_, i) => first + i);
  return (t) => reduce(op, 'ReduceMean', g.op('Mul', [t, scale]), axes, true);
}

/** The forward node gives its mean and the inverse of its deviation, always in float32. */
export const layerNormalisation: Rule = single(
  (op, of) => {
    const [x] = op.node.inputs;
    const [mean, inverse] = op.node.outputs
      .slice(1)
      .map((output) => (floatType(op, x) === 'float32' ? output : cast(op, output, 'float64')));
    return normalisationGradients(op, of, op.g.op('Sub', [x, mean]), inverse, true);
  },
  { reads: 3 },
);

/** The root of the mean square is computed again: the operator does not give it. */
export const rootMeanSquareNormalisation: Rule = single((op, of) => {
  const { g } = op;
  const [x] = op.node.inputs;
  const rank = rankOf(op, x);
  const first = axisOf(intAttribute(op.node, 'axis', -1), rank);
  const axes = Array.from({ length: rank - first }, (_, i) => first + i);
  const attribute = op.node.attributes.get('epsilon');
  const epsilon = attribute?.kind === 'float' ? attribute.value : 1e-5;
  const square = reduce(op, 'ReduceMean', g.op('Mul', [x, x]), axes, true);
  const root = g.op('Sqrt', [g.op('Add', [square, scalar(op, epsilon, x)])]);
  return normalisationGradients(op, of, x, g.op('Reciprocal', [root]), false);
});

/** Rotations are undone by their inverse: the sines change their sign. */
export const rotaryEmbedding = (sines: number): Rule =>
  single(
    (op, of) => {
      const wide = whole(op, of, op.node.outputs[0]);
      const back = op.memo(`negative ${op.node.inputs[sines]}`, () =>
        op.g.op('Neg', [op.node.inputs[sines]]),
      );
      const inputs = [wide, ...op.node.inputs.slice(1)].with(sines, back);
      const { domain } = op.node;
      return [
        carried(of, op.g.op('RotaryEmbedding', inputs, Object.fromEntries(op.node.attributes), { domain })),
      ];
    },
    { through: [0] },
  );
