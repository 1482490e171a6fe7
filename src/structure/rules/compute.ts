/**
 * Operators that compute: slice by slice, over an axis, or between two axes.
 * @module
 */
import { type Axes, type Axis, axis } from '../axes.ts';
import { numbersOf } from '../shape-values.ts';
import { at, broadcast, known, type Operation, opaque, type Rule } from './operation.ts';

export const elementwise: Rule = (op) => {
  const present = op.node.inputs.flatMap((name, input) => (name === '' ? [] : [op.axes(input)]));
  if (present.some((axes) => axes === undefined)) return opaque(op);
  return [broadcast(op, present as Axes[])];
};

export const unary = known(1, (op, x) => op.node.outputs.map(() => x));

export const overAxis = (what: string, fallback: number): Rule =>
  known(1, (op, x) => {
    op.freeze(x[at(op.int('axis', fallback), x.length)] ?? [], what);
    return op.node.outputs.map(() => x);
  });

export const softmax = known(1, (op, x) => {
  const from = at(op.int('axis', op.opset < 13 ? 1 : -1), x.length);
  // Before opset 13 the axis began a flattened whole.
  for (const one of op.opset < 13 ? x.slice(from) : [x[from]]) op.freeze(one, 'normalises over it');
  return [x];
});

export const normalisation = known(1, (op, x) => {
  const from = at(op.int('axis', -1), x.length);
  broadcast(op, [x, ...[1, 2].map((input) => op.axes(input) ?? [])]);
  for (const one of x.slice(from)) op.freeze(one, 'normalises over it');
  const statistics = x.map((one, i) => (i < from ? one : []));
  return op.node.outputs.map((_, output) => (output === 0 ? x : statistics));
});

/** x + skip (+ bias), normalised; the sum is the fourth output. */
export const skipNormalisation = known(2, (op, x, skip) => {
  const vectors = op.node.inputs.slice(2).map((_, i) => op.axes(i + 2) ?? []);
  const sum = broadcast(op, [x, skip, ...vectors]);
  op.freeze(sum.at(-1) ?? [], 'normalises over it');
  return op.node.outputs.map((_, output) => (output === 0 || output === 3 ? sum : undefined));
});

/** com.microsoft: ids, segments, and the tables that both pick rows of. */
export const embedLayerNormalisation: Rule = (op) => {
  const [ids, words] = [op.axes(0), op.axes(2)];
  op.node.inputs.forEach((_, input) => {
    for (const one of input < 2 ? [] : (op.axes(input) ?? [])) op.freeze(one, 'normalises over it');
  });
  if (!ids || !words) return opaque(op);
  return op.node.outputs.map((_, output) => (output === 1 ? [ids[0]] : [...ids, words[1]]));
};

export const reduce = known(1, (op, x) => {
  const listed = op.ints('axes') ?? (op.node.inputs[1] ? numbersOf(op.value(1)) : []);
  if (!listed) return opaque(op);
  if (listed.length === 0 && op.int('noop_with_empty_axes', 0) === 1) return [x];
  const over = new Set((listed.length > 0 ? listed : x.map((_, i) => i)).map((one) => at(one, x.length)));
  for (const i of over) op.freeze(x[i], 'reduces over it');
  if (op.int('keepdims', 1) === 1) return [x.map((one, i) => (over.has(i) ? [] : one))];
  return [x.filter((_, i) => !over.has(i))];
});

export const argReduce = known(1, (op, x) => {
  const over = at(op.int('axis', 0), x.length);
  op.freeze(x[over], 'compares along it');
  return [op.int('keepdims', 1) === 1 ? x.with(over, []) : x.toSpliced(over, 1)];
});

function product(op: Operation, transA: boolean, transB: boolean): Axes | undefined {
  const [a, b] = [op.axes(0), op.axes(1)];
  if (!a || !b || a.length === 0 || b.length === 0) return undefined;
  const rows = a.length === 1 ? [] : [a.at(transA ? -1 : -2)!];
  const columns = b.length === 1 ? [] : [b.at(transB ? -2 : -1)!];
  const left = { input: 0, at: a.length === 1 ? 0 : a.length - (transA ? 2 : 1) };
  const right = { input: 1, at: b.length === 1 ? 0 : b.length - (transB ? 1 : 2) };
  const batches = broadcast(op, [a.slice(0, -2), b.slice(0, -2)]);
  op.contract(left, right);
  if (!op.isConstant(0) && !op.isConstant(1)) {
    batches.forEach(op.batch);
    [...rows, ...columns].forEach(op.mix);
  }
  return [...batches, ...rows, ...columns];
}

export const matMul: Rule = (op) => {
  const out = product(op, op.int('transA', 0) === 1, op.int('transB', 0) === 1);
  return op.int('transBatchA', 0) + op.int('transBatchB', 0) > 0 || !out ? opaque(op) : [out];
};

export const gemm: Rule = (op) => {
  const out = product(op, op.int('transA', 0) === 1, op.int('transB', 0) === 1);
  if (!out) return opaque(op);
  if (op.node.inputs[2]) broadcast(op, [out, op.axes(2) ?? []]);
  return [out];
};

export const einsum = known(2, (op, a, b) => {
  const [inputs, output] = (op.text('equation') ?? '').replaceAll(' ', '').split('->');
  const [left, right] = inputs.split(',').map((term) => [...term]);
  if (output === undefined || !right || op.node.inputs.length !== 2 || inputs.includes('.'))
    return opaque(op);
  if (left.length !== a.length || right.length !== b.length) return opaque(op);
  const of = new Map<string, Axis>(left.map((letter, i) => [letter, a[i]]));
  right.forEach((letter, i) => {
    const paired = of.get(letter);
    if (paired) op.unify(paired, b[i]);
    else of.set(letter, b[i]);
  });
  const summed = left.filter((letter) => !output.includes(letter));
  const free = [...output].filter((letter) => !(left.includes(letter) && right.includes(letter)));
  const dynamic = !op.isConstant(0) && !op.isConstant(1);
  for (const letter of summed) {
    const other = right.indexOf(letter);
    const only = summed.length === 1 && other >= 0;
    if (only) op.contract({ input: 0, at: left.indexOf(letter) }, { input: 1, at: other });
    else op.freeze(of.get(letter)!, 'sums over it');
  }
  for (const letter of dynamic ? output : '') (free.includes(letter) ? op.mix : op.batch)(of.get(letter)!);
  for (const letter of right)
    if (!output.includes(letter) && !left.includes(letter)) op.freeze(of.get(letter)!, 'sums over it');
  return [[...output].map((letter) => of.get(letter)!)];
});

export const conv = known(2, (op, x, w) => {
  op.freeze([...x[1], ...w[1]], 'convolves over it');
  if (op.int('group', 1) !== 1) op.freeze(w[0], 'convolves it in groups');
  for (const one of x.slice(2)) op.freeze(one, 'convolves over it');
  if (op.node.inputs[2]) op.unify(w[0], op.axes(2)?.[0] ?? []);
  return [[x[0], w[0], ...x.slice(2).map(() => axis(undefined))]];
});

export const trilu = known(1, (op, x) => {
  for (const one of x.slice(-2)) op.freeze(one, 'masks by position along it');
  return [x];
});
