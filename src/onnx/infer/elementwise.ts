/**
 * Rules of operators that go element by element: operands broadcast against each other, and values along with them
 * where shapes are computed through them.
 * @module
 */
import { elementOf } from '../elements.ts';
import type { ElementType } from '../model.ts';
import { intAttribute } from '../walk.ts';
import { add, compare, divide, type Expression, multiply, negate, same, subtract } from './expression.ts';
import { broadcast, given, larger, mapValues, type Rule, smaller, type Value } from './known.ts';

export type Item = Expression | undefined;

/** As the first input, in type and shape; further outputs are unknown. */
export const likeFirst: Rule = (node, [data]) =>
  node.outputs.map((_, i) => (i === 0 ? { type: data.type, shape: data.shape } : {}));

const likeFirstBool: Rule = (_node, [data]) => [{ type: 'bool', shape: data.shape }];

const identity: Rule = (_node, [data]) => [data];

/** All inputs broadcast, element by element. */
function elementwise(evaluate?: (...items: Item[]) => Item, type?: ElementType): Rule {
  return (node, operands) => {
    const inputs = given(node, operands);
    const values = inputs.map((input) => input.value);
    const value = evaluate && mapValues(evaluate, values);
    const own = inputs.find((input) => input.type)?.type;
    return [{ type: type ?? own, shape: broadcast(inputs.map((input) => input.shape)), value }];
  };
}

export const both =
  (f: (a: Expression, b: Expression) => Item) =>
  (a: Item, b: Item): Item =>
    a === undefined || b === undefined ? undefined : f(a, b);

/** Folds operators of any number of inputs (Min, Max, Sum). */
const fold =
  (f: (a: Expression, b: Expression) => Item) =>
  (...items: Item[]): Item =>
    items.reduce((a, b) => (a === undefined || b === undefined ? undefined : f(a, b)), items[0]);

const truth = (answer: boolean | undefined): Item => (answer === undefined ? undefined : Number(answer));

const equal = both((a, b) => {
  if (same(a, b)) return 1;
  const order = compare(a, b);
  return truth(order === undefined ? undefined : order === 0);
});

const ordered = (holds: (order: number) => boolean) =>
  both((a, b) => {
    const order = same(a, b) ? 0 : compare(a, b);
    return truth(order === undefined ? undefined : holds(order));
  });

const numeric = (f: (...numbers: number[]) => number) =>
  ((...items: Item[]) =>
    items.every((item) => typeof item === 'number') ? f(...(items as number[])) : undefined) as (
    ...items: Item[]
  ) => Item;

const isInteger = (type: ElementType | undefined) => type?.includes('int') === true;

const division: Rule = (node, inputs, context) => {
  const whole = isInteger(inputs[0].type ?? inputs[1].type);
  const divideItems = both((a, b) => {
    if (whole) return divide(a, b);
    return typeof b === 'number' && b !== 0 ? multiply(a, 1 / b) : undefined;
  });
  return elementwise(divideItems)(node, inputs, context);
};

/** Rounding leaves a formula of whole coefficients as it is. */
const rounded = (round: (value: number) => number): Rule =>
  elementwise((a) => {
    if (typeof a !== 'object') return a === undefined ? undefined : round(a);
    return a.every(({ factor }) => Number.isInteger(factor)) ? a : undefined;
  });

const cast: Rule = (node, [data]) => {
  const type = elementOf(intAttribute(node, 'to', 0));
  return [{ type, shape: data.shape, value: castValue(data.value, type) }];
};

function castValue(value: Value | undefined, type: ElementType | undefined): Value | undefined {
  if (type === 'string') return undefined;
  return mapValues(
    (item) => {
      if (typeof item === 'number' && isInteger(type)) return Math.trunc(item);
      if (typeof item === 'number' && type === 'bool') return Number(item !== 0);
      return typeof item === 'object' && type === 'bool' ? undefined : item;
    },
    [value],
  );
}

const castLike: Rule = (_node, [data, like]) => [
  { type: like.type, shape: data.shape, value: castValue(data.value, like.type) },
];

const where: Rule = (_node, [condition, yes, no]) => {
  const value = mapValues(
    (test, a, b) => (test === undefined ? (same(a, b) ? a : undefined) : test === 0 ? b : a),
    [condition.value, yes.value, no.value],
  );
  const shape = broadcast([condition.shape, yes.shape, no.shape]);
  return [{ type: yes.type ?? no.type, shape: value?.shape ?? shape, value }];
};

/** Bounds may be left out. */
const clip: Rule = (node, [data, low, high]) => {
  const bounded = (item: Item, bound: Item, pick: typeof larger) => both(pick)(item, bound);
  const withLow = node.inputs[1]
    ? mapValues((a, b) => bounded(a, b, larger), [data.value, low.value])
    : data.value;
  const value = node.inputs[2] ? mapValues((a, b) => bounded(a, b, smaller), [withLow, high.value]) : withLow;
  return [{ type: data.type, shape: data.shape, value: node.attributes.size > 0 ? undefined : value }];
};

const floatOp = (f: (value: number) => number) => elementwise(numeric(f));

export const elementwiseRules = {
  Abs: floatOp(Math.abs),
  Acos: likeFirst,
  Add: elementwise(both(add)),
  And: elementwise(
    both((a, b) => (a === 0 || b === 0 ? 0 : typeof a === 'number' && typeof b === 'number' ? 1 : undefined)),
    'bool',
  ),
  Asin: likeFirst,
  Atan: likeFirst,
  Cast: cast,
  CastLike: castLike,
  Ceil: rounded(Math.ceil),
  Celu: likeFirst,
  Clip: clip,
  Cos: likeFirst,
  Cosh: likeFirst,
  Div: division,
  Elu: likeFirst,
  Equal: elementwise(equal, 'bool'),
  Erf: likeFirst,
  Exp: likeFirst,
  Floor: rounded(Math.floor),
  Gelu: likeFirst,
  Greater: elementwise(
    ordered((order) => order > 0),
    'bool',
  ),
  GreaterOrEqual: elementwise(
    ordered((order) => order >= 0),
    'bool',
  ),
  HardSigmoid: likeFirst,
  HardSwish: likeFirst,
  Identity: identity,
  IsInf: likeFirstBool,
  IsNaN: likeFirstBool,
  LeakyRelu: likeFirst,
  Less: elementwise(
    ordered((order) => order < 0),
    'bool',
  ),
  LessOrEqual: elementwise(
    ordered((order) => order <= 0),
    'bool',
  ),
  Log: likeFirst,
  Max: elementwise(fold(larger)),
  Mean: elementwise(),
  Min: elementwise(fold(smaller)),
  Mish: likeFirst,
  Mod: elementwise(numeric((a, b) => ((a % b) + b) % b)),
  Mul: elementwise(both(multiply)),
  Neg: elementwise((a) => (a === undefined ? undefined : negate(a))),
  Not: elementwise(
    numeric((a) => Number(a === 0)),
    'bool',
  ),
  Or: elementwise(
    both((a, b) => (a === 1 || b === 1 ? 1 : typeof a === 'number' && typeof b === 'number' ? 0 : undefined)),
    'bool',
  ),
  PRelu: likeFirst,
  Pow: elementwise(numeric((a, b) => a ** b)),
  Reciprocal: floatOp((a) => 1 / a),
  Relu: likeFirst,
  Round: rounded(Math.round),
  Selu: likeFirst,
  Sigmoid: likeFirst,
  Sign: floatOp(Math.sign),
  Sin: likeFirst,
  Sinh: likeFirst,
  Softplus: likeFirst,
  Softsign: likeFirst,
  Sqrt: floatOp(Math.sqrt),
  Sub: elementwise(both(subtract)),
  Sum: elementwise(fold(add)),
  Swish: likeFirst,
  Tan: likeFirst,
  Tanh: likeFirst,
  ThresholdedRelu: likeFirst,
  Where: where,
  Xor: elementwise(
    numeric((a, b) => Number(a !== b)),
    'bool',
  ),
} as const satisfies Record<string, Rule>;
