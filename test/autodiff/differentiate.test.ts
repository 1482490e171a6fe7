/** What the whole of it promises: nothing in vain, nothing unsaid, nothing changed. */
import { describe, expect, test } from 'vitest';
import { differentiate, undifferentiable } from '../../src/autodiff/differentiate.ts';
import { type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import type { Model } from '../../src/onnx/model.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { run } from '../structure/running.ts';

const vector = (...values: number[]) => tensor('float32', [values.length], Float32Array.from(values));

/** loss = Σ f(x, w, v) over inputs x, and initializers w and v, all [2]. */
function model(f: (g: GraphBuilder, x: string, w: string, v: string) => string, opset = 18): Model {
  const g = graphBuilder();
  const x = g.input('x', 'float32', [2]);
  const [w, v] = [g.constant(vector(2, 3), 'w'), g.constant(vector(5, 7), 'v')];
  g.output('loss', g.op('ReduceSum', [f(g, x, w, v)], { keepdims: 0 }), 'float32', []);
  return g.model({ opset, domains: { 'com.microsoft': 1, elsewhere: 1 } });
}

const added = (before: Model, { model: after }: { model: Model }) =>
  after.graph.nodes.filter((node) => !before.graph.nodes.some(({ name }) => name === node.name));

async function gradientsOf(of: Model, parameters: readonly string[]): Promise<Record<string, number[]>> {
  const { model: found, gradients } = differentiate(of, 'loss', parameters);
  found.graph.outputs = [...gradients].map(([, name]) => ({ name }));
  const [values] = await run(found, [{ x: vector(1, -1) }]);
  return Object.fromEntries(
    [...gradients].map(([parameter, name]) => [parameter, Array.from(values[name].data as Float32Array)]),
  );
}

test('gradients come for initializers and for inputs', async () => {
  const product = model((g, x, w, v) => g.op('Mul', [g.op('Mul', [x, w]), v]));
  expect(await gradientsOf(product, ['x', 'w', 'v'])).toEqual({ x: [10, 21], w: [5, -7], v: [2, -3] });
});

test('a parameter that the loss does not depend on has no gradient', async () => {
  const ignoring = model((g, x, w, v) => g.op('Add', [g.op('Mul', [x, w]), g.op('Floor', [v])]));
  expect(await gradientsOf(ignoring, ['w', 'v'])).toEqual({ w: [1, -1] });
});

test('the model given is left as it was', () => {
  const before = model((g, x, w, v) =>
    g.op('BiasGelu', [g.op('Mul', [x, w]), v], {}, { domain: 'com.microsoft' }),
  );
  const bytes = encodeModel(before);
  differentiate(before, 'loss', ['w']);
  expect(encodeModel(before)).toEqual(bytes);
});

test('inputs and outputs stay, and the result is a model', () => {
  const before = model((g, x, w) => g.op('Mul', [x, w]));
  const { model: after } = differentiate(before, 'loss', ['w']);
  expect(after.graph.inputs).toEqual(before.graph.inputs);
  expect(after.graph.outputs).toEqual(before.graph.outputs);
  expect(() => validateModel(after)).not.toThrow();
});

test('what is frozen gets no backward nodes', () => {
  // Only the last product reads w: its gradient needs one product, and nothing of the tanh.
  const frozen = model((g, x, w, v) => g.op('Mul', [g.op('Tanh', [g.op('Mul', [x, v])]), w]));
  const operators = added(frozen, differentiate(frozen, 'loss', ['w'])).map(({ opType }) => opType);
  expect(operators.filter((opType) => opType === 'Mul')).toHaveLength(1);
  expect(operators).not.toContain('Sub');
});

test('numbers meet in one product', () => {
  const scaled = model((g, x, w) => {
    const half = g.op('Mul', [g.op('Neg', [g.op('Mul', [x, w])]), g.scalar('float32', 0.5)]);
    return g.op('Div', [half, g.scalar('float32', 4)]);
  });
  const factors = added(scaled, differentiate(scaled, 'loss', ['w'])).filter(({ opType }) =>
    ['Mul', 'Div', 'Neg'].includes(opType),
  );
  expect(factors).toHaveLength(2); // by x, and by −⅛
});

test('a matrix on the right has one product over all tokens as its gradient', () => {
  const g = graphBuilder();
  const x = g.input('x', 'float32', ['batch', 'sequence', 3]);
  const w = g.constant(tensor('float32', [3, 4], new Float32Array(12)), 'w');
  g.output('loss', g.op('ReduceSum', [g.op('MatMul', [x, w])], { keepdims: 0 }));
  const linear = g.model({ opset: 18 });
  const operators = added(linear, differentiate(linear, 'loss', ['w'])).map(({ opType }) => opType);
  expect(operators.filter((opType) => opType === 'Gemm')).toHaveLength(1);
  expect(operators).not.toContain('MatMul');
  expect(operators).not.toContain('ReduceSum');
});

describe('what stands in the way is named', () => {
  const strange = model((g, x, w) =>
    g.op('Strange', [g.op('Mul', [x, w])], {}, { domain: 'elsewhere', name: 'middle' }),
  );

  test('by node and operator, before any work', () => {
    expect(undifferentiable(strange, 'loss', ['w'])).toEqual([
      { node: '"middle" (Strange)', operator: 'elsewhere.Strange', reason: 'it has no rule' },
    ]);
    expect(() => differentiate(strange, 'loss', ['w'])).toThrow(
      /^autodiff: no gradient passes through "middle" \(Strange\): it has no rule\. /,
    );
  });

  test('but not where no parameter is upstream', () => {
    const before = model((g, x, w) =>
      g.op('Mul', [g.op('Strange', [x], {}, { domain: 'elsewhere', name: 'frozen' }), w]),
    );
    before.graph.valueInfo.set('frozen', { name: 'frozen', type: 'float32', shape: [2] });
    expect(undifferentiable(before, 'loss', ['w'])).toEqual([]);
    expect(undifferentiable(before, 'loss', ['x']).map(({ operator }) => operator)).toEqual([
      'elsewhere.Strange',
    ]);
  });

  test.each<[string, (g: GraphBuilder, x: string) => string]>([
    ['the rank of "x" is not known', (g, x) => g.op('Tanh', [x])],
    [
      'its steps are not 1',
      (g, x) => g.op('Slice', [g.op('Reshape', [x, g.ints(2)]), g.ints(0), g.ints(9), g.ints(0), g.ints(2)]),
    ],
    [
      'it pads with more than a constant',
      (g, x) => g.op('Pad', [g.op('Reshape', [x, g.ints(2)]), g.ints(1, 1)], { mode: 'reflect' }),
    ],
    [
      '"Cast" is float16; gradients are computed in float32 and float64',
      (g, x) => g.op('Cast', [g.op('Reshape', [x, g.ints(2)])], { to: 10 }),
    ],
  ])('%s', (reason, build) => {
    const g = graphBuilder();
    const x = g.input('x', 'float32');
    g.output(
      'loss',
      g.op('Cast', [g.op('ReduceSum', [build(g, x)], { keepdims: 0 })], { to: 1 }),
      'float32',
      [],
    );
    const reasons = undifferentiable(g.model({ opset: 18 }), 'loss', ['x']).map((one) => one.reason);
    expect(reasons).toContain(reason);
  });

  test('a loss that is not a scalar, and names that are none, are mistakes of the caller', () => {
    const product = model((g, x, w) => g.op('Mul', [x, w], {}, { name: 'product' }));
    expect(() => differentiate(product, 'product', ['w'])).toThrow(
      /"product" has the shape \[2\], expected a scalar/,
    );
    expect(() => differentiate(product, 'nothing', ['w'])).toThrow(/no value "nothing"/);
    expect(() => differentiate(product, 'loss', ['product'])).toThrow(/no initializer or input "product"/);
  });
});
