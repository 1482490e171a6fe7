/**
 * Integers that are not all known yet: polynomials over named dimensions, each name standing for a number ≥ 0.
 *
 * Representation: a number, or a sum of at least one term that is not constant. The terms are sorted and their
 * symbols too, so equal polynomials print equally. A quotient that does not come out even is a symbol of its own.
 * Coefficients may be fractions, since exporters compute dimensions in floating point and cast them back.
 * @module
 */
import type { Dim } from '../model.ts';

interface Term {
  readonly factor: number;
  /** Sorted; a square holds its symbol twice. Empty for the constant. */
  readonly symbols: readonly string[];
}

/** A hostile graph could square a sum at every node; no honest dimension comes near this. */
const mostTerms = 256;
const longestFormula = 400;

/** Whether a formula is short enough to go on computing with. */
export function isSimple(value: Expression): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return (
    value.length <= 16 &&
    value.every(({ symbols }) => symbols.length <= 16) &&
    print(value).length <= longestFormula
  );
}

export type Expression = number | readonly Term[];

export function symbol(name: string): Expression {
  return [{ factor: 1, symbols: [name] }];
}

/** A dimension as a model declares it: `batch`, `past + 1` and `2*s3` are read as what they say. */
export function parseDim(dim: string | number): Expression {
  if (typeof dim === 'number') return dim;
  if (dim.length > longestFormula) return symbol(dim);
  let sum: Expression = 0;
  for (const part of dim.split(/\s*\+\s*/)) {
    let product: Expression = 1;
    for (const factor of part.split(/\s*\*\s*/)) {
      // Whatever is not a sum of products of names is one name.
      if (!/^([\p{L}_][\p{L}\p{N}_.:]*|\d{1,9})$/u.test(factor)) return symbol(dim);
      product = multiply(product, /^\d/.test(factor) ? Number(factor) : symbol(factor));
    }
    sum = add(sum, product);
  }
  return sum;
}

/** A number, a name or a formula of names; undefined for what cannot be a dimension. */
export function toDim(value: Expression | undefined): Dim {
  if (typeof value !== 'object')
    return value !== undefined && Number.isInteger(value) && value >= 0 ? value : undefined;
  return print(value);
}

export function print(value: Expression): string {
  if (typeof value === 'number') return String(value);
  return value
    .map(({ factor, symbols }, i) => {
      const size = Math.abs(factor);
      const text = [...(size === 1 && symbols.length > 0 ? [] : [String(size)]), ...symbols].join('*');
      if (i === 0) return factor < 0 ? `-${text}` : text;
      return factor < 0 ? ` - ${text}` : ` + ${text}`;
    })
    .join('');
}

export function add(a: Expression, b: Expression): Expression {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  return normal([...termsOf(a), ...termsOf(b)]);
}

export function negate(a: Expression): Expression {
  return multiply(a, -1);
}

export function subtract(a: Expression, b: Expression): Expression {
  return add(a, negate(b));
}

export function multiply(a: Expression, b: Expression): Expression {
  if (typeof a === 'number' && typeof b === 'number') return a * b + 0; // never −0
  if (termsOf(a).length * termsOf(b).length > mostTerms)
    throw new RangeError('the formula has too many terms');
  const terms: Term[] = [];
  for (const left of termsOf(a)) {
    for (const right of termsOf(b)) {
      terms.push({ factor: left.factor * right.factor, symbols: [...left.symbols, ...right.symbols].sort() });
    }
  }
  return normal(terms);
}

/** The quotient where it comes out even; undefined otherwise. */
export function divideExactly(a: Expression, b: Expression): Expression | undefined {
  if (b === 0) return undefined;
  if (same(a, b)) return 1;
  const divisors = termsOf(b);
  if (divisors.length !== 1) return undefined;
  const [divisor] = divisors;
  const terms: Term[] = [];
  for (const { factor, symbols } of termsOf(a)) {
    const left = [...symbols];
    for (const name of divisor.symbols) {
      const at = left.indexOf(name);
      if (at < 0) return undefined;
      left.splice(at, 1);
    }
    if (!Number.isInteger(factor / divisor.factor)) return undefined;
    terms.push({ factor: factor / divisor.factor, symbols: left });
  }
  return normal(terms);
}

/** Integer division towards zero, as ONNX divides; a symbol of its own where it does not come out even. */
export function divide(a: Expression, b: Expression): Expression | undefined {
  if (b === 0) return undefined;
  if (typeof a === 'number' && typeof b === 'number') return Math.trunc(a / b);
  return divideExactly(a, b) ?? symbol(`(${print(a)})//(${print(b)})`);
}

export function same(a: Expression | undefined, b: Expression | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  if (typeof a === 'number' || typeof b === 'number') return a === b;
  return print(a) === print(b);
}

/** The sign of a − b where it is certain for every value of the symbols, which are ≥ 0; undefined otherwise. */
export function compare(a: Expression, b: Expression): number | undefined {
  const difference = subtract(a, b);
  if (typeof difference === 'number') return Math.sign(difference);
  const constant = difference.find(({ symbols }) => symbols.length === 0)?.factor ?? 0;
  const others = difference.filter(({ symbols }) => symbols.length > 0);
  if (constant > 0 && others.every(({ factor }) => factor > 0)) return 1;
  if (constant < 0 && others.every(({ factor }) => factor < 0)) return -1;
  return undefined;
}

/** Whether it is certain that a ≥ 0 for every value of the symbols. */
export function isNatural(a: Expression): boolean {
  return typeof a === 'number' ? a >= 0 : a.every(({ factor }) => factor >= 0);
}

/** Product over product, equal factors cancelled first; undefined where it is not certain to come out even. */
export function quotient(above: readonly Expression[], below: readonly Expression[]): Expression | undefined {
  const left = [...above];
  const right = below.filter((factor) => {
    const at = left.findIndex((other) => same(other, factor));
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return divideExactly(left.reduce(multiply, 1), right.reduce(multiply, 1));
}

function termsOf(a: Expression): readonly Term[] {
  return typeof a === 'number' ? (a === 0 ? [] : [{ factor: a, symbols: [] }]) : a;
}

function normal(terms: readonly Term[]): Expression {
  const sums = new Map<string, Term>();
  for (const term of terms) {
    const key = term.symbols.join('*');
    const known = sums.get(key);
    sums.set(key, known ? { factor: known.factor + term.factor, symbols: term.symbols } : term);
  }
  // The constant comes last: "past + 1".
  const left = [...sums]
    .filter(([, { factor }]) => factor !== 0)
    .sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
  if (left.length === 0) return 0;
  const result = left.map(([, term]) => term);
  return result.length === 1 && result[0].symbols.length === 0 ? result[0].factor : result;
}
