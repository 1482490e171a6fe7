/** Random removals from models that we build: a cut model gives what the masked one gives. */
import { describe, expect, test } from 'vitest';
import { float, type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { cut } from '../../src/structure/cut.ts';
import { random } from '../../src/tensor/random.ts';
import { encoder } from '../models/encoder.ts';
import { around, floats, heads, holds, type Parts, tokens } from './residual.ts';
import { range } from './running.ts';

describe('encoders', () => {
  test.each([
    { reshape: 'literal', gated: false },
    { reshape: 'computed', gated: false },
    { reshape: 'computed', gated: true },
  ] as const)('$reshape targets, gated: $gated', async (options) => {
    const model = encoder({ layers: 2, ...options });
    const feeds = {
      input_ids: tokens([2, 6], (i) => (i * 7) % 50),
      attention_mask: tokens([2, 6], (i) => (i % 6 < 4 ? 1 : 0)),
    };
    const { blocks } = await holds(model, feeds);
    expect(blocks.map(({ id, structures, gated }) => [id, structures, gated])).toEqual([
      ['attention.0', 4, undefined],
      ['mlp.0', 24, options.gated],
      ['attention.1', 4, undefined],
      ['mlp.1', 24, options.gated],
    ]);
  });
});

/** Attention over q, k, v of [batch, heads, sequence, 3], merged to [batch, sequence, heads·3]. */
function attend(g: GraphBuilder, q: string, k: string, v: string, merged: string): string {
  const scores = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  const context = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), v]);
  return g.op('Reshape', [g.op('Transpose', [context], { perm: [0, 2, 1, 3] }), merged]);
}

const attentions: Readonly<Record<string, (parts: Parts) => string>> = {
  'packed, divided by Split'({ g, x, weight }) {
    const packed = g.op('MatMul', [x, weight(8, 36)]);
    const [q, k, v] = g.ops('Split', [packed, g.ints(12, 12, 12)], { axis: 2 }, 3);
    const out = attend(g, heads(g, q, 4), heads(g, k, 4), heads(g, v, 4), g.ints(0, 0, 12));
    return g.op('MatMul', [out, weight(12, 8)]);
  },
  'packed, divided by Slice'({ g, x, weight }) {
    const packed = g.op('Add', [g.op('MatMul', [x, weight(8, 36)]), weight(36)]);
    const part = (i: number) =>
      heads(g, g.op('Slice', [packed, g.ints(12 * i), g.ints(12 * i + 12), g.ints(-1)]), 4);
    const out = attend(g, part(0), part(1), part(2), g.ints(0, 0, 12));
    return g.op('Add', [g.op('MatMul', [out, weight(12, 8)]), weight(8)]);
  },
  'packed within each head'({ g, x, weight }) {
    const packed = g.op('Reshape', [g.op('MatMul', [x, weight(8, 36)]), g.ints(0, 0, 4, 9)]);
    const parts = g.ops('Split', [packed], { axis: 3, num_outputs: 3 }, 3);
    const [q, k, v] = parts.map((part) => g.op('Transpose', [part], { perm: [0, 2, 1, 3] }));
    return g.op('MatMul', [attend(g, q, k, v, g.ints(0, 0, -1)), weight(12, 8)]);
  },
  'packed on an axis of three'({ g, x, weight }) {
    const packed = g.op('Reshape', [g.op('MatMul', [x, weight(8, 36)]), g.ints(0, 0, 3, 4, 3)]);
    const apart = g.op('Transpose', [packed], { perm: [2, 0, 3, 1, 4] });
    const [q, k, v] = range(3).map((i) => g.op('Gather', [apart, g.scalar('int64', i)], { axis: 0 }));
    return g.op('MatMul', [attend(g, q, k, v, g.ints(0, 0, 12)), weight(12, 8)]);
  },
  'merged with the batch'({ g, x, weight }) {
    const shape = g.op('Shape', [x]);
    const dim = (i: number) => g.op('Slice', [shape, g.ints(i), g.ints(i + 1)]);
    const [batch, sequence] = [dim(0), dim(1)];
    const flat = g.op('Concat', [g.op('Mul', [batch, g.ints(4)]), sequence, g.ints(3)], { axis: 0 });
    const part = () => g.op('Reshape', [heads(g, g.op('MatMul', [x, weight(8, 12)]), 4), flat]);
    const scores = g.op('MatMul', [part(), g.op('Transpose', [part()], { perm: [0, 2, 1] })]);
    const context = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), part()]);
    const back = g.op('Reshape', [
      context,
      g.op('Concat', [batch, g.ints(4), sequence, g.ints(3)], { axis: 0 }),
    ]);
    const merged = g.op('Concat', [batch, sequence, g.ints(12)], { axis: 0 });
    const out = g.op('Reshape', [g.op('Transpose', [back], { perm: [0, 2, 1, 3] }), merged]);
    return g.op('MatMul', [out, weight(12, 8)]);
  },
  'a scale that depends on the number of heads'({ g, x, weight }) {
    const [q, k, v] = range(3).map(() => heads(g, g.op('MatMul', [x, weight(8, 12)]), 4));
    const count = g.op('Gather', [g.op('Shape', [q]), g.scalar('int64', 1)]);
    const scale = g.op('Sqrt', [g.op('Cast', [count], { to: 1 })]);
    const out = attend(g, g.op('Mul', [q, scale]), k, v, g.ints(0, 0, 12));
    return g.op('MatMul', [out, weight(12, 8)]);
  },
  'one vector of sizes for all, through a Gemm'({ g, x, weight }) {
    const shape = g.op('Shape', [x]);
    const target = g.op('Concat', [g.op('Slice', [shape, g.ints(0), g.ints(2)]), g.ints(4, 3)], { axis: 0 });
    const [q, k, v] = range(3).map(() => {
      const projected = g.op('MatMul', [x, weight(8, 12)]);
      return g.op('Transpose', [g.op('Reshape', [projected, target])], { perm: [0, 2, 1, 3] });
    });
    const out = attend(g, q, k, v, g.ints(-1, 12));
    const rows = g.op('Gemm', [out, weight(8, 12), weight(8)], { transB: 1 });
    return g.op('Reshape', [rows, shape]);
  },
  'a weight behind Identity and a live Transpose'({ g, x, weight }) {
    const behind = () => g.op('Transpose', [g.op('Identity', [weight(12, 8)])], { perm: [1, 0] });
    const [q, k, v] = range(3).map(() => heads(g, g.op('MatMul', [x, behind()]), 4));
    const last = g.op('Transpose', [weight(8, 12)], { perm: [1, 0] });
    return g.op('MatMul', [attend(g, q, k, v, g.ints(0, 0, 12)), last]);
  },
};

describe('attention', () => {
  test.each(Object.keys(attentions))('%s', async (name) => {
    const { model, feeds } = around(attentions[name], { layers: 2 });
    const { blocks } = await holds(model, feeds);
    expect(blocks.map(({ kind, structures, headDim }) => [kind, structures, headDim])).toEqual([
      ['attention', 4, 3],
      ['attention', 4, 3],
    ]);
  });

  test('grouped queries are cut by group', async () => {
    const { model, feeds } = around(({ g, x, weight }) => {
      const q = heads(g, g.op('MatMul', [x, weight(8, 12)]), 4);
      const shape = g.op('Shape', [x]);
      const dim = (i: number) => g.op('Slice', [shape, g.ints(i), g.ints(i + 1)]);
      const repeat = (kv: string) => {
        const target = g.op('Concat', [dim(0), g.ints(2), g.ints(2), dim(1), g.ints(3)], { axis: 0 });
        const wide = g.op('Expand', [g.op('Unsqueeze', [kv, g.ints(2)]), target]);
        return g.op('Reshape', [wide, g.op('Concat', [dim(0), g.ints(4), dim(1), g.ints(3)], { axis: 0 })]);
      };
      const [k, v] = range(2).map(() => repeat(heads(g, g.op('MatMul', [x, weight(8, 6)]), 2)));
      return g.op('MatMul', [attend(g, q, k, v, g.ints(0, 0, 12)), weight(12, 8)]);
    });
    const { blocks } = await holds(model, feeds);
    expect(blocks.map((block) => [block.structures, block.queryHeadsPerStructure, block.headDim])).toEqual([
      [2, 2, 3],
    ]);
    expect(blocks[0].columns).toEqual([range(6), range(6).map((i) => i + 6)]);
  });

  test('a bias per head that both layers share is sliced apart', async () => {
    let table: string | undefined;
    const { model, feeds } = around(
      ({ g, x, weight }) => {
        table ??= g.op('Unsqueeze', [
          g.op('Transpose', [g.op('Gather', [weight(7, 4), g.constant(tokens([5, 5], (i) => i % 7))])], {
            perm: [2, 0, 1],
          }),
          g.ints(0),
        ]);
        const [q, k, v] = range(3).map(() => heads(g, g.op('MatMul', [x, weight(8, 12)]), 4));
        const scores = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
        const context = g.op('MatMul', [g.op('Softmax', [g.op('Add', [scores, table])], { axis: -1 }), v]);
        const out = g.op('Reshape', [g.op('Transpose', [context], { perm: [0, 2, 1, 3] }), g.ints(0, 0, 12)]);
        return g.op('MatMul', [out, weight(12, 8)]);
      },
      { layers: 2 },
    );
    const { blocks } = await holds(model, feeds);
    expect(blocks.length).toBe(2);
  });
});

const neurons: Readonly<Record<string, (parts: Parts) => string>> = {
  plain({ g, x, weight }) {
    return g.op('MatMul', [g.op('Relu', [g.op('MatMul', [x, weight(8, 12)])]), weight(12, 8)]);
  },
  'one zero bias for every layer'({ g, x, weight, zeros }) {
    const up = g.op('Add', [g.op('Identity', [zeros]), g.op('MatMul', [x, weight(8, 12)])]);
    return g.op('MatMul', [g.op('Tanh', [up]), weight(12, 8)]);
  },
  'gate and up in one matrix'({ g, x, weight }) {
    const [gate, up] = g.ops('Split', [g.op('MatMul', [x, weight(8, 24)])], { axis: -1, num_outputs: 2 }, 2);
    return g.op('MatMul', [g.op('Mul', [g.op('Sigmoid', [gate]), up]), weight(12, 8)]);
  },
  'a scale per neuron, and Gemm with its bias'({ g, x, weight }) {
    const rows = g.op('Reshape', [x, g.ints(-1, 8)]);
    const up = g.op('Gemm', [rows, weight(8, 12), weight(12)], { alpha: float(0.5) });
    const down = g.op('Gemm', [g.op('Mul', [g.op('Relu', [up]), weight(12)]), weight(8, 12), weight(8)], {
      transB: 1,
    });
    return g.op('Reshape', [down, g.op('Shape', [x])]);
  },
};

describe('neurons', () => {
  test.each(Object.keys(neurons))('%s', async (name) => {
    const { model, feeds } = around(neurons[name], { layers: 2 });
    const { blocks } = await holds(model, feeds);
    expect(blocks.map(({ kind, structures }) => [kind, structures])).toEqual([
      ['mlp', 12],
      ['mlp', 12],
    ]);
  });

  test('a consuming matrix that serves two layers is one block', async () => {
    let weights: [string, string] | undefined;
    const { model, feeds } = around(
      ({ g, x, weight }) => {
        weights ??= [weight(8, 12), weight(12, 8)];
        return g.op('MatMul', [g.op('Relu', [g.op('MatMul', [x, weights[0]])]), weights[1]]);
      },
      { layers: 2 },
    );
    const { blocks } = await holds(model, feeds);
    expect(blocks.map(({ structures, uses }) => [structures, uses])).toEqual([[12, 2]]);
    const analysis = analyse(model);
    const smaller = cut(model, analysis, new Map([['mlp.0', [0, 1]]]));
    const shapes = [...smaller.graph.initializers.values()].map(({ shape }) => shape.join());
    expect(shapes.filter((shape) => shape === '10,8').length).toBe(1);
  });
});

describe('what is refused', () => {
  const refused: Readonly<Record<string, [(parts: Parts) => string, RegExp]>> = {
    'a softmax over neurons': [
      ({ g, x, weight }) =>
        g.op('MatMul', [g.op('Softmax', [g.op('MatMul', [x, weight(8, 12)])], { axis: -1 }), weight(12, 8)]),
      /\(Softmax\) normalises over it/,
    ],
    'a mean over neurons': [
      ({ g, x, weight }) => {
        const up = g.op('MatMul', [x, weight(8, 12)]);
        return g.op('MatMul', [g.op('Sub', [up, g.op('ReduceMean', [up, g.ints(-1)])]), weight(12, 8)]);
      },
      /\(ReduceMean\) reduces over it/,
    ],
    'neurons that two matrices read': [
      ({ g, x, weight }) => {
        const up = g.op('Relu', [g.op('MatMul', [x, weight(8, 12)])]);
        return g.op('Add', [g.op('MatMul', [up, weight(12, 8)]), g.op('MatMul', [up, weight(12, 8)])]);
      },
      /more than one matrix reads it/,
    ],
    'an operator that nobody knows': [
      ({ g, x, weight }) => {
        const up = g.op('Unheard', [g.op('MatMul', [x, weight(8, 12)])], {}, { domain: 'made.up' });
        return g.op('MatMul', [up, weight(12, 8)]);
      },
      /What Unheard does to axes is not known/,
    ],
    'neurons rolled by one': [
      ({ g, x, weight }) => {
        const up = g.op('MatMul', [x, weight(8, 12)]);
        const [first, rest] = g.ops('Split', [up, g.ints(1, 11)], { axis: -1 }, 2);
        return g.op('MatMul', [
          g.op('Mul', [up, g.op('Concat', [rest, first], { axis: -1 })]),
          weight(12, 8),
        ]);
      },
      /pairs it with an axis that is divided differently/,
    ],
  };

  test.each(Object.entries(refused))('%s', (_, [module, reason]) => {
    const g = { domains: { 'made.up': 1 } };
    const next = random(3);
    const builder = graphBuilder('refused');
    const x = builder.input('x', 'float32', ['batch', 'sequence', 8]);
    const weight = (...shape: number[]) => builder.constant(floats(next, ...shape), 'weight');
    const made = module({ g: builder, x, weight, zeros: weight(12) });
    builder.output('y', builder.op('Add', [x, made]), 'float32');
    const { blocks, refused } = analyse(builder.model({ opset: 18, ...g }));
    expect(blocks).toEqual([]);
    expect(refused.map(({ reason }) => reason).join('\n')).toMatch(reason);
    for (const { at } of refused) expect(at).not.toBe('');
  });

  test('a classifier of two matrices is no module: nothing leads around it', () => {
    const next = random(3);
    const g = graphBuilder('classifier');
    const weight = (...shape: number[]) => g.constant(floats(next, ...shape), 'weight');
    const x = g.op('Gather', [weight(20, 8), g.input('ids', 'int64', ['batch', 'sequence'])]);
    const up = g.op('Relu', [g.op('MatMul', [x, weight(8, 12)])]);
    g.output('logits', g.op('MatMul', [up, weight(12, 3)]), 'float32');
    const { blocks, refused } = analyse(g.model({ opset: 18 }));
    expect(blocks).toEqual([]);
    expect(refused.map(({ reason }) => reason).join()).toMatch(/no bypass/);
  });

  test('a removal outside the block is told, and nothing is cut', () => {
    const { model } = around(neurons.plain);
    const analysis = analyse(model);
    expect(() => cut(model, analysis, new Map([['mlp.9', [0]]]))).toThrow(/no block "mlp.9"/);
    expect(() => cut(model, analysis, new Map([['mlp.0', [12]]]))).toThrow(/structures 0 to 11, not 12/);
  });
});

test('weights that are listed as inputs, as old formats ask, are listed as they are after the cut', async () => {
  const { model, feeds } = around(neurons.plain);
  const { graph } = model;
  for (const [name, { type, shape }] of graph.initializers) graph.inputs.push({ name, type, shape });
  model.irVersion = 3;
  const { blocks } = await holds(model, feeds);
  expect(blocks.length).toBe(1);
  for (const gone of [[0, 5], range(12)]) {
    const smaller = cut(model, analyse(model), new Map([['mlp.0', gone]])).graph;
    const listed = smaller.inputs.slice(1).map(({ name, shape }) => [name, shape]);
    expect(listed.toSorted()).toEqual(
      [...smaller.initializers].map(([name, { shape }]) => [name, shape]).toSorted(),
    );
    expect(listed.flat(2)).not.toContain(12);
  }
});
