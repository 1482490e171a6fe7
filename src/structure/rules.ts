/**
 * What each operator does to axes: one closed table. A rule pairs axes that must be the same (`unify`), forbids
 * removals where slices meet each other (`freeze`), and returns the axes of the outputs. An operator without a rule
 * freezes all that it touches: what is not understood is refused, never cut.
 * @module
 */
import type { Node } from '../onnx/model.ts';
import {
  type Axes,
  type Axis,
  axis,
  concatenate,
  type Extent,
  extentOf,
  factors,
  isUnit,
  partition,
  regroup,
  sameAxis,
  sizeOfAxis,
} from './axes.ts';
import { type Item, numberOf, numbersOf, type ShapeInputs, type ShapeValue } from './shape-values.ts';

/** One node at work, as a rule sees it. */
export interface Operation extends ShapeInputs {
  readonly node: Node;
  readonly opset: number;
  /** The axes of an input; undefined when it is absent or nothing is known about it. */
  axes(input: number): Axes | undefined;
  isConstant(input: number): boolean;
  value(input: number): ShapeValue | undefined;
  int(name: string, otherwise: number): number;
  ints(name: string): readonly number[] | undefined;
  text(name: string): string | undefined;
  freeze(of: Axis, what: string): void;
  /** Pairs two axes slice by slice; freezes both where that is impossible. */
  unify(a: Axis, b: Axis): void;
  /** Sums over axis `at` of one input against an axis of the other. A constant matrix makes it a consumer. */
  contract(one: Contracted, other: Contracted): void;
  /** Slices that meet only their own kind while two activations are multiplied: heads. */
  batch(of: Axis): void;
  /** The inside of a head: what such a product keeps beside its batch. */
  mix(of: Axis): void;
  /**
   * What an integer vector (an input, or an attribute by name) must hold after a cut: per item the axes whose sizes
   * add up to it, or undefined where it stays as it is.
   */
  target(where: number | string, items: readonly (readonly Axis[] | undefined)[], redundant?: boolean): void;
  /** The declared axes of an output, for operators that are not followed. */
  declared(output: number): Axes | undefined;
}

export interface Contracted {
  readonly input: number;
  readonly at: number;
}

export type Rule = (op: Operation) => readonly (Axes | undefined)[];

const sized = (of: Axis) => factors(of).some((atom) => atom.size !== undefined);
const at = (index: number, rank: number) => (index < 0 ? index + rank : index);

/** Numpy's broadcasting: aligned at the right; axes that are not units are the same axis. */
function broadcast(op: Operation, all: readonly Axes[]): Axes {
  const rank = Math.max(0, ...all.map((axes) => axes.length));
  return Array.from({ length: rank }, (_, i) => {
    const here = all.flatMap((axes) => {
      const own = axes[i - rank + axes.length];
      return own && !isUnit(own) ? [own] : [];
    });
    const numbered = here.filter(sized);
    // A dimension without a number may be 1 or the whole: which one decides what a cut would have to do.
    if (
      numbered.length > 0 &&
      numbered.length < here.length &&
      !here.every((one) => sameAxis(one, here[0]))
    ) {
      for (const one of numbered) op.freeze(one, 'pairs it with a dimension of unknown size');
      return numbered[0];
    }
    for (const other of here.slice(1)) op.unify(here[0], other);
    return here[0] ?? [];
  });
}

/** Freezes all that goes in, and gives up on what comes out, but for its declared shape. */
export const opaque: Rule = (op) => {
  op.node.inputs.forEach((_, input) => {
    for (const one of op.axes(input) ?? []) op.freeze(one, 'is not followed');
  });
  return op.node.outputs.map((_, output) => op.declared(output));
};

/** Wraps a rule that needs the axes of its first `count` inputs. */
const known =
  (count: number, rule: (op: Operation, ...axes: Axes[]) => readonly (Axes | undefined)[]): Rule =>
  (op) => {
    const axes = Array.from({ length: count }, (_, input) => op.axes(input));
    return axes.every((one) => one !== undefined) ? rule(op, ...(axes as Axes[])) : opaque(op);
  };

const elementwise: Rule = (op) => {
  const present = op.node.inputs.flatMap((name, input) => (name === '' ? [] : [op.axes(input)]));
  if (present.some((axes) => axes === undefined)) return opaque(op);
  return [broadcast(op, present as Axes[])];
};

const unary = known(1, (op, x) => op.node.outputs.map(() => x));

const overAxis = (what: string, fallback: number): Rule =>
  known(1, (op, x) => {
    op.freeze(x[at(op.int('axis', fallback), x.length)] ?? [], what);
    return op.node.outputs.map(() => x);
  });

const softmax = known(1, (op, x) => {
  const from = at(op.int('axis', op.opset < 13 ? 1 : -1), x.length);
  // Before opset 13 the axis began a flattened whole.
  for (const one of op.opset < 13 ? x.slice(from) : [x[from]]) op.freeze(one, 'normalises over it');
  return [x];
});

const normalisation = known(1, (op, x) => {
  const from = at(op.int('axis', -1), x.length);
  broadcast(op, [x, ...[1, 2].map((input) => op.axes(input) ?? [])]);
  for (const one of x.slice(from)) op.freeze(one, 'normalises over it');
  const statistics = x.map((one, i) => (i < from ? one : []));
  return op.node.outputs.map((_, output) => (output === 0 ? x : statistics));
});

/** x + skip (+ bias), normalised; the sum is the fourth output. */
const skipNormalisation = known(2, (op, x, skip) => {
  const vectors = op.node.inputs.slice(2).map((_, i) => op.axes(i + 2) ?? []);
  const sum = broadcast(op, [x, skip, ...vectors]);
  op.freeze(sum.at(-1) ?? [], 'normalises over it');
  return op.node.outputs.map((_, output) => (output === 0 || output === 3 ? sum : undefined));
});

/** com.microsoft: ids, segments, and the tables that both pick rows of. */
const embedLayerNormalisation: Rule = (op) => {
  const [ids, words] = [op.axes(0), op.axes(2)];
  op.node.inputs.forEach((_, input) => {
    for (const one of input < 2 ? [] : (op.axes(input) ?? [])) op.freeze(one, 'normalises over it');
  });
  if (!ids || !words) return opaque(op);
  return op.node.outputs.map((_, output) => (output === 1 ? [ids[0]] : [...ids, words[1]]));
};

const reduce = known(1, (op, x) => {
  const listed = op.ints('axes') ?? (op.node.inputs[1] ? numbersOf(op.value(1)) : []);
  if (!listed) return opaque(op);
  if (listed.length === 0 && op.int('noop_with_empty_axes', 0) === 1) return [x];
  const over = new Set((listed.length > 0 ? listed : x.map((_, i) => i)).map((one) => at(one, x.length)));
  for (const i of over) op.freeze(x[i], 'reduces over it');
  if (op.int('keepdims', 1) === 1) return [x.map((one, i) => (over.has(i) ? [] : one))];
  return [x.filter((_, i) => !over.has(i))];
});

const argReduce = known(1, (op, x) => {
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

const matMul: Rule = (op) => {
  const out = product(op, op.int('transA', 0) === 1, op.int('transB', 0) === 1);
  return op.int('transBatchA', 0) + op.int('transBatchB', 0) > 0 || !out ? opaque(op) : [out];
};

const gemm: Rule = (op) => {
  const out = product(op, op.int('transA', 0) === 1, op.int('transB', 0) === 1);
  if (!out) return opaque(op);
  if (op.node.inputs[2]) broadcast(op, [out, op.axes(2) ?? []]);
  return [out];
};

const einsum = known(2, (op, a, b) => {
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

const transpose = known(1, (op, x) => {
  const order = op.ints('perm') ?? x.map((_, i) => x.length - 1 - i);
  return [order.map((i) => x[i])];
});

/** Asks for what a Reshape's target must be, and freezes axes whose target could not be rewritten. */
function aim(op: Operation, input: number, out: Axes, items: readonly Item[]) {
  op.target(
    input,
    out.map((one, i) => {
      const size = numberOf(items[i]);
      if (size === -1 || size === 0) return undefined; // the runtime works it out
      if (items[i] === undefined) op.freeze(one, 'takes a size for it that is computed');
      return [one];
    }),
  );
}

const reshape = known(1, (op, x) => {
  const target = op.value(1);
  if (!target) return opaque(op);
  const copies = op.int('allowzero', 0) === 0;
  const dims = target.items.map((item, i): Extent | undefined => {
    const size = numberOf(item);
    if (size === 0 && copies) return extentOf(x[i] ?? []);
    return size !== undefined && size <= 0 ? undefined : item;
  });
  const out = regroup(x, dims);
  if (out) {
    aim(op, 1, out, target.items);
    return [out];
  }
  const unproven = dims.map((dim) => (dim ? [...axis(dim.times), ...dim.symbols] : axis(undefined)));
  for (const one of [...x, ...unproven]) op.freeze(one, 'regroups it in a way that is not proven');
  return [unproven];
});

const flatten = known(1, (op, x) => {
  const split = at(op.int('axis', 1), x.length);
  return [[x.slice(0, split).flat(), x.slice(split).flat()]];
});

const squeeze = known(1, (op, x) => {
  const listed = op.ints('axes') ?? (op.node.inputs[1] ? numbersOf(op.value(1)) : undefined);
  if (!listed && (op.node.inputs[1] || x.some((one) => !sized(one) && !isUnit(one)))) return opaque(op);
  const gone = new Set(listed?.map((one) => at(one, x.length)));
  return [x.filter((one, i) => (listed ? !gone.has(i) : !isUnit(one)))];
});

const unsqueeze = known(1, (op, x) => {
  const listed = op.ints('axes') ?? numbersOf(op.value(1));
  if (!listed) return opaque(op);
  const rank = x.length + listed.length;
  const inserted = new Set(listed.map((one) => at(one, rank)));
  const rest = x[Symbol.iterator]();
  return [Array.from({ length: rank }, (_, i) => (inserted.has(i) ? [] : rest.next().value!))];
});

const expand = known(1, (op, x) => {
  const target = op.value(1);
  if (!target) return opaque(op);
  const rank = Math.max(x.length, target.items.length);
  const out = Array.from({ length: rank }, (_, i): Axis => {
    const own = x[i - rank + x.length] ?? [];
    const item = target.items[i - rank + target.items.length];
    if (!isUnit(own) || i < rank - target.items.length) return own;
    return item ? [...axis(item.times), ...item.symbols] : axis(undefined);
  });
  const aligned = out.slice(rank - target.items.length);
  op.target(
    1,
    aligned.map((one, i) => (numberOf(target.items[i]) === 1 ? undefined : [one])),
  );
  return [out];
});

const tile = known(1, (op, x) => {
  const repeats = op.value(1)?.items;
  if (repeats?.length !== x.length) return opaque(op);
  const copies = repeats.map((item) => (item ? [...axis(item.times), ...item.symbols] : axis(undefined)));
  x.forEach((one, i) => {
    if (repeats[i] === undefined) op.freeze(one, 'repeats it a computed number of times');
  });
  op.target(
    1,
    copies.map((one) => (isUnit(one) ? undefined : [one])),
  );
  return [x.map((one, i) => [...copies[i], ...one])];
});

const concat: Rule = (op) => {
  const parts = op.node.inputs.map((_, input) => op.axes(input));
  if (parts.some((part) => part === undefined) || parts.length === 0) return opaque(op);
  const all = parts as Axes[];
  const along = at(op.int('axis', 0), all[0].length);
  const others = broadcast(
    op,
    all.map((axes) => axes.with(along, [])),
  );
  const terms = all.map((axes) => axes[along]);
  if (terms.length > 1 && terms.some((term) => sizeOfAxis(term) === undefined)) {
    for (const term of terms) op.freeze(term, 'joins it to a dimension of unknown size');
  }
  return [others.with(along, concatenate(terms))];
};

/** Pieces of one axis, or frozen pieces where the boundaries fall inside a slice. */
function pieces(op: Operation, of: Axis, sizes: readonly number[]): readonly Axis[] {
  const parts = partition(of, sizes);
  if (parts) return parts;
  const apart = sizes.map(axis);
  for (const one of [of, ...apart])
    op.freeze(one, 'divides it at places that do not fall between its structures');
  return apart;
}

const split = known(1, (op, x) => {
  const along = at(op.int('axis', 0), x.length);
  const size = sizeOfAxis(x[along]);
  const count = op.node.outputs.length;
  if (size === undefined) return op.node.outputs.map(() => x.with(along, axis(undefined)));
  const listed = op.ints('split') ?? (op.node.inputs[1] ? numbersOf(op.value(1)) : undefined);
  if (!listed && op.node.inputs[1]) return opaque(op);
  const each = Math.ceil(size / count);
  const sizes = listed ?? Array.from({ length: count }, (_, i) => Math.min(each, size - i * each));
  if (sizes.some((one) => one < 1)) return opaque(op);
  const parts = pieces(op, x[along], sizes);
  if (listed)
    op.target(
      op.ints('split') ? 'split' : 1,
      parts.map((part) => [part]),
    );
  // Parts that nothing names are equal: they must stay so.
  else for (const part of parts.slice(1)) op.unify(parts[0], part);
  return parts.map((part) => x.with(along, part));
});

const slice = known(1, (op, x) => {
  const [starts, ends] = [op.value(1)?.items, op.value(2)?.items];
  const along = op.node.inputs[3] ? numbersOf(op.value(3)) : starts?.map((_, i) => i);
  const steps = op.node.inputs[4] ? numbersOf(op.value(4)) : starts?.map(() => 1);
  if (!along) return opaque(op);
  let out: Axes = x;
  const bounds: [from: (readonly Axis[] | undefined)[], to: (readonly Axis[] | undefined)[]] = [[], []];
  along.forEach((listed, i) => {
    const where = at(listed, x.length);
    const size = sizeOfAxis(x[where]);
    const [start, end] = [numberOf(starts?.[i]), numberOf(ends?.[i])];
    const whole = start === 0 && end !== undefined && end >= (size ?? 2 ** 31 - 1) && steps?.[i] === 1;
    if (whole) return;
    if (size === undefined) out = out.with(where, axis(undefined));
    else if (start === undefined || end === undefined || steps?.[i] !== 1) {
      op.freeze(x[where], 'takes a part of it that is computed, or in steps');
      out = out.with(where, axis(undefined));
    } else {
      const from = Math.min(Math.max(at(start, size), 0), size);
      const to = Math.min(Math.max(at(end, size), from), size);
      const sizes = [from, to - from, size - to];
      const parts = pieces(
        op,
        x[where],
        sizes.filter((one) => one > 0),
      );
      const before = from > 0 ? [parts[0]] : [];
      const part = to > from ? parts[before.length] : [{ size: 0 }];
      out = out.with(where, part);
      bounds[0][i] = before;
      bounds[1][i] = [...before, part];
    }
  });
  for (const [j, listed] of bounds.entries()) {
    op.target(
      j + 1,
      along.map((_, i) => listed[i]),
    );
  }
  return [out];
});

const gather = known(2, (op, data, indices) => {
  const along = at(op.int('axis', 0), data.length);
  op.freeze(data[along], 'picks slices of it by index');
  return [data.toSpliced(along, 1, ...indices)];
});

/** Writes slices at computed places: the result lies as the data does, but no slice keeps to its own. */
const scatter = known(1, (op, data) => {
  op.node.inputs.forEach((_, input) => {
    for (const one of op.axes(input) ?? []) op.freeze(one, 'writes into it by index');
  });
  return [data];
});

const gatherND = known(2, (op, data, indices) => {
  const depth = sizeOfAxis(indices.at(-1) ?? []);
  const batches = op.int('batch_dims', 0);
  if (depth === undefined) return opaque(op);
  for (const one of data.slice(0, batches + depth)) op.freeze(one, 'picks slices of it by index');
  return [[...indices.slice(0, -1), ...data.slice(batches + depth)]];
});

const gatherElements = known(2, (op, data, indices) => {
  for (const one of [...data, ...indices]) op.freeze(one, 'picks elements of it by index');
  return [indices];
});

const pad = known(1, (op, x) => {
  const pads = op.node.inputs[3] ? undefined : numbersOf(op.value(1));
  return [
    x.map((one, i) => {
      if (pads?.[i] === 0 && pads[i + x.length] === 0) return one;
      op.freeze(one, 'pads it');
      return axis(undefined);
    }),
  ];
});

const constantOfShape: Rule = (op) => {
  const target = op.value(0);
  if (!target) return [op.declared(0)];
  const out = target.items.map((item) => (item ? [...axis(item.times), ...item.symbols] : axis(undefined)));
  op.target(
    0,
    out.map((one) => [one]),
  );
  return [out];
};

const vector: Rule = (op) => op.node.outputs.map(() => [axis(undefined)]);

const shape = known(1, (_, x) => [[axis(x.length)]]);

const conv = known(2, (op, x, w) => {
  op.freeze([...x[1], ...w[1]], 'convolves over it');
  if (op.int('group', 1) !== 1) op.freeze(w[0], 'convolves it in groups');
  for (const one of x.slice(2)) op.freeze(one, 'convolves over it');
  if (op.node.inputs[2]) op.unify(w[0], op.axes(2)?.[0] ?? []);
  return [[x[0], w[0], ...x.slice(2).map(() => axis(undefined))]];
});

const trilu = known(1, (op, x) => {
  for (const one of x.slice(-2)) op.freeze(one, 'masks by position along it');
  return [x];
});

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
const attention = known(3, (op, q, k, v) => {
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
const packedAttention = known(2, (op, x, w) => {
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
const rotaryEmbedding = known(1, (op, x) => {
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

const elementwiseNames =
  'Add Sub Mul Div Pow Mod Min Max Sum Mean Where Equal Less Greater LessOrEqual GreaterOrEqual And Or Xor ' +
  'BitwiseAnd BitwiseOr BitShift PRelu com.microsoft.BiasGelu com.microsoft.FastGelu com.microsoft.QuickGelu';
const unaryNames =
  'Identity Cast Dropout Clip Abs Neg Not Sqrt Exp Log Erf Tanh Sigmoid Relu LeakyRelu Elu Selu Celu Gelu Mish ' +
  'HardSigmoid HardSwish Softplus Softsign ThresholdedRelu Swish Floor Ceil Round Sign Reciprocal IsNaN IsInf Sin ' +
  'Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh com.microsoft.Gelu';
const reduceNames =
  'ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare';

const all = (names: string, rule: Rule) => names.split(' ').map((name) => [name, rule] as const);

/** Operators that pair their operands slice by slice. */
export const isElementwise = (rule: Rule | undefined): boolean => rule === elementwise;

/** Operator → rule; names of other domains are written `domain.Name`. */
export const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...all(elementwiseNames, elementwise),
  ...all(unaryNames, unary),
  ...all(reduceNames, reduce),
  ...all('Softmax LogSoftmax', softmax),
  ...all('LayerNormalization RMSNormalization SimplifiedLayerNormalization', normalisation),
  ...all(
    'com.microsoft.SkipLayerNormalization com.microsoft.SkipSimplifiedLayerNormalization',
    skipNormalisation,
  ),
  ['com.microsoft.EmbedLayerNormalization', embedLayerNormalisation],
  ...all('MatMul com.microsoft.FusedMatMul', matMul),
  ...all('ArgMax ArgMin', argReduce),
  ...all('Range', vector),
  ['Gemm', gemm],
  ['Einsum', einsum],
  ['Conv', conv],
  ['Transpose', transpose],
  ['Reshape', reshape],
  ['Flatten', flatten],
  ['Squeeze', squeeze],
  ['Unsqueeze', unsqueeze],
  ['Expand', expand],
  ['Tile', tile],
  ['Concat', concat],
  ['Split', split],
  ['Slice', slice],
  ['Gather', gather],
  ['GatherND', gatherND],
  ['GatherElements', gatherElements],
  ...all('ScatterND ScatterElements', scatter),
  ['Pad', pad],
  ['ConstantOfShape', constantOfShape],
  ['Shape', shape],
  ['Trilu', trilu],
  ['CumSum', overAxis('accumulates along it', 0)],
  ['Attention', attention],
  ['com.microsoft.Attention', packedAttention],
  ...all('RotaryEmbedding com.microsoft.RotaryEmbedding', rotaryEmbedding),
]);

export function ruleOf(node: Node): Rule | undefined {
  return rules.get(
    node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}.${node.opType}`,
  );
}
