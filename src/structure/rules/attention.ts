/**
 * Attention as one operator, of ai.onnx and of ONNX Runtime.
 * @module
 */
import { type Axes, type Axis, axis, extentOf, regroup, sizeOfAxis } from '../axes.ts';
import { pieces } from './layout.ts';
import { broadcast, known, type Operation, opaque } from './operation.ts';

/** Heads·width as the node's own attribute counts them. */
function heads(of: Axis, count: number): [Axis, Axis] | undefined {
  const size = sizeOfAxis(of);
  if (size === undefined || count < 1 || size % count !== 0) return undefined;
  const parts = regroup(
    [of],
    [
      { times: count, symbols: [] },
      { times: size / count, symbols: [] },
    ],
  );
  return parts && [parts[0], parts[1]];
}

/** The four-dimensional core of attention: q [b, h, s, d], k [b, g, t, d], v [b, g, t, e] → [b, h, s, e]. */
function attend(op: Operation, q: Axes, k: Axes, v: Axes): Axes | undefined {
  const [h, g] = [sizeOfAxis(q[1]), sizeOfAxis(k[1])];
  if (h === undefined || g === undefined || h % g !== 0) return undefined;
  const grouped = regroup([q[1]], [extentOf(k[1]), { times: h / g, symbols: [] }]);
  if (!grouped) return undefined;
  op.unify(grouped[0], k[1]);
  op.unify(k[1], v[1]);
  op.unify(k[2], v[2]);
  op.unify(q[3], k[3]);
  op.freeze(q[3], 'sums over it');
  if (q[0] !== k[0]) broadcast(op, [[q[0]], [k[0]], [v[0]]]);
  op.batch(q[1]);
  op.mix(v[3]);
  return [q[0], q[1], q[2], v[3]];
}

/** ai.onnx Attention: heads are an axis of their own, or are counted by attributes. */
export const attention = known(3, (op, q, k, v) => {
  const flat = q.length === 3;
  const counts = [op.int('q_num_heads', 0), op.int('kv_num_heads', 0), op.int('kv_num_heads', 0)];
  const split = [q, k, v].map((axes, i) => {
    if (!flat) return axes;
    const parts = heads(axes[2], counts[i]);
    return parts && [axes[0], parts[0], axes[1], parts[1]];
  });
  const past = op.axes(4) ?? op.axes(5);
  const out = split[0] && split[1] && split[2] && !past && attend(op, split[0], split[1], split[2]);
  if (!out) return opaque(op);
  const mask = op.axes(3);
  if (mask)
    broadcast(op, [
      [out[0], out[1], out[2], axis(undefined)],
      mask.length > 0 ? mask.with(-1 + mask.length, []) : mask,
    ]);
  if (flat) {
    op.target('q_num_heads', [[split[0]![1]]]);
    op.target('kv_num_heads', [[split[1]![1]]]);
  }
  return op.node.outputs.map((_, output) => {
    if (output === 0) return flat ? [out[0], out[2], [...out[1], ...out[3]]] : out;
    return output === 1 ? split[1] : output === 2 ? split[2] : op.declared(output);
  });
});

/** com.microsoft Attention: x [b, s, e] and one matrix for q, k and v, side by side. */
export const packedAttention = known(2, (op, x, w) => {
  const width = sizeOfAxis(w[1]);
  const count = op.int('num_heads', 0);
  const listed = op.ints('qkv_hidden_sizes');
  if (op.node.inputs[4] || width === undefined || x.length !== 3) return opaque(op);
  const parts = pieces(op, w[1], listed ?? [width / 3, width / 3, width / 3]);
  const split = parts.map((part) => heads(part, count));
  op.contract({ input: 0, at: 2 }, { input: 1, at: 0 });
  if (op.node.inputs[2]) op.unify(w[1], op.axes(2)?.[0] ?? []);
  if (split.some((part) => !part)) return opaque(op);
  const [q, k, v] = split.map((part): Axes => [x[0], part![0], x[1], part![1]]);
  const out = attend(op, q, k, v);
  if (!out) return opaque(op);
  const bias = op.axes(5);
  if (bias) broadcast(op, [[out[0], out[1], out[2], axis(undefined)], bias.with(-1, [])]);
  op.target('num_heads', [[out[1]]]);
  if (listed)
    op.target(
      'qkv_hidden_sizes',
      parts.map((part) => [part]),
    );
  return op.node.outputs.map((_, output) =>
    output === 0 ? [out[0], out[2], [...out[1], ...out[3]]] : op.declared(output),
  );
});

/** Rotates pairs within each head; heads only come along. */
export const rotaryEmbedding = known(1, (op, x) => {
  const count = op.int('num_heads', 0);
  if (x.length === 4) {
    op.freeze(x[3], 'rotates it');
    if (count > 0) op.target('num_heads', [[x[1]]], true);
    return op.node.outputs.map(() => x);
  }
  const parts = heads(x[2] ?? [], count);
  if (!parts) return opaque(op);
  op.freeze(parts[1], 'rotates it');
  op.target('num_heads', [[parts[0]]]);
  return op.node.outputs.map(() => x);
});
