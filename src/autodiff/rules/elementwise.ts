/**
 * Rules of operators that compute element by element, broadcasting included.
 * @module
 */
import { carried, reduced, scaled, whole } from '../adjoint.ts';
import {
  type Adjoint,
  cast,
  dimsOf,
  each,
  floatType,
  type Operation,
  type Rule,
  sameDim,
  scalar,
  scalarConstant,
  single,
  type Writer,
} from '../operation.ts';

/** y = f(x): the adjoint times f′(x), up to a factor. `slope` makes f′ from x and y. */
const unary = (
  slope: (op: Operation, x: string, y: string) => string,
  factor = 1,
  more: Omit<Rule, 'backward'> = {},
): Rule =>
  single((op, adjoint) => {
    const [x, y] = [op.node.inputs[0], op.node.outputs[0]];
    return [scaled(carried(adjoint, op.g.op('Mul', [adjoint.value, slope(op, x, y)])), factor)];
  }, more);

/** y = f(x), where the adjoint is divided by something. */
const divided = (by: (op: Operation, x: string, y: string) => string, factor = 1): Rule =>
  single((op, adjoint) => {
    const [x, y] = [op.node.inputs[0], op.node.outputs[0]];
    return [scaled(carried(adjoint, op.g.op('Div', [adjoint.value, by(op, x, y)])), factor)];
  });

/** The adjoint where a condition of the shape of `like` holds, and 0 elsewhere. */
const where = (op: Writer, condition: string, adjoint: Adjoint, like: string, holds = true): string => {
  const zero = scalar(op, 0, like);
  return op.g.op('Where', [condition, ...(holds ? [adjoint.value, zero] : [zero, adjoint.value])]);
};

/** Whether a value certainly has the shape of `output`, to which it broadcasts. */
function isAsWide(op: Writer, value: string, output: string): boolean {
  const all = dimsOf(op, output);
  const own = op.shape(value);
  return own?.length === all.length && own.every((dim, axis) => sameDim(dim, all[axis]));
}

export const passed: Rule = single((_op, adjoint) => [adjoint], { through: [0] });

/** Its derivative is 0 wherever it has one: no gradient passes. */
export const flat: Rule = { through: [], backward: () => [] };

export const negation: Rule = single((_op, adjoint) => [scaled(adjoint, -1)]);

export const castRule: Rule = single(
  (op, adjoint) => {
    const [from, to] = [op.node.inputs[0], op.node.outputs[0]].map((value) => floatType(op, value));
    return [from === to ? adjoint : { ...adjoint, value: cast(op, adjoint.value, from) }];
  },
  { through: [0] },
);

export const dropout: Rule = single((_op, adjoint) => [adjoint], {
  through: [0],
  refuse: ({ node, opset, constant }) => {
    const training = node.inputs[2];
    if (opset < 12 || !training || constant(training)?.[0] === 0) return undefined;
    return 'it is in training mode; set training_mode to false';
  },
});

export const add: Rule = single((op, adjoint) => {
  const { inputs, outputs } = op.node;
  return each(op, inputs.length, (i) => reduced(op, adjoint, outputs[0], inputs[i]));
});

export const meanOfInputs: Rule = single((op, adjoint) => {
  const { inputs, outputs } = op.node;
  const part = scaled(adjoint, 1 / inputs.length);
  return each(op, inputs.length, (i) => reduced(op, part, outputs[0], inputs[i]));
});

export const subtract: Rule = single((op, adjoint) => {
  const { inputs, outputs } = op.node;
  return each(op, 2, (i) => reduced(op, scaled(adjoint, i === 0 ? 1 : -1), outputs[0], inputs[i]));
});

/** The adjoint times (or divided by) another operand of the node that made `output`. */
function times(
  op: Operation,
  opType: 'Mul' | 'Div',
  adjoint: Adjoint,
  other: string,
  output: string,
): Adjoint {
  const constant = scalarConstant(op, other);
  if (constant !== undefined && constant !== 0)
    return scaled(adjoint, opType === 'Mul' ? constant : 1 / constant);
  const value = op.g.op(opType, [adjoint.value, other]);
  return { value, factor: adjoint.factor, narrow: adjoint.narrow && !isAsWide(op, other, output) };
}

export const multiply: Rule = single((op, adjoint) => {
  const { inputs, outputs } = op.node;
  const [a, b] = inputs;
  if (a === b) return [times(op, 'Mul', scaled(adjoint, 2), a, outputs[0])];
  return each(op, 2, (i) =>
    reduced(op, times(op, 'Mul', adjoint, inputs[1 - i], outputs[0]), outputs[0], inputs[i]),
  );
});

/** y = a/b: g/b, and −(g/b)·y. */
export const divide: Rule = single((op, adjoint) => {
  const { inputs, outputs } = op.node;
  const [a, b] = inputs;
  const [y] = outputs;
  const over = times(op, 'Div', adjoint, b, y);
  return [
    op.wants(0) ? reduced(op, over, y, a) : undefined,
    op.wants(1) ? reduced(op, scaled(times(op, 'Mul', over, y, y), -1), y, b) : undefined,
  ];
});

/** y = aᵖ: p·g·aᵖ⁻¹, and g·y·ln a where a > 0. */
export const power: Rule = single(
  (op, adjoint) => {
    const { g } = op;
    const { inputs, outputs } = op.node;
    const [a, p] = inputs;
    const [y] = outputs;
    const of = carried(adjoint, whole(op, adjoint, y));
    return each(op, 2, (i) => {
      if (i === 1) {
        const zero = scalar(op, 0, y);
        const log = g.op('Where', [g.op('Greater', [a, zero]), g.op('Log', [a]), zero]);
        return reduced(op, carried(of, g.op('Mul', [of.value, g.op('Mul', [y, log])])), y, p);
      }
      const exponent = scalarConstant(op, p);
      if (exponent !== undefined)
        return reduced(op, scaled(ofPower(op, adjoint, a, y, exponent), exponent), y, a);
      const one = scalar(op, 1, p);
      const lower = g.op('Mul', [p, g.op('Pow', [a, g.op('Sub', [p, one])])]);
      return reduced(op, carried(of, g.op('Mul', [of.value, lower])), y, a);
    });
  },
  {
    refuse: ({ node, type, constant }) =>
      type(node.inputs[1])?.startsWith('float') || constant(node.inputs[1])?.length === 1
        ? undefined
        : 'its exponents are integers that are computed',
  },
);

/** The adjoint times a to the power of the exponent less one, by the cheapest operator that there is for it. */
function ofPower(op: Operation, adjoint: Adjoint, a: string, y: string, exponent: number): Adjoint {
  const { g } = op;
  if (exponent === 1) return adjoint;
  if (exponent === 2) return times(op, 'Mul', adjoint, a, y);
  if (exponent === 0.5) return times(op, 'Div', adjoint, y, y);
  const lower =
    exponent === 3 ? g.op('Mul', [a, a]) : g.op('Pow', [a, g.scalar(floatType(op, a), exponent - 1)]);
  return carried(adjoint, g.op('Mul', [adjoint.value, lower]));
}

export const squareRoot: Rule = divided((_op, _x, y) => y, 0.5);
export const logarithm: Rule = divided((_op, x) => x);
export const exponential: Rule = unary((_op, _x, y) => y);
export const reciprocal: Rule = unary(({ g }, _x, y) => g.op('Mul', [y, y]), -1);
export const absolute: Rule = unary(({ g }, x) => g.op('Sign', [x]));
export const sine: Rule = unary(({ g }, x) => g.op('Cos', [x]));
export const cosine: Rule = unary(({ g }, x) => g.op('Sin', [x]), -1);
export const softplus: Rule = unary(({ g }, x) => g.op('Sigmoid', [x]));

const oneMinus = (op: Writer, x: string, like: string) => op.g.op('Sub', [scalar(op, 1, like), x]);
const square = ({ g }: Writer, x: string) => g.op('Mul', [x, x]);

export const tanh: Rule = unary((op, _x, y) => oneMinus(op, square(op, y), y));
export const sigmoid: Rule = unary((op, _x, y) => op.g.op('Mul', [y, oneMinus(op, y, y)]));

/** 2/√π·e^(−x²), divided by e^(x²): one tensor less than the minus would make. Where that is infinite, the slope is 0. */
export const errorFunction: Rule = divided(
  (op, x) => op.g.op('Exp', [square(op, x)]),
  2 / Math.sqrt(Math.PI),
);

/** x·Φ(x): Φ + x·φ. With u = x/√2, twice that is erf(u) + u·e^(ln(2/√π) − u²) + 1. */
function slopeOfGelu(op: Operation, x: string): string {
  const { g } = op;
  const u = g.op('Mul', [x, scalar(op, Math.SQRT1_2, x)]);
  const logarithm = g.op('Sub', [scalar(op, Math.log(2 / Math.sqrt(Math.PI)), x), square(op, u)]);
  const density = g.op('Mul', [u, g.op('Exp', [logarithm])]);
  return g.op('Add', [g.op('Add', [g.op('Erf', [u]), density]), scalar(op, 1, x)]);
}

/** ½·x·(1 + t), t = tanh(k·x + k·c·x³): twice its slope is 1 + t + x·(1 − t²)·(k + 3·k·c·x²). */
function slopeOfTanhGelu(op: Operation, x: string): string {
  const { g } = op;
  const k = Math.sqrt(2 / Math.PI);
  const c = 0.044715;
  const squared = square(op, x);
  const cubic = (factor: number) =>
    g.op('Mul', [x, g.op('Add', [g.op('Mul', [squared, scalar(op, factor, x)]), scalar(op, k, x)])]);
  const t = g.op('Tanh', [cubic(k * c)]);
  const density = g.op('Mul', [oneMinus(op, square(op, t), x), cubic(3 * k * c)]);
  return g.op('Add', [g.op('Add', [t, density]), scalar(op, 1, x)]);
}

export const gelu: Rule = unary((op, x) => (isTanhGelu(op) ? slopeOfTanhGelu : slopeOfGelu)(op, x), 0.5);

function isTanhGelu({ node }: Operation): boolean {
  const attribute = node.attributes.get('approximate');
  return attribute?.kind === 'string' && new TextDecoder().decode(attribute.value) === 'tanh';
}

export const tanhGelu: Rule = unary((op, x) => slopeOfTanhGelu(op, x), 0.5, { through: [0] });

/** x·σ(αx): σ + αx·σ·(1 − σ). */
export const swish: Rule = unary((op, x, y) => {
  const { g } = op;
  const attribute = op.node.attributes.get('alpha');
  const absent = op.node.domain === '' ? 1 : 1.702;
  const alpha = attribute?.kind === 'float' ? attribute.value : absent;
  const inner = alpha === 1 ? x : g.op('Mul', [x, scalar(op, alpha, x)]);
  const s = g.op('Sigmoid', [inner]);
  const rest = g.op('Mul', [alpha === 1 ? y : g.op('Mul', [y, scalar(op, alpha, x)]), oneMinus(op, s, x)]);
  return g.op('Add', [s, rest]);
});

export const relu: Rule = single((op, adjoint) => {
  const [y] = op.node.outputs;
  return [carried(adjoint, where(op, op.g.op('Greater', [y, scalar(op, 0, y)]), adjoint, y))];
});

export const leakyRelu: Rule = single((op, adjoint) => {
  const [x] = op.node.inputs;
  const attribute = op.node.attributes.get('alpha');
  const alpha = scalar(op, attribute?.kind === 'float' ? attribute.value : 0.01, x);
  const isPositive = op.g.op('Greater', [x, scalar(op, 0, x)]);
  const slope = op.g.op('Where', [isPositive, scalar(op, 1, x), alpha]);
  return [carried(adjoint, op.g.op('Mul', [adjoint.value, slope]))];
});

/** Where the value was not bounded, which is where it left the node as it came. */
export const clip: Rule = single(
  (op, adjoint) => {
    const [x] = op.node.inputs;
    const [y] = op.node.outputs;
    return [carried(adjoint, where(op, op.g.op('Equal', [x, y]), adjoint, y))];
  },
  {
    through: [0],
  },
);

/** Min and Max: the first operand that is the result has the gradient. */
export const extreme: Rule = single((op, adjoint) => {
  const { g } = op;
  const { inputs, outputs } = op.node;
  const [y] = outputs;
  let earlier: string | undefined;
  return inputs.map((x, i) => {
    const chosen = g.op('Equal', [x, y]);
    const first = earlier ? g.op('And', [chosen, g.op('Not', [earlier])]) : chosen;
    earlier = earlier ? g.op('Or', [earlier, chosen]) : chosen;
    return op.wants(i) ? reduced(op, carried(adjoint, where(op, first, adjoint, y)), y, x) : undefined;
  });
});

export const choose: Rule = single(
  (op, adjoint) => {
    const { inputs, outputs } = op.node;
    const [condition] = inputs;
    const [y] = outputs;
    const narrow = adjoint.narrow && !isAsWide(op, condition, y);
    return each(op, 3, (i) => {
      const value = where(op, condition, adjoint, y, i === 1);
      return reduced(op, { value, factor: adjoint.factor, narrow }, y, inputs[i]);
    });
  },
  {
    through: [1, 2],
  },
);
