/** Gradients of exported models, against those that PyTorch computed from the same weights. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { differentiate, undifferentiable } from '../../src/autodiff/differentiate.ts';
import { graphExtension } from '../../src/onnx/build.ts';
import { cloneModel } from '../../src/onnx/edit.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Model } from '../../src/onnx/model.ts';
import { sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { cases } from '../onnx/fixtures.ts';
import { readCase, run, tensorsOf } from '../structure/running.ts';

interface Gradient {
  readonly shape: readonly number[];
  readonly norm: number;
  /** Σ cos(i)·gᵢ. */
  readonly projection: number;
  /** Every element of a small gradient; of a large one, those at multiples of a stride. */
  readonly entries: readonly number[];
}

interface Expected {
  readonly case: string;
  readonly sample: number;
  readonly output: string;
  readonly loss: number;
  readonly gradients: Readonly<Record<string, Gradient>>;
}

const stored = new Map(
  readFileSync(join(import.meta.dirname, 'gradients.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Expected)
    .map((expected) => [expected.case, expected]),
);

/** The model with scripts/make-gradients.py's loss of an output of `size` elements. */
function withLoss(model: Model, output: string, size: number): { model: Model; loss: string } {
  const lossy = cloneModel(model);
  const g = graphExtension(lossy.graph, 'loss/');
  const flat = g.op('Reshape', [output, g.ints(-1)]);
  const cosines = g.constant(
    tensor(
      'float32',
      [size],
      Float32Array.from({ length: size }, (_, i) => Math.cos(i)),
    ),
  );
  const half = g.op('Mul', [flat, g.scalar('float32', 0.5)]);
  const terms = g.op('Mul', [flat, g.op('Add', [cosines, half])]);
  const column = g.op('Reshape', [terms, g.ints(1, -1)]);
  const ones = g.constant(tensor('float32', [size, 1], new Float32Array(size).fill(1 / size)));
  const loss = g.op('MatMul', [column, ones]);
  const { nodes, initializers } = g.graph();
  lossy.graph.nodes.push(...nodes);
  for (const [name, value] of initializers) lossy.graph.initializers.set(name, value);
  return { model: lossy, loss };
}

describe.each(cases.filter(({ name }) => stored.has(name)))('$name', ({ name, folder, path }) => {
  const expected = stored.get(name)!;

  test('every gradient is PyTorch’s', async () => {
    const sample = readCase(folder).samples[expected.sample];
    const size = sizeOf(sample.outputs[expected.output].shape);
    const { model, loss } = withLoss(await openModel(path), expected.output, size);
    const parameters = Object.keys(expected.gradients);
    const { model: trained, gradients } = differentiate(model, loss, parameters);
    expect([...gradients.keys()]).toEqual(parameters);
    trained.graph.outputs = [{ name: loss }, ...[...gradients.values()].map((value) => ({ name: value }))];
    const [found] = await run(trained, [tensorsOf(sample.inputs)]);
    expect(found[loss].data[0]).toBeCloseTo(expected.loss, 4);
    for (const [parameter, gradient] of gradients) {
      const { shape, norm, projection, entries } = expected.gradients[parameter];
      expect(found[gradient].shape, parameter).toEqual(shape);
      const values = Array.from(found[gradient].data as Float32Array);
      const within = (value: number, wanted: number, what: string) =>
        expect(Math.abs(value - wanted), `${parameter}: ${what} ${value}, ${wanted}`).toBeLessThan(
          1e-4 * norm + 1e-7,
        );
      within(Math.hypot(...values), norm, 'norm');
      within(
        values.reduce((sum, value, i) => sum + Math.cos(i) * value, 0),
        projection,
        'projection',
      );
      const stride = values.length <= 16 ? 1 : Math.floor(values.length / 8);
      for (const [i, entry] of entries.entries()) within(values[i * stride], entry, `element ${i * stride}`);
    }
  });

  test('nothing is in the way', async () => {
    const { model, loss } = withLoss(await openModel(path), expected.output, 1);
    expect(undifferentiable(model, loss, Object.keys(expected.gradients))).toEqual([]);
  });
});
