import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { cut } from '../../src/structure/cut.ts';
import { commonStates, hiddenStates } from '../../src/train/hidden.ts';
import { encoder } from '../models/encoder.ts';
import { fixture } from '../onnx/fixtures.ts';
import { range } from '../structure/running.ts';

const valuesOf = (states: ReturnType<typeof hiddenStates>) => states.map(({ value }) => value);

test('of a post-norm encoder: what each layer’s last normalisation makes', () => {
  const states = hiddenStates(encoder({ layers: 3 }));
  expect(states).toEqual(
    range(3).map((k) => ({ value: `layer.${k}.mlp.norm`, width: 16, layout: 'batch-sequence' })),
  );
});

describe.each([
  ['bert-optimum', 2, 48],
  ['bert-torchscript14', 2, 48],
  ['bert-dynamo18', 2, 48],
  ['gpt2-optimum', 2, undefined],
  ['llama-gqa-optimum', 2, undefined],
  ['distilbert-optimum', 2, undefined],
  ['roberta-dynamo', 2, undefined],
] as const)('%s', (name, layers, width) => {
  test(`one state a layer, [batch, sequence, width]`, async () => {
    const states = hiddenStates(await openModel(fixture(name).path));
    expect(states).toHaveLength(layers);
    expect(new Set(valuesOf(states)).size).toBe(layers);
    for (const state of states) {
      expect(state.layout).toBe('batch-sequence');
      if (width !== undefined) expect(state.width).toBe(width);
    }
  });
});

test('a cut student keeps the states; one whose module is gone may lose that layer’s', () => {
  const model = encoder({ layers: 3 });
  const analysis = analyse(model);
  const states = hiddenStates(model, analysis);
  const narrower = cut(
    model,
    analysis,
    new Map([
      ['attention.1', [0, 2]],
      ['mlp.0', range(20)],
    ]),
  );
  expect(commonStates(states, narrower)).toEqual(states);
  const shorter = cut(model, analysis, new Map([['mlp.1', range(24)]]));
  const left = commonStates(states, shorter);
  expect(valuesOf(states)).toEqual(expect.arrayContaining(valuesOf(left)));
  expect(valuesOf(left)).toContain('layer.2.mlp.norm');
});
