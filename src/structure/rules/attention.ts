/**
 * Attention as one operator, of ai.onnx and of ONNX Runtime. All forms are one: queries, keys and values are brought to
 * [batch, heads, length, width], attend head by head, and are laid flat again where they came flat.
 * @module
 */
import { type Axes, axis, extentOf, regroup, sizeOfAxis } from '../axes.ts';
import {
  type Answer,
  any,
  broadcast,
  freezeInputs,
  isRefused,
  known,
  type Operation,
  type Refused,
  type Rule,
  refused,
} from './operation.ts';
import { pieces } from './parts.ts';

/** Where a form of attention has its optional inputs; undefined for those that it does not know. */
interface Inputs {
  /** Keys and values of earlier tokens: [batch, heads, length, width]. */
  readonly past?: readonly [key: number, value: number];
  /** What is added to the scores: broadcast to [batch, heads, query length, key length]. */
  readonly bias?: number;
  /** Those that the rule pairs itself. Whatever else the node reads is the same for every head, and stays. */
  readonly own: readonly number[];
}

interface Attended {
  /** [batch, heads, length, width] */
  readonly out: Axes;
  /** Keys and values with those of earlier tokens, and the scores: the further outputs, as most forms have them. */
  readonly others: readonly Axes[];
}

/**
 * Brings an operand to [batch, heads, length, width]: it has four axes already, or `count` heads side by side, or its
 * heads hold query, key and value, or two of them, in one.
 */
function apart(op: Operation, x: Axes, count: number): Axes | Refused {
  if (x.length === 4) return x;
  if (x.length === 5 && sizeOfAxis(x[2]) === count) {
    op.freeze(x[3], 'tells query, key and value apart along it');
    return [x[0], x[2], x[1], x[4]];
  }
  const size = x.length === 3 ? sizeOfAxis(x[2]) : undefined;
  if (size === undefined || !(Number.isInteger(count) && count >= 1 && Number.isInteger(size / count)))
    return refused(`counts ${count} heads in an operand that does not hold them`);
  const sizes = [count, size / count].map((times) => ({ times, symbols: [] }));
  const parts = regroup([x[2]], sizes);
  return parts
    ? [x[0], parts[0], x[1], parts[1]]
    : refused('divides its operand into other heads than are there');
}

const flat = ([batch, heads, length, width]: Axes): Axes => [batch, length, [...heads, ...width]];

/** Pairs queries [b, h, s, d], keys [b, g, t, d] and values [b, g, t, e], each group with its h/g queries. */
function attend(op: Operation, heads: readonly (Axes | Refused)[], inputs: Inputs): Attended | Refused {
  const wrong = heads.find(isRefused);
  if (wrong) return wrong;
  const [q, k, v] = heads as readonly Axes[];
  const [h, g] = [sizeOfAxis(q[1]) ?? Number.NaN, sizeOfAxis(k[1]) ?? Number.NaN];
  const groups = Number.isInteger(h / g)
    ? regroup([q[1]], [extentOf(k[1]), { times: h / g, symbols: [] }])
    : undefined;
  if (!groups) return refused('has heads that cannot be paired with groups of keys and values');
  const past = (inputs.past ?? []).map((input) => op.axes(input));
  const bias = inputs.bias === undefined ? undefined : op.axes(inputs.bias);
  if (past.some((one) => one && one.length !== 4) || (bias?.length ?? 0) > 4)
    return refused('takes a cache and a bias of four dimensions');

  op.unify(groups[0], k[1]);
  op.unify(k[1], v[1]);
  op.unify(k[2], v[2]);
  op.unify(q[3], k[3]);
  op.freeze(q[3], 'sums over it');
  for (const one of [q[2], k[2]]) op.freeze(one, 'attends along it');
  const [batch] = broadcast(
    op,
    heads.map((one) => [(one as Axes)[0]]),
  );
  op.batch(q[1]);
  op.mix(v[3]);
  const present = [k, v].map((one, i) => {
    const before = past[i];
    if (!before) return one;
    for (const at of [0, 1, 3]) op.unify(before[at], one[at]);
    op.freeze(before[2], 'attends along it');
    return one.with(2, axis(undefined));
  });
  // A bias is one for all keys or has an entry for each, earlier ones among them.
  if (bias) {
    op.freeze(bias.at(-1) ?? [], 'attends along it');
    broadcast(op, [
      [batch, q[1], q[2], []],
      [...bias.slice(0, -1), []],
    ]);
  }
  const handled = [...inputs.own, ...(inputs.past ?? []), inputs.bias ?? 0];
  freezeInputs(op, 'reads it for all heads alike', handled);
  const scores = [batch, q[1], q[2], present[0][2]];
  return { out: [batch, q[1], q[2], v[3]], others: [...present, scores] };
}

const answer = (op: Operation, { out, others }: Attended, isFlat: boolean): Answer =>
  op.node.outputs.map((_, output) => (output === 0 ? (isFlat ? flat(out) : out) : others[output - 1]));

/** A vector for the queries, the keys and the values, end to end. */
function pairBias(op: Operation, input: number, heads: readonly Axes[]): void {
  if (!op.node.inputs[input]) return;
  const all = heads.map((one) => [...one[1], ...one[3]]);
  const sizes = all.map((one) => sizeOfAxis(one) ?? Number.NaN);
  const parts = pieces(op, op.axes(input)?.[0] ?? axis(undefined), sizes);
  for (const [i, part] of parts.entries()) op.unify(part, all[i]);
}

/** ai.onnx Attention: heads are an axis of their own, or are counted by attributes. */
export const attention = known([any, any, any], (op, ...qkv) => {
  const groups = op.int('kv_num_heads', 0);
  const counts = [op.int('q_num_heads', 0), groups, groups];
  const heads = qkv.map((one, i) => apart(op, one, counts[i]));
  const made = attend(op, heads, { past: [4, 5], bias: 3, own: [0, 1, 2] });
  if (isRefused(made)) return made;
  const isFlat = qkv[0].length === 3;
  if (isFlat) {
    op.target('q_num_heads', [[made.out[1]]]);
    op.target('kv_num_heads', [[made.others[0][1]]]);
  }
  return answer(op, made, isFlat);
});

/** com.microsoft Attention: x [b, s, e] and one matrix for q, k and v, side by side. */
export const packedAttention = known([3, 2], (op, x, w) => {
  const width = sizeOfAxis(w[1]) ?? Number.NaN;
  const listed = op.ints('qkv_hidden_sizes');
  const sizes = listed ?? [width / 3, width / 3, width / 3];
  if (sizes.length !== 3 || !sizes.every((size) => size >= 1 && Number.isInteger(size)))
    return refused('has a matrix that is not of queries, keys and values');
  const past = op.axes(4);
  if (op.node.inputs[4] && past?.length !== 5) return refused('takes a cache of five dimensions');
  const parts = pieces(op, w[1], sizes);
  const heads = parts.map((part) => apart(op, [x[0], x[1], part], op.int('num_heads', 0)));
  const made = attend(op, heads, { bias: 5, own: [0, 1, 2, 4] });
  if (isRefused(made)) return made;
  op.freeze(x[2], 'multiplies it before it attends');
  op.contract({ input: 0, at: 2 }, { input: 1, at: 0 });
  if (op.node.inputs[2]) op.unify(w[1], op.axes(2)?.[0] ?? axis(undefined));
  op.target('num_heads', [[made.out[1]]]);
  if (listed)
    op.target(
      'qkv_hidden_sizes',
      parts.map((part) => [part]),
    );
  // Keys and values share one cache: [2, batch, heads, length, width].
  const [two, ...keys] = past ?? [axis(2), ...made.others[0]];
  op.freeze(two, 'tells keys and values apart along it');
  if (past) for (const at of [0, 1, 3]) op.unify(keys[at], made.others[0][at]);
  if (past) op.freeze(past[3], 'attends along it');
  const present = [two, ...made.others[0].with(2, past ? axis(undefined) : x[1])];
  return op.node.outputs.map((_, output) => (output === 0 ? flat(made.out) : present));
});

/**
 * com.microsoft MultiHeadAttention: queries, keys and values apart, or keys with values, or all, packed within each
 * head; or keys and values with their heads as an axis, from a cross-attention's cache.
 */
export const multiHeadAttention = known([any], (op, query) => {
  const given = [1, 2].filter((input) => op.node.inputs[input]);
  if (!given.every((input) => op.axes(input))) return refused();
  const key = op.axes(1) ?? query;
  const all = [query, key, op.axes(2) ?? key];
  if (given.length < 2 && all[2].length !== 5) return refused('lacks an operand');
  const heads = all.map((one) => apart(op, one, op.int('num_heads', 0)));
  const made = attend(op, heads, { past: [6, 7], bias: 5, own: [0, 1, 2, 3] });
  if (isRefused(made)) return made;
  pairBias(op, 3, heads as readonly Axes[]);
  op.target('num_heads', [[made.out[1]]]);
  return answer(op, made, true);
});

/** com.microsoft GroupQueryAttention: as above, with fewer key and value heads; q, k and v may be one operand. */
export const groupQueryAttention = known([3], (op, query) => {
  if (op.node.inputs[12] || op.node.inputs[13]) return refused('keeps its cache quantized');
  const [h, g] = [op.int('num_heads', 0), op.int('kv_num_heads', 0)];
  const flats = op.node.inputs[1] ? [query, op.axes(1), op.axes(2)] : packed(op, query, h, g);
  if (!flats.every((one) => one !== undefined)) return refused();
  const heads = flats.map((one, i) => apart(op, one, i === 0 ? h : g));
  const made = attend(op, heads, { past: [3, 4], bias: 10, own: [0, 1, 2, 11] });
  if (isRefused(made)) return made;
  // A sink is one more score of each head.
  if (op.node.inputs[11]) op.unify(made.out[1], op.axes(11)?.[0] ?? axis(undefined));
  op.target('num_heads', [[made.out[1]]]);
  op.target('kv_num_heads', [[made.others[0][1]]]);
  return answer(op, made, true);
});

function packed(op: Operation, [batch, length, width]: Axes, h: number, g: number): Axes[] {
  const size = (sizeOfAxis(width) ?? Number.NaN) / (h + 2 * g);
  if (!(Number.isInteger(size) && size > 0 && h > 0 && g > 0)) return [[], [], []];
  return pieces(op, width, [h * size, g * size, g * size]).map((part) => [batch, length, part]);
}

/** Rotates pairs within each head, by an angle that depends on the position alone; heads come along. */
export const rotaryEmbedding = (cache: number): Rule =>
  known([any], (op, x) => {
    const counted = op.int('num_heads', 0);
    const pairs = sizeOfAxis(op.axes(cache)?.at(-1) ?? axis(undefined)) ?? Number.NaN;
    // Without a count, a cache as wide as half a head tells it.
    const count = counted > 0 ? counted : (sizeOfAxis(x.at(-1) ?? []) ?? Number.NaN) / (2 * pairs);
    const heads = x.length === 5 ? refused('takes no operand of 5 dimensions') : apart(op, x, count);
    if (isRefused(heads)) return heads;
    op.freeze(heads[2], 'rotates by the position along it');
    op.freeze(heads[3], 'rotates it');
    freezeInputs(op, 'reads it for all heads alike', [0]);
    if (counted > 0) op.target('num_heads', [[heads[1]]], x.length === 4);
    return op.node.outputs.map(() => x);
  });

/** A table [buckets, heads], read at relative positions: [1, heads, queries, keys]. */
export const relativePositionBias = known([2], (op, table) => {
  op.freeze(table[0], 'picks slices of it by position');
  freezeInputs(op, 'reads it for all heads alike', [0]);
  return [[[], table[1], axis(undefined), axis(undefined)]];
});

/** Such a bias, weighed by gates that each head computes from its query. */
export const gatedRelativePositionBias = known([3, 1, 4], (op, query, vector, bias) => {
  const heads = apart(op, query, op.int('num_heads', 0));
  const scale = op.axes(5);
  if (isRefused(heads)) return heads;
  if (scale?.length !== 4) return refused('takes a scale of four dimensions');
  op.unify(query[2], vector[0]);
  for (const one of [bias[1], scale[1]]) op.unify(heads[1], one);
  for (const one of [heads[3], ...bias.slice(2)]) op.freeze(one, 'sums over it');
  freezeInputs(op, 'reads it for all heads alike', [0, 1, 2, 5]);
  op.target('num_heads', [[heads[1]]]);
  return [[heads[0], heads[1], bias[2], bias[3]]];
});
