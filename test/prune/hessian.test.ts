/** Moments are sums of xxᵀ over the tokens that stand, whether the model runs whole or in parts. */
import { describe, expect, test } from 'vitest';
import { cloneModel } from '../../src/onnx/edit.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Model } from '../../src/onnx/model.ts';
import { silent } from '../../src/progress.ts';
import { type CalibrationBatch, calibrate, type Moments } from '../../src/prune/hessian.ts';
import { type Analysis, analyse } from '../../src/structure/analyse.ts';
import { random } from '../../src/tensor/random.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { encoder } from '../models/encoder.ts';
import { fixture } from '../onnx/fixtures.ts';
import { readCase, run, tensorsOf } from '../structure/running.ts';

/** Σ xxᵀ and Σ x over the tokens of the mask, by looking at x itself. */
async function naive(model: Model, { blocks }: Analysis, batches: readonly CalibrationBatch[]) {
  const probed = cloneModel(model);
  for (const { consumer } of blocks) probed.graph.outputs.push({ name: consumer.input });
  const values = await run(
    probed,
    batches.map(({ feeds }) => feeds),
  );
  return new Map(
    blocks.map(({ id, consumer: { cols, input } }) => {
      const product = new Float64Array(cols * cols);
      const sum = new Float64Array(cols);
      let tokens = 0;
      for (const [i, { mask }] of batches.entries()) {
        const x = values[i][input].data as Float32Array;
        for (const [token, stands] of (mask.data as Float32Array).entries()) {
          if (stands === 0) continue;
          tokens++;
          for (let a = 0; a < cols; a++) {
            sum[a] += x[token * cols + a];
            for (let b = 0; b < cols; b++) product[a * cols + b] += x[token * cols + a] * x[token * cols + b];
          }
        }
      }
      return [id, { product, sum, tokens }] as const;
    }),
  );
}

async function gathered(
  model: Model,
  analysis: Analysis,
  blocks: readonly string[],
  batches: readonly CalibrationBatch[],
  partBytes: number,
): Promise<Map<string, Moments>[]> {
  const options = { threads: 1, progress: silent, partBytes };
  const all: Map<string, Moments>[] = [];
  for await (const moments of calibrate(model, analysis, blocks, batches, options)) all.push(moments);
  return all;
}

function expectSame(got: Moments, want: Moments) {
  expect(got.tokens).toBe(want.tokens);
  const largest = Math.max(...want.product.map(Math.abs));
  for (const [i, value] of want.product.entries())
    expect(Math.abs(got.product[i] - value)).toBeLessThanOrEqual(1e-5 * largest);
  for (const [i, value] of want.sum.entries())
    expect(Math.abs(got.sum[i] - value)).toBeLessThanOrEqual(1e-5 * Math.sqrt(largest * want.tokens));
}

describe('an encoder of three layers, rows padded', () => {
  const model = encoder({ layers: 3, hidden: 48, heads: 3, headDim: 16, intermediate: 64 });
  const analysis = analyse(model);
  const ids = analysis.blocks.map(({ id }) => id);
  const next = random(3);
  const batches = [2, 3].map((b): CalibrationBatch => {
    const s = 6;
    const lengths = Array.from({ length: b }, (_, i) => s - i);
    const bits = Array.from({ length: b * s }, (_, i) => (i % s < lengths[Math.floor(i / s)] ? 1 : 0));
    const tokens = BigInt64Array.from(bits, () => BigInt(Math.floor(next() * 50)));
    return {
      feeds: {
        input_ids: tensor('int64', [b, s], tokens),
        attention_mask: tensor('int64', [b, s], BigInt64Array.from(bits, BigInt)),
      },
      mask: tensor('float32', [b, s], Float32Array.from(bits)),
    };
  });

  test.each([1, 100_000, 1e9])('in parts of %d bytes', async (partBytes) => {
    const want = await naive(model, analysis, batches);
    const parts = await gathered(model, analysis, ids, batches, partBytes);
    if (partBytes === 1) expect(parts.length).toBeGreaterThanOrEqual(6);
    if (partBytes === 1e9) expect(parts).toHaveLength(1);
    expect(parts.flatMap((moments) => [...moments.keys()])).toEqual(ids);
    for (const moments of parts) for (const [id, got] of moments) expectSame(got, want.get(id)!);
  });

  test('only of the blocks that are asked for: parts without one give nothing', async () => {
    const want = await naive(model, analysis, batches);
    const parts = await gathered(model, analysis, ['mlp.2'], batches, 1);
    expect(parts).toHaveLength(1);
    expectSame(parts[0].get('mlp.2')!, want.get('mlp.2')!);
    expect(await gathered(model, analysis, [], batches, 1)).toEqual([]);
  });
});

test('a decoder with a cache, which is empty', async () => {
  const { path, folder } = fixture('llama-gqa-optimum');
  const model = await openModel(path);
  const analysis = analyse(model);
  const ids = analysis.blocks.map(({ id }) => id);
  const feeds = tensorsOf(readCase(folder).samples[0].inputs);
  const shape = feeds.input_ids.shape;
  const past = Object.entries(feeds).filter(([name]) => name.startsWith('past'));
  const empty = past.map(([name, { shape }]) => [
    name,
    tensor('float32', shape.with(2, 0), new Float32Array(0)),
  ]);
  const size = shape[0] * shape[1];
  const batch = {
    feeds: {
      ...feeds,
      ...Object.fromEntries(empty),
      attention_mask: tensor('int64', shape, new BigInt64Array(size).fill(1n)),
      position_ids: tensor(
        'int64',
        shape,
        BigInt64Array.from({ length: size }, (_, i) => BigInt(i % shape[1])),
      ),
    },
    mask: tensor('float32', shape, new Float32Array(size).fill(1)),
  };
  const want = await naive(model, analysis, [batch]);
  const parts = await gathered(model, analysis, ids, [batch], 1);
  expect(parts.length).toBeGreaterThan(1);
  for (const moments of parts) for (const [id, got] of moments) expectSame(got, want.get(id)!);
});
