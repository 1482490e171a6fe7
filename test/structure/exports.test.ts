/** Every exported fixture keeps the laws of `exported.ts`. */
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { analyse, calibrationPoint } from '../../src/structure/analyse.ts';
import { cut } from '../../src/structure/cut.ts';
import { signature } from '../../src/structure/extract.ts';
import { cases } from '../onnx/fixtures.ts';
import { lawsOf } from './exported.ts';

describe.each(cases)('$name', (one) => lawsOf(one));

test('equal layers share a signature, other shapes and kinds do not', async () => {
  const model = await openModel(cases.find(({ name }) => name === 'bert-optimum')!.path);
  const analysis = analyse(model);
  const [first, mlp, second, mlp2] = analysis.blocks.map(({ id }) => signature(model, analysis, id));
  expect(first).toBe(second);
  expect(mlp).toBe(mlp2);
  expect(first).not.toBe(mlp);
  const narrower = cut(model, analysis, new Map([['mlp.1', [0]]]));
  const again = analyse(narrower);
  expect(signature(narrower, again, 'mlp.0')).toBe(mlp);
  expect(signature(narrower, again, 'mlp.1')).not.toBe(mlp);
});

test.each([
  ['bert-optimum', 'batch-sequence', 'batch-sequence'],
  ['gpt2-torchscript', 'batch-sequence', 'batch-sequence'],
  ['torch-encoder-dynamo', 'sequence-batch', 'batch-sequence'],
  ['vit-optimum', undefined, undefined],
])('%s: attention rows lie %s, MLP rows %s', async (name, attention, mlp) => {
  const analysis = analyse(await openModel(cases.find((one) => one.name === name)!.path));
  for (const { id, kind, consumer } of analysis.blocks) {
    const maskLayout = kind === 'attention' ? attention : mlp;
    expect(calibrationPoint(analysis, id)).toEqual({ input: consumer.input, maskLayout });
  }
});
