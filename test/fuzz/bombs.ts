/**
 * Small graphs that unfold: each is well formed, and each would take forever, or more stack or memory than there is, of
 * someone who follows it carelessly.
 */
import { type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { tensor } from '../../src/tensor/tensor.ts';

const times = <T>(count: number, first: T, step: (value: T, i: number) => T): T => {
  let value = first;
  for (let i = 0; i < count; i++) value = step(value, i);
  return value;
};

/** A model of one input and one output. */
function bomb(
  shape: readonly (number | string)[],
  build: (g: GraphBuilder, x: string) => string,
): () => Model {
  return () => {
    const g = graphBuilder('bomb');
    g.output('y', build(g, g.input('x', 'float32', shape)), 'float32');
    return g.model({ opset: 18 });
  };
}

const matrix = (g: GraphBuilder, rows: number, cols: number) =>
  g.constant(tensor('float32', [rows, cols], new Float32Array(rows * cols)));

export const bombs: Readonly<Record<string, () => Model>> = {
  'an axis joined to itself, again and again': bomb(['n', 2], (g, x) =>
    times(60, x, (value) => g.op('Concat', [value, value], { axis: 1 })),
  ),
  'an axis that grows by a piece at each of thousands of nodes': bomb(['n', 3], (g, x) =>
    times(2000, x, (value) => g.op('Concat', [value, x], { axis: 1 })),
  ),
  'sums of sums': bomb(['n', 4], (g, x) => times(4000, x, (value) => g.op('Add', [value, value]))),
  'a constant computed by four thousand nodes': bomb(['n', 4], (g, x) => {
    const weight = times(4000, matrix(g, 4, 4), (value) => g.op('Identity', [value]));
    return g.op('MatMul', [x, weight]);
  }),
  'constants of constants, each read twice': bomb(['n', 4], (g, x) =>
    g.op('MatMul', [x, times(60, matrix(g, 4, 4), (value) => g.op('Add', [value, value]))]),
  ),
  'one constant chain, read by every node': bomb(['n', 4], (g, x) => {
    const weight = times(2000, matrix(g, 4, 4), (value) => g.op('Identity', [value]));
    return times(2000, x, (value) => g.op('MatMul', [value, weight]));
  }),
  'dimensions that are products of themselves': bomb(['n', 'n'], (g, x) =>
    times(60, x, (value) => {
      const flat = g.op('Reshape', [value, g.ints(-1)]);
      const square = g.op('Mul', [
        g.op('Unsqueeze', [flat, g.ints(0)]),
        g.op('Unsqueeze', [flat, g.ints(1)]),
      ]);
      return square;
    }),
  ),
  'named dimensions, each the square of the one before': () => {
    const g = graphBuilder('bomb');
    let x = g.input('x0', 'float32', ['d0', 'd0']);
    for (let i = 1; i <= 60; i++) {
      const flat = g.op('Flatten', [x], { axis: 0 });
      const row = g.op('Squeeze', [flat, g.ints(0)]);
      const sum = g.op('Add', [row, g.input(`v${i}`, 'float32', [`d${i}`])]);
      x = g.op('Add', [g.op('Unsqueeze', [sum, g.ints(0)]), g.input(`x${i}`, 'float32', [`d${i}`, `d${i}`])]);
    }
    g.output('y', x, 'float32');
    return g.model({ opset: 18 });
  },
  'tiles of tiles': bomb(['n', 2], (g, x) => times(3000, x, (value) => g.op('Tile', [value, g.ints(1, 2)]))),
  'an axis split into twenty thousand pieces, several times': bomb(['n', 20_000], (g, x) => {
    const pieces = (value: string) => g.ops('Split', [value], { axis: 1 }, 20_000)[0];
    return g.op('Add', [pieces(x), pieces(g.op('Relu', [x]))]);
  }),
  'an axis that is split and joined in turns': bomb(['n', 4096], (g, x) =>
    times(40, x, (value, i) => {
      const count = 2 ** (1 + (i % 11));
      return g.op('Concat', g.ops('Split', [value], { axis: 1, num_outputs: count }, count).toReversed(), {
        axis: 1,
      });
    }),
  ),
  'reshapes between a thousand divisors': bomb(['n', 2 ** 20], (g, x) =>
    times(2000, x, (value, i) => {
      const lead = 2 ** (1 + (i % 18));
      const apart = g.op('Reshape', [value, g.ints(-1, lead, 2 ** 20 / lead)]);
      return g.op('Reshape', [g.op('Transpose', [apart], { perm: [0, 2, 1] }), g.ints(-1, 2 ** 20)]);
    }),
  ),
  'an expansion to more than there is': bomb([1, 4], (g, x) => {
    const wide = g.op('Expand', [x, g.ints(2 ** 40, 4)]);
    return g.op('MatMul', [g.op('Relu', [g.op('MatMul', [wide, matrix(g, 4, 8)])]), matrix(g, 8, 4)]);
  }),
  'heads repeated beyond any number': bomb(['n', 's', 8], (g, x) => {
    const q = g.op('Reshape', [g.op('MatMul', [x, matrix(g, 8, 8)]), g.ints(0, 0, 4, 1, 2)]);
    const wide = g.op('Expand', [q, g.ints(1, 1, 4, 2 ** 40, 2)]);
    return g.op('ReduceSum', [wide, g.ints(3)]);
  }),
  'choices around choices, side by side': bomb(['n', 4], (g, x) => {
    const condition = g.scalar('bool', 1);
    return times(1000, x, (value) => {
      const [yes, no] = ['then', 'else'].map((name) => {
        const body = g.body(name);
        body.output('z', body.op('Relu', [value]), 'float32');
        return body.graph();
      });
      return g.op('If', [condition], { then_branch: yes, else_branch: no });
    });
  }),
  'shape arithmetic of two thousand steps': bomb(['n', 4], (g, x) => {
    const length = g.op('Shape', [x], { start: 0, end: 1 });
    const size = times(2000, length, (value) => g.op('Mul', [value, length]));
    return g.op('Expand', [x, g.op('Concat', [size, g.ints(4)], { axis: 0 })]);
  }),
  'a size multiplied by itself, again and again': bomb(['n', 4], (g, x) => {
    const size = times(60, g.op('Shape', [x], { start: 0, end: 1 }), (value) => g.op('Mul', [value, value]));
    return g.op('Expand', [x, g.op('Concat', [size, g.ints(4)], { axis: 0 })]);
  }),
  'sums of named dimensions, squared': bomb(['a', 'b', 'c', 'd'], (g, x) => {
    const shape = g.op('Shape', [x]);
    const sum = g.op('ReduceSum', [shape, g.ints(0)], { keepdims: 1 });
    const power = times(40, sum, (value) => g.op('Mul', [value, g.op('Add', [value, sum])]));
    return g.op('Reshape', [x, power]);
  }),
};
