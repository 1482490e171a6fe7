/** A model in parts is the model: cut where one value crosses, and run in turns, it gives what the whole gives. */
import { describe, expect, test } from 'vitest';
import { graphBuilder } from '../../src/onnx/build.ts';
import { openModel } from '../../src/onnx/load.ts';
import { type Segment, segmentsOf } from '../../src/onnx/segments.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { encoder } from '../models/encoder.ts';
import { difference, type Feeds, readCase, run, tensorsOf } from '../structure/running.ts';
import { cases } from './fixtures.ts';

/** Runs parts in order, each on the model's inputs and on what those before it gave. */
async function inTurn(parts: readonly Segment[], feeds: Feeds): Promise<Feeds> {
  let all = { ...feeds };
  const outputs: Record<string, Feeds[string]> = {};
  for (const { model, takes, gives } of parts) {
    const names = new Set(model.graph.inputs.map(({ name }) => name));
    for (const taken of takes) expect(names).toContain(taken);
    const [found] = await run(model, [
      Object.fromEntries(Object.entries(all).filter(([name]) => names.has(name))),
    ]);
    expect(Object.keys(found)).toEqual(expect.arrayContaining([...gives]));
    Object.assign(outputs, found);
    all = { ...all, ...found };
  }
  return outputs;
}

describe.each(cases.map(({ name, path, folder }) => [name, path, folder] as const))(
  '%s',
  (_, path, folder) => {
    test('parts in turn give the outputs of the whole', async () => {
      const model = await openModel(path);
      const parts = segmentsOf(model, { limit: 1 });
      const { samples, tolerance } = readCase(folder);
      const feeds = tensorsOf(samples[0].inputs);
      const [want] = await run(model, [feeds]);
      const got = await inTurn(parts, feeds);
      for (const { model: part } of parts) validateModel(part);
      for (const { name } of model.graph.outputs) {
        const [a, b] = [want[name], got[name]];
        expect(b.shape).toEqual(a.shape);
        expect(difference({ [name]: a }, { [name]: b })).toBeLessThanOrEqual(tolerance);
      }
    });
  },
);

describe('an encoder of four layers', () => {
  const model = encoder({ layers: 4, hidden: 64, heads: 4, headDim: 16, intermediate: 96, vocabulary: 100 });
  const bytesOf = ({ model: { graph } }: Segment) =>
    [...graph.initializers.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);

  test('the cuts are between layers, where one value crosses beside the mask', () => {
    const parts = segmentsOf(model, { limit: 1 });
    expect(parts.length).toBeGreaterThanOrEqual(8); // attention and MLP of each layer
    const heavy = parts.map(({ takes }) => takes.filter((name) => /norm|LayerNormalization|Add/.test(name)));
    for (const [i, values] of heavy.entries()) expect(values.length).toBeLessThanOrEqual(i === 0 ? 0 : 2);
  });

  test('each weight is in one part, and parts weigh about what was asked for', () => {
    const whole = bytesOf({ model, takes: [], gives: [] });
    const limit = whole / 3;
    const parts = segmentsOf(model, { limit });
    expect(parts.length).toBeGreaterThanOrEqual(3);
    expect(parts.length).toBeLessThanOrEqual(5);
    for (const part of parts) expect(bytesOf(part)).toBeLessThanOrEqual(1.1 * limit);
    const weights = parts.flatMap(({ model: { graph } }) =>
      [...graph.initializers].filter(([, { byteLength }]) => byteLength >= 4096).map(([name]) => name),
    );
    expect(new Set(weights).size).toBe(weights.length);
  });

  test('a limit that the whole model keeps leaves it as it is', () => {
    const [only, ...others] = segmentsOf(model, { limit: 1e9 });
    expect(others).toEqual([]);
    expect(only.model).toBe(model);
  });
});

test('what is computed from constants alone is computed in each part, and crosses nowhere', () => {
  const g = graphBuilder();
  const weight = () => g.constant(tensor('float32', [32, 32], new Float32Array(32 * 32).fill(0.01)));
  const scale = g.op('Exp', [g.constant(tensor('float32', [1], Float32Array.of(0.5)))]);
  let x = g.input('x', 'float32', ['rows', 32]);
  for (let layer = 0; layer < 4; layer++) x = g.op('Mul', [g.op('MatMul', [x, weight()]), scale]);
  g.output('y', x, 'float32', ['rows', 32]);
  const parts = segmentsOf(g.model({ opset: 18 }), { limit: 1 });
  expect(parts).toHaveLength(4);
  expect(parts.map(({ takes }) => takes.length)).toEqual([0, 1, 1, 1]);
  expect(parts.every(({ takes }) => !takes.includes(scale))).toBe(true);
});
