import fc from 'fast-check';
import { expect, test } from 'vitest';
import { graphBuilder } from '../../src/onnx/build.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import { openSession } from '../../src/runtime/session.ts';
import { random } from '../../src/tensor/random.ts';
import { sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { type AdamW, adamWNodes, gradientNorm } from '../../src/train/adamw.ts';
import { adamW, type Moments } from '../reference/training.ts';

const shapes = [[3, 4], [5], [2, 2, 2]];

function optimiserModel(optimiser: AdamW) {
  const g = graphBuilder();
  const float = (name: string, shape: readonly number[] = []) => g.input(name, 'float32', shape);
  const done = g.input('done', 'int64', []);
  const rate = float('rate');
  const slots = shapes.map((shape, i) => ({
    weight: float(`weight.${i}`, shape),
    first: float(`first.${i}`, shape),
    second: float(`second.${i}`, shape),
    gradient: float(`gradient.${i}`, shape),
    decays: shape.length > 1,
  }));
  const norm = gradientNorm(
    g,
    slots.map(({ gradient }) => gradient),
  );
  adamWNodes(g, slots, optimiser, { rate, done, norm }).forEach((next, i) => {
    for (const [name, value] of Object.entries(next)) g.output(`next.${name}.${i}`, value, 'float32');
  });
  return g.model({ opset: 18 });
}

test('ten steps are those of the naive optimiser', async () => {
  const settings = fc.record({
    beta1: fc.constantFrom(0.5, 0.9),
    beta2: fc.constantFrom(0.9, 0.999),
    epsilon: fc.constantFrom(1e-8, 1e-3),
    decay: fc.constantFrom(0, 0.1),
    clip: fc.constantFrom(0, 0.5, 100),
    seed: fc.integer({ min: 0, max: 1000 }),
  });
  await fc.assert(
    fc.asyncProperty(settings, async ({ seed, ...optimiser }) => {
      await using session = await openSession(encodeModel(optimiserModel(optimiser)), { threads: 1 });
      const next = random(seed);
      const numbers = (shape: readonly number[]) =>
        Float32Array.from({ length: sizeOf(shape) }, () => 2 * next() - 1);
      let state = Object.fromEntries(
        shapes.flatMap((shape, i) => [
          [`weight.${i}`, tensor('float32', shape, numbers(shape))],
          [`first.${i}`, tensor('float32', shape, new Float32Array(sizeOf(shape)))],
          [`second.${i}`, tensor('float32', shape, new Float32Array(sizeOf(shape)))],
        ]),
      );
      const oracle: Moments[] = shapes.map((shape, i) => ({
        weight: [...state[`weight.${i}`].data],
        m: new Array<number>(sizeOf(shape)).fill(0),
        v: new Array<number>(sizeOf(shape)).fill(0),
      }));
      for (let step = 0; step < 10; step++) {
        const gradients = shapes.map(numbers);
        const rate = Math.fround(0.05 * next());
        const found = await session.run({
          ...state,
          ...Object.fromEntries(
            gradients.map((data, i) => [`gradient.${i}`, tensor('float32', shapes[i], data)]),
          ),
          done: tensor('int64', [], BigInt64Array.of(BigInt(step))),
          rate: tensor('float32', [], Float32Array.of(rate)),
        });
        state = Object.fromEntries(
          Object.entries(found).map(([name, value]) => [
            name.replace('next.', ''),
            value as (typeof state)[string],
          ]),
        );
        const decays = shapes.map((shape) => shape.length > 1);
        adamW(
          oracle,
          gradients.map((data) => [...data]),
          decays,
          optimiser,
          rate,
          step + 1,
        );
      }
      oracle.forEach(({ weight }, i) => {
        const got = state[`weight.${i}`].data;
        for (const [j, value] of weight.entries()) expect(Math.abs(got[j] - value)).toBeLessThan(5e-6);
      });
    }),
    { numRuns: 12 },
  );
});
