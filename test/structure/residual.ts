/** Models of one residual module, and the law that every cut of them obeys. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { type Analysis, analyse } from '../../src/structure/analyse.ts';
import type { Removal } from '../../src/structure/block.ts';
import { cut } from '../../src/structure/cut.ts';
import { mask } from '../../src/structure/mask.ts';
import { type Random, random } from '../../src/tensor/random.ts';
import { sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { difference, type Feeds, range, run } from './running.ts';

export const floats = (next: Random, ...shape: number[]): Tensor<'float32'> =>
  tensor(
    'float32',
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => next() - 0.5),
  );

export const tokens = (shape: readonly number[], of: (i: number) => number) =>
  tensor(
    'int64',
    shape,
    BigInt64Array.from(range(sizeOf(shape)), (i) => BigInt(of(i))),
  );

/** Which structures of each block go: none, some, or all. */
function removals(analysis: Analysis): fc.Arbitrary<Removal> {
  const one = analysis.blocks.map(({ id, structures }) =>
    fc
      .oneof(fc.subarray(range(structures)), fc.constant(range(structures)))
      .map((gone) => [id, gone] as const),
  );
  return fc.tuple(...one).map((entries) => new Map(entries));
}

/**
 * The cut model gives what the masked one gives, whatever is removed.
 * @param runnable what a model runs as, where ONNX Runtime has no kernel for its operators
 */
export async function holds(
  model: Model,
  feeds: Feeds,
  { runs = 12, runnable = (one: Model) => one } = {},
): Promise<Analysis> {
  const analysis = analyse(model);
  await fc.assert(
    fc.asyncProperty(removals(analysis), async (removal) => {
      const smaller = cut(model, analysis, removal);
      validateModel(smaller);
      const [got] = await run(runnable(smaller), [feeds]);
      const [want] = await run(runnable(mask(model, analysis, removal)), [feeds]);
      expect(difference(want, got)).toBeLessThan(1e-5);
    }),
    { numRuns: runs, seed: 7 },
  );
  return analysis;
}

export interface Parts {
  readonly g: GraphBuilder;
  /** The stream: [batch, sequence, 8]. */
  readonly x: string;
  readonly weight: (...shape: number[]) => string;
  readonly zeros: string;
}

export interface Around {
  readonly layers?: number;
  readonly opset?: number;
}

/** A residual model around one module: x + module(norm(x)), twice where `layers` says so; fed [2, 5, 8]. */
export function around(
  module: (parts: Parts) => string,
  { layers = 1, opset = 18 }: Around = {},
): { readonly model: Model; readonly feeds: Feeds } {
  const next = random(3);
  const g = graphBuilder('around');
  let x = g.input('x', 'float32', ['batch', 'sequence', 8]);
  const weight = (...shape: number[]) => g.constant(floats(next, ...shape), 'weight');
  const zeros = g.constant(tensor('float32', [12], new Float32Array(12)), 'zeros');
  const [scale, shift] = [weight(8), weight(8)];
  for (let layer = 0; layer < layers; layer++) {
    const normed = g.op('LayerNormalization', [x, scale, shift], { axis: -1 });
    x = g.op('Add', [x, module({ g, x: normed, weight, zeros })]);
  }
  g.output('y', x, 'float32', ['batch', 'sequence', 8]);
  const model = g.model({ opset, domains: { 'com.microsoft': 1, 'made.up': 1 } });
  const used = new Set(model.graph.nodes.map(({ domain }) => domain));
  for (const domain of model.opsets.keys())
    if (domain !== '' && !used.has(domain)) model.opsets.delete(domain);
  return { model, feeds: { x: floats(random(5), 2, 5, 8) } };
}

/** [batch, sequence, count·width] → [batch, count, sequence, width] */
export const heads = (g: GraphBuilder, x: string, count: number, width = 3): string =>
  g.op('Transpose', [g.op('Reshape', [x, g.ints(0, 0, count, width)])], { perm: [0, 2, 1, 3] });
