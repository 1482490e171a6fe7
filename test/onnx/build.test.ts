/** Graphs that we write: names, attributes, bodies, and their text. */
import { describe, expect, test } from 'vitest';
import { float, floats, graphBuilder } from '../../src/onnx/build.ts';
import { inferShapes } from '../../src/onnx/infer.ts';
import { decodeModel } from '../../src/onnx/load.ts';
import { printGraph } from '../../src/onnx/print.ts';
import { encodeModel } from '../../src/onnx/save.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { encoder } from '../models/encoder.ts';

/** The sum of the first n squares by a Loop: the carried sum, and every partial sum stacked. */
function squares() {
  const g = graphBuilder('squares');
  const n = g.input('n', 'int64', []);
  const body = g.body('step');
  const i = body.input('i', 'int64', []);
  const condition = body.input('condition', 'bool', []);
  const sum = body.input('sum', 'float32', [1]);
  const square = body.op('Mul', [i, i]);
  const next = body.op('Add', [
    sum,
    body.op('Unsqueeze', [body.op('Cast', [square], { to: 1 }), body.ints(0)]),
  ]);
  body.output('condition_out', condition, 'bool', []);
  body.output('sum_out', next, 'float32', [1]);
  body.output('partial', next, 'float32', [1]);
  const zero = g.constant(tensor('float32', [1], Float32Array.of(0)), 'zero');
  const [total, partial] = g.ops('Loop', [n, '', zero], { body: body.graph() }, 2);
  g.output('total', total, 'float32', [1]);
  g.output('partial', partial, 'float32', ['n', 1]);
  return g.model({ opset: 18 });
}

describe('building', () => {
  test('the text of a graph shows what was built', () => {
    const g = graphBuilder('gram');
    const x = g.input('x', 'float32', ['tokens', 4]);
    const scaled = g.op('Mul', [x, g.scalar('float32', 0.5)]);
    const gram = g.op('MatMul', [g.op('Transpose', [scaled], { perm: [1, 0] }), scaled]);
    g.output('h', gram, 'float32', [4, 4]);
    const model = g.model({ opset: 18 });
    expect(printGraph(model.graph, { shapes: inferShapes(model) })).toBe(
      [
        'gram(x: float32[tokens, 4]) {',
        '  Mul: float32[tokens, 4] = Mul(x, 0.5)',
        '  Transpose: float32[4, tokens] = Transpose(Mul) {perm = [1, 0]}',
        '  h: float32[4, 4] = MatMul(Transpose, Mul)',
        '  return h: float32[4, 4]',
        '}',
      ].join('\n'),
    );
  });

  test('a loop’s body sees the values around it, and its names are its own', () => {
    const model = squares();
    validateModel(model);
    expect(printGraph(model.graph)).toBe(
      [
        'squares(n: int64[]) {',
        '  total, partial = Loop(n, _, [0])',
        '    body: step(step/i: int64[], step/condition: bool[], step/sum: float32[1]) {',
        '      step/Mul = Mul(step/i, step/i)',
        '      step/Cast = Cast(step/Mul) {to = 1}',
        '      step/Unsqueeze = Unsqueeze(step/Cast, [0])',
        '      step/sum_out = Add(step/sum, step/Unsqueeze)',
        '      step/condition_out = Identity(step/condition)',
        '      step/partial = Identity(step/sum_out)',
        '      return step/condition_out: bool[], step/sum_out: float32[1], step/partial: float32[1]',
        '    }',
        '  return total: float32[1], partial: float32[n, 1]',
        '}',
      ].join('\n'),
    );
  });

  test.each([
    ['encoder', () => encoder()],
    ['two gated layers', () => encoder({ layers: 2, gated: true, reshape: 'computed' })],
    ['loop', squares],
  ])('%s: what was built decodes to the same graph', (_, build) => {
    const model = build();
    validateModel(model);
    expect(printGraph(decodeModel(encodeModel(model)).graph)).toBe(printGraph(model.graph));
  });

  test('attributes are what the numbers say, unless told otherwise', () => {
    const g = graphBuilder();
    const x = g.input('x', 'float32');
    const attributes = {
      int: 1,
      big: 2n ** 60n,
      fraction: 0.5,
      float: float(1),
      ints: [1, 2],
      mixed: [1, 0.5],
      floats: floats([1]),
      none: [],
      text: 'a',
      texts: ['a', 'b'],
      tensor: tensor('float32', [1], Float32Array.of(3)),
    };
    g.output('y', g.op('Any', [x], attributes));
    const [{ attributes: made }] = g.graph().nodes;
    expect(Array.from(made, ([name, { kind }]) => [name, kind])).toEqual([
      ['int', 'int'],
      ['big', 'int'],
      ['fraction', 'float'],
      ['float', 'float'],
      ['ints', 'ints'],
      ['mixed', 'floats'],
      ['floats', 'floats'],
      ['none', 'ints'],
      ['text', 'string'],
      ['texts', 'strings'],
      ['tensor', 'tensor'],
    ]);
  });

  test('equal constants are one', () => {
    const g = graphBuilder();
    const weights = tensor('float32', [2], Float32Array.of(1, 2));
    expect(g.constant(weights)).toBe(g.constant(weights));
    expect(g.scalar('float32', 1)).toBe(g.scalar('float32', 1));
    expect(g.scalar('float32', 1)).not.toBe(g.scalar('float64', 1));
    expect(g.scalar('float32', 0)).not.toBe(g.scalar('float32', -0));
    expect(g.ints(1, 2)).toBe(g.ints(1, 2));
    expect(g.ints()).not.toBe(g.ints(0));
    expect(g.scalar('int64', 3)).not.toBe(g.ints(3));
  });

  test('one value under two outputs, an input as an output', () => {
    const g = graphBuilder();
    const x = g.input('x', 'float32', [1]);
    const y = g.op('Neg', [x]);
    g.output('a', y);
    g.output('b', y);
    g.output('c', x);
    const model = g.model({ opset: 18 });
    validateModel(model);
    expect(model.graph.nodes.map(({ opType, inputs, outputs }) => [opType, inputs, outputs])).toEqual([
      ['Neg', ['x'], ['a']],
      ['Identity', ['a'], ['b']],
      ['Identity', ['x'], ['c']],
    ]);
  });

  test('mistakes fail where they are made', () => {
    const g = graphBuilder('g');
    const x = g.input('x', 'float32');
    expect(() => g.input('x', 'float32')).toThrow('the name "x" is used already');
    expect(() => g.op('Neg', ['nothing'])).toThrow('Neg reads "nothing", which does not exist');
    const inner = g.body().op('Neg', [x]);
    expect(() => g.op('Neg', [inner])).toThrow('does not exist');
    expect(() => g.output('y', 'nothing')).toThrow('does not exist');
    g.op('Inverse', [x], {}, { domain: 'com.microsoft' });
    expect(() => g.model({ opset: 18 })).toThrow('Inverse is of "com.microsoft": give its version');
    g.graph();
    expect(() => g.op('Neg', [x])).toThrow('finished');
  });
});
