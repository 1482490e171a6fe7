/**
 * Attention of one node as products, a softmax, and what comes between.
 *
 * Notation: b batch, n heads, s queries, t keys, d width of a head; k key-value heads, each serving r = n/k query heads.
 * @module
 */
import type { Dim } from '../../onnx/model.ts';
import { floatAttribute, intAttribute, intsAttribute } from '../../onnx/walk.ts';
import {
  cast,
  dimension,
  type Expansion,
  type Facts,
  floatType,
  slice,
  unsqueeze,
  vector,
  type Writer,
} from '../operation.ts';

type Expanding = Facts & Writer;

const TO_HEADS = [0, 2, 1, 3];

/** [b, s, n·d] → [b, n, s, d]. */
function splitHeads({ g }: Writer, x: string, heads: number): string {
  return g.op('Transpose', [g.op('Reshape', [x, g.ints(0, 0, heads, -1)])], { perm: TO_HEADS });
}

/** [b, n, s, d] → [b, s, n·d]. */
function mergeHeads({ g }: Writer, x: string): string {
  return g.op('Reshape', [g.op('Transpose', [x], { perm: TO_HEADS }), g.ints(0, 0, -1)]);
}

function times({ g }: Writer, x: string, factor: number, like: Parameters<Writer['g']['scalar']>[0]): string {
  return factor === 1 ? x : g.op('Mul', [x, g.scalar(like, factor)]);
}

/** Keys as columns: the last two of `rank` axes exchanged. */
function asColumns({ g }: Writer, x: string, rank: number): string {
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  perm.push(...perm.splice(-2).reverse());
  return g.op('Transpose', [x], { perm });
}

/** Numbers 0…count, as a column or as a row; `count` is an int64 vector of one element. */
function positions(op: Writer, count: string, as: 'column' | 'row', from?: string): string {
  const { g } = op;
  const end = g.op('Squeeze', [count]);
  const numbers = g.op('Range', [g.scalar('int64', 0), end, g.scalar('int64', 1)]);
  return unsqueeze(op, from ? g.op('Add', [numbers, from]) : numbers, [as === 'column' ? 1 : 0]);
}

/** Where a query sees a key: [s, t], with the last query beside the last key when there is a past. */
function causal(op: Writer, queries: string, keys: string, past: string | undefined): string {
  return op.g.op('Not', [
    op.g.op('Less', [positions(op, queries, 'column', past), positions(op, keys, 'row')]),
  ]);
}

const along = (op: Writer, x: string, axis: number) => slice(op, op.g.op('Shape', [x]), 0, axis, axis + 1);

/** com.microsoft: one packed matrix [width, n·d + n·d + n·dv] of queries, keys and values. */
export const packedAttention: Expansion = {
  refuse: (facts) => {
    const [, , , mask, past] = facts.node.inputs;
    if (past) return 'it reads a cache';
    if (facts.node.outputs[1]) return 'it gives a cache';
    if (mask && !maskRanks.includes(facts.shape(mask)?.length ?? 0)) return 'its mask is not of a known form';
    if (intAttribute(facts.node, 'do_rotary', 0) !== 0) return 'it rotates its positions';
    return packedWidths(facts) ? undefined : 'the widths of its projections are not known';
  },
  write: (op) => {
    const { g, node } = op;
    const [x, weights, bias, mask, , attentionBias] = node.inputs;
    const type = floatType(op, weights);
    const heads = intAttribute(node, 'num_heads', 1);
    const widths = packedWidths(op) ?? [];
    const product = g.op('MatMul', [x, weights]);
    const packed = bias ? g.op('Add', [product, bias]) : product;
    const ends = widths.map((_, i) => widths.slice(0, i + 1).reduce((sum, width) => sum + width, 0));
    const [q, k, v] = widths.map((width, i) =>
      splitHeads(op, slice(op, packed, 2, ends[i] - width, ends[i]), heads),
    );
    const scale = floatAttribute(node, 'scale', 0) || 1 / Math.sqrt(widths[0] / heads);
    let scores = g.op('MatMul', [times(op, q, scale, type), asColumns(op, k, 4)]);
    if (mask) scores = g.op('Add', [scores, paddingBias(op, mask, along(op, x, 1), type)]);
    if (intAttribute(node, 'unidirectional', 0) === 1) {
      const length = along(op, x, 1);
      const masked = maskValue(op);
      scores = g.op('Where', [causal(op, length, length, undefined), scores, g.scalar(type, masked)]);
    }
    if (attentionBias) scores = g.op('Add', [scores, attentionBias]);
    return [mergeHeads(op, g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), v]))];
  },
};

/** The number of keys [b], or 1 for each key that is there: [b, t] or [b, s, t]. */
const maskRanks = [1, 2, 3];

const maskValue = ({ node }: Facts) => floatAttribute(node, 'mask_filter_value', -10000);

function packedWidths({ node, shape }: Facts): readonly number[] | undefined {
  const stated = intsAttribute(node, 'qkv_hidden_sizes');
  if (stated) return stated;
  const width = shape(node.inputs[1])?.[1];
  return typeof width === 'number' ? [width / 3, width / 3, width / 3] : undefined;
}

/** 0 where a key is and a large negative number where none is: [b, 1, 1 or s, t]. */
function paddingBias(op: Expanding, mask: string, keys: string, type: 'float32' | 'float64'): string {
  const { g } = op;
  const rank = op.shape(mask)?.length;
  const present =
    rank === 1
      ? g.op('Less', [positions(op, keys, 'row'), cast(op, unsqueeze(op, mask, [1]), 'int64')])
      : mask;
  const missing = g.op('Sub', [g.scalar(type, 1), cast(op, present, type)]);
  return g.op('Mul', [unsqueeze(op, missing, rank === 3 ? [1] : [1, 2]), g.scalar(type, maskValue(op))]);
}

interface Heads {
  readonly query: number;
  readonly keyValue: number;
  /** Of queries and keys. */
  readonly width: number;
}

/** ai.onnx: queries, keys and values as [b, n, s, d], or as [b, s, n·d] with the numbers of heads in attributes. */
export const attention: Expansion = {
  refuse: (facts) => {
    const { node } = facts;
    if (node.inputs[6]) return 'it counts the keys of each row';
    if (node.outputs[3]) return 'its scores are read';
    if (node.inputs[3] && !facts.shape(node.inputs[3])) return 'the rank of its mask is not known';
    return headsOf(facts) ? undefined : 'its numbers of heads are not known';
  },
  write: (op) => {
    const { g, node } = op;
    const [query, key, value, mask, pastKey, pastValue] = node.inputs;
    const type = floatType(op, query);
    const { query: n, keyValue: k, width } = headsOf(op) as Heads;
    const isFlat = op.shape(query)?.length === 3;
    const split = (x: string, heads: number) => (isFlat ? splitHeads(op, x, heads) : x);
    const withPast = (past: string | undefined, x: string) =>
      past ? g.op('Concat', [past, x], { axis: 2 }) : x;
    const q = split(query, n);
    const keys = withPast(pastKey, split(key, k));
    const values = withPast(pastValue, split(value, k));

    // With shared keys the query heads of a group stand beside each other on an axis of their own: [b, k, r, s, d].
    const isGrouped = n !== k;
    const rank = isGrouped ? 5 : 4;
    const grouped = (x: string) => (isGrouped ? unsqueeze(op, x, [2]) : x);
    const scale = floatAttribute(node, 'scale') ?? 1 / Math.sqrt(width);
    const queries = isGrouped ? g.op('Reshape', [q, g.ints(0, k, n / k, -1, width)]) : q;
    let scores = g.op('MatMul', [times(op, queries, scale, type), asColumns(op, grouped(keys), rank)]);
    const cap = floatAttribute(node, 'softcap', 0);
    if (cap > 0) scores = times(op, g.op('Tanh', [times(op, scores, 1 / cap, type)]), cap, type);
    const lowest = g.scalar(type, -3.4028234663852886e38);
    if (intAttribute(node, 'is_causal', 0) === 1) {
      const past = pastKey ? along(op, pastKey, 2) : undefined;
      scores = g.op('Where', [causal(op, along(op, q, 2), along(op, keys, 2), past), scores, lowest]);
    }
    if (mask) {
      const wide = isGrouped ? groupedMask(op, mask, n, k) : mask;
      const isBool = op.type(mask) === 'bool';
      scores = isBool ? g.op('Where', [wide, scores, lowest]) : g.op('Add', [scores, wide]);
    }
    const context = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), grouped(values)]);
    const together = isGrouped ? ungrouped(op, context, q, values, n) : context;
    return [isFlat ? mergeHeads(op, together) : together, keys, values].map((output, i) =>
      node.outputs[i] ? output : undefined,
    );
  },
};

function headsOf({ node, shape }: Facts): Heads | undefined {
  const [q, k] = [shape(node.inputs[0]), shape(node.inputs[1])];
  if (!q || !k) return undefined;
  const isFlat = q.length === 3;
  const query = isFlat ? intAttribute(node, 'q_num_heads') : q[1];
  const keyValue = isFlat ? intAttribute(node, 'kv_num_heads') : k[1];
  const last = q.at(-1);
  if (typeof query !== 'number' || typeof keyValue !== 'number' || typeof last !== 'number') return undefined;
  return { query, keyValue, width: isFlat ? last / query : last };
}

/** A mask of four axes has one for the heads, which becomes two. */
function groupedMask(op: Expanding, mask: string, n: number, k: number): string {
  const dims = op.shape(mask) as readonly Dim[];
  if (dims.length < 4) return mask;
  if (dims[1] === 1) return unsqueeze(op, mask, [1]);
  const [b, , s, t] = dims.map((_, axis) => dimension(op, mask, axis));
  return op.g.op('Reshape', [mask, vector(op, [b, k, n / k, s, t])]);
}

/** [b, k, r, s, d] → [b, n, s, d]. */
function ungrouped({ g }: Writer, context: string, q: string, values: string, n: number): string {
  const shapeOfValues = g.op('Shape', [values]);
  const width = g.op('Slice', [shapeOfValues, g.ints(3), g.ints(4)]);
  const length = g.op('Slice', [g.op('Shape', [q]), g.ints(2), g.ints(3)]);
  return g.op('Reshape', [context, g.op('Concat', [g.ints(0, n), length, width], { axis: 0 })]);
}
