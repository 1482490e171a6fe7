/** Weights of a cut model, put back into the uncut one: cutting it again gives them again, and nothing else changed. */
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import type { Model } from '../../src/onnx/model.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { cut } from '../../src/structure/cut.ts';
import { mask } from '../../src/structure/mask.ts';
import { restore } from '../../src/structure/restore.ts';
import { random } from '../../src/tensor/random.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { learnedWeights, prepared } from '../../src/train/parameters.ts';
import { encoder } from '../models/encoder.ts';
import { fixture } from '../onnx/fixtures.ts';
import { range } from './running.ts';

const exported = ['bert-optimum', 'gpt2-optimum', 'llama-gqa-optimum'].map(
  (name): [string, () => Promise<Model>] => [name, () => openModel(fixture(name).path)],
);
const built: readonly [string, () => Promise<Model>][] = [
  ['an encoder', async () => encoder({ layers: 3 })],
  ['a gated encoder', async () => encoder({ layers: 3, gated: true, reshape: 'computed' })],
];

describe.each([...built, ...exported])('%s', (_, open) => {
  test.each([0, 1, 2])('modules gone, halves gone, all there, in turn %i', async (turn) => {
    const model = prepared(await open());
    const analysis = analyse(model);
    const removal = new Map(
      analysis.blocks.map(({ id, structures }, b) => {
        const gone = [range(structures), range(structures).filter((s) => s % 2 === 1), []];
        return [id, gone[(b + turn) % 3]];
      }),
    );
    const uncut = mask(model, analysis, removal);
    const student = cut(uncut, analysis, removal);
    const next = random(turn);
    const shared = learnedWeights(student).filter((name) => uncut.graph.initializers.has(name));
    expect(shared.length).toBeGreaterThan(4);
    const changed = new Map(
      shared.map((name): [string, Tensor<'float32'>] => {
        const { shape, data } = student.graph.initializers.get(name)!.tensor();
        return [
          name,
          tensor(
            'float32',
            shape,
            Float32Array.from(data as Float32Array, () => 2 + next()),
          ),
        ];
      }),
    );
    const whole = restore(uncut, analysis, removal, changed);

    const again = cut(whole, analysis, removal).graph.initializers;
    for (const [name, value] of changed) expect(again.get(name)!.tensor(), name).toEqual(value);
    // Structures that are gone stay at zero where they were read.
    const masked = mask(whole, analysis, removal).graph.initializers;
    let touched = 0;
    for (const [name, stored] of whole.graph.initializers) {
      const { data } = stored.tensor();
      expect(masked.get(name)!.tensor().data, name).toEqual(data);
      const before = uncut.graph.initializers.get(name)!.tensor().data;
      for (let i = 0; i < data.length; i++) touched += Number(data[i] !== before[i]);
    }
    // Every element of the student has one place, and no other was written.
    expect(touched).toBe([...changed.values()].reduce((sum, { data }) => sum + data.length, 0));
  });
});

test('a weight that the cut does not have is an error', () => {
  const model = encoder();
  const analysis = analyse(model);
  const one = tensor('float32', [1], Float32Array.of(1));
  expect(() => restore(model, analysis, new Map(), new Map([['nobody', one]]))).toThrow(/no weight "nobody"/);
  const name = analysis.blocks[0].consumer.weight;
  expect(() => restore(model, analysis, new Map(), new Map([[name, one]]))).toThrow(
    /is \[1\], expected \[16,16\]/,
  );
});
