/** What Reshape reads is known before anything runs: the arithmetic that exporters write is followed. */
import { describe, expect, test } from 'vitest';
import { type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { sameAxis, sizeOfAxis } from '../../src/structure/axes.ts';
import { random } from '../../src/tensor/random.ts';
import { tensor } from '../../src/tensor/tensor.ts';

/** The sizes that analysis gives to Reshape(x [batch, sequence, 48], target). */
function reshaped(target: (g: GraphBuilder, x: string) => string): (number | undefined)[] {
  const g = graphBuilder('shape');
  const x = g.input('x', 'float32', ['batch', 'sequence', 48]);
  const out = g.op('Reshape', [x, target(g, x)]);
  g.output('y', out, 'float32');
  const { values } = analyse(g.model({ opset: 18 }));
  return values.get('y')!.map(sizeOfAxis);
}

const shapeOf = (g: GraphBuilder, x: string) => g.op('Shape', [x]);
const item = (g: GraphBuilder, x: string, i: number) =>
  g.op('Unsqueeze', [g.op('Gather', [shapeOf(g, x), g.scalar('int64', i)]), g.ints(0)]);
const concat = (g: GraphBuilder, ...parts: string[]) => g.op('Concat', parts, { axis: 0 });

describe('targets', () => {
  test('literal, with copies and one that is worked out', () => {
    expect(reshaped((g) => g.ints(0, 0, 4, 12))).toEqual([undefined, undefined, 4, 12]);
    expect(reshaped((g) => g.ints(0, -1, 4, 12))).toEqual([undefined, undefined, 4, 12]);
    expect(reshaped((g) => g.ints(-1, 48))).toEqual([undefined, 48]);
  });

  test('the number of heads is nowhere: -1', () => {
    expect(reshaped((g, x) => concat(g, item(g, x, 0), item(g, x, 1), g.ints(-1, 8)))).toEqual([
      undefined,
      undefined,
      6,
      8,
    ]);
  });

  test('a width divided by a number of heads', () => {
    const width = (g: GraphBuilder, x: string) => g.op('Div', [item(g, x, -1), g.ints(4)]);
    const target = (g: GraphBuilder, x: string) =>
      concat(g, item(g, x, 0), item(g, x, 1), g.ints(4), width(g, x));
    expect(reshaped(target)).toEqual([undefined, undefined, 4, 12]);
  });

  test('integer division truncates', () => {
    const third = (g: GraphBuilder, x: string) =>
      g.op('Div', [g.op('Add', [item(g, x, 2), g.ints(2)]), g.ints(3)]);
    expect(reshaped((g, x) => concat(g, g.ints(0, 0, 3), third(g, x)))).toEqual([
      undefined,
      undefined,
      3,
      16,
    ]);
  });

  test('sizes are whole numbers, also those of fractions', () => {
    const half = (g: GraphBuilder, x: string) =>
      g.op('Div', [item(g, g.op('Add', [x, g.scalar('float32', 0.5)]), 2), g.ints(32)]);
    const target = (g: GraphBuilder, x: string) => concat(g, g.ints(0, 0), half(g, x), g.ints(48));
    expect(reshaped(target)).toEqual([undefined, undefined, 1, 48]);
  });

  test('a shape that Split divides', () => {
    const target = (g: GraphBuilder, x: string) => {
      const [outer, inner] = g.ops('Split', [shapeOf(g, x), g.ints(2, 1)], { axis: 0 }, 2);
      return concat(g, outer, g.ints(4), g.op('Div', [inner, g.ints(4)]));
    };
    expect(reshaped(target)).toEqual([undefined, undefined, 4, 12]);
  });

  test('paddings as PyTorch writes them: front and back of each axis, the last axis first, turned about as a matrix', () => {
    const g = graphBuilder('pad');
    const x = g.input('x', 'float32', ['batch', 'sequence', 48]);
    const missing = g.op('Mod', [item(g, x, 1), g.ints(4)]);
    const pairs = g.op('Reshape', [concat(g, g.ints(0, 0, 0), missing, g.ints(0, 0)), g.ints(-1, 2)]);
    const lastFirst = g.op('Slice', [pairs, g.ints(-1), g.ints(-(2 ** 31)), g.ints(0), g.ints(-1)]);
    const pads = g.op('Reshape', [g.op('Transpose', [lastFirst], { perm: [1, 0] }), g.ints(-1)]);
    g.output('y', g.op('Pad', [x, pads]), 'float32');
    const { values } = analyse(g.model({ opset: 18 }));
    const [before, after] = [values.get('x')!, values.get('y')!];
    expect(after.map((one, i) => sameAxis(one, before[i]))).toEqual([true, false, true]);
  });

  test('batch times heads', () => {
    const target = (g: GraphBuilder, x: string) =>
      concat(g, item(g, x, 0), g.op('Mul', [item(g, x, 1), g.ints(4)]), g.ints(12));
    expect(reshaped(target)).toEqual([undefined, undefined, 12]);
  });

  test('-1 replaced by 1, as torch.expand is exported', () => {
    const g = graphBuilder('expand');
    const x = g.input('x', 'float32', ['batch', 1, 'sequence']);
    const wanted = concat(g, g.ints(-1), g.ints(4), g.ints(-1));
    const ones = g.op('ConstantOfShape', [g.op('Shape', [wanted])], {
      value: tensor('int64', [1], BigInt64Array.of(1n)),
    });
    const open = g.op('Equal', [wanted, g.op('Mul', [ones, g.scalar('int64', -1)])]);
    g.output('y', g.op('Expand', [x, g.op('Where', [open, ones, wanted])]), 'float32');
    const { values } = analyse(g.model({ opset: 18 }));
    expect(values.get('y')!.map(sizeOfAxis)).toEqual([undefined, 4, undefined]);
  });

  test('what is not known stays open, and nothing is guessed', () => {
    const g = graphBuilder('open');
    const next = random(1);
    const weight = (rows: number, cols: number) =>
      g.constant(
        tensor(
          'float32',
          [rows, cols],
          Float32Array.from({ length: rows * cols }, () => next()),
        ),
      );
    const x = g.input('x', 'float32', ['batch', 'sequence', 8]);
    const target = g.input('target', 'int64', [3]);
    const up = g.op('Reshape', [g.op('MatMul', [x, weight(8, 12)]), target]);
    g.output('y', g.op('Add', [x, g.op('MatMul', [up, weight(12, 8)])]), 'float32');
    const { blocks, refused } = analyse(g.model({ opset: 18 }));
    expect(blocks).toEqual([]);
    expect(refused.map(({ reason }) => reason).join()).toMatch(
      /Reshape takes its sizes from what only a run can tell/,
    );
  });
});
