/** Large models: what can be removed is found without reading a weight. */
import { expect, test } from 'vitest';
import { analyse } from '../../src/structure/analyse.ts';
import { llama } from '../models/llama.ts';

test('a decoder of 64 layers and seven billion parameters, of which not one is read', () => {
  const model = llama({ layers: 64, hidden: 3072, heads: 24, groups: 8, intermediate: 8192 });
  const parameters = [...model.graph.initializers.values()].reduce(
    (sum, { byteLength }) => sum + byteLength / 4,
    0,
  );
  expect(parameters).toBeGreaterThan(6.5e9);
  const { blocks, refused } = analyse(model);
  expect(refused.map(({ reason }) => reason)).toEqual([
    expect.stringMatching(/axis of 3072 .* reduces over it/),
  ]);
  expect(blocks.map(({ id, structures }) => [id, structures])).toEqual(
    Array.from({ length: 64 }, (_, layer) => [
      [`attention.${layer}`, 8],
      [`mlp.${layer}`, 8192],
    ]).flat(),
  );
});
