/** A cut model's configuration: what libraries make caches by fits the file, what was cut is told, the rest stays. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import {
  cacheHeadsOf,
  copyCompanions,
  keptBlocks,
  placeConfiguration,
  rewriteConfiguration,
} from '../../src/recipe/configuration.ts';
import { analyse } from '../../src/structure/analyse.ts';
import type { CacheForm } from '../../src/structure/caches.ts';
import { cut } from '../../src/structure/cut.ts';
import { fixture, scratch } from '../onnx/fixtures.ts';
import { range } from '../structure/running.ts';

/** What remains of a fixture when each attention keeps `heads`, as a file named model.onnx, and the file's caches. */
async function kept(name: string, heads: (layer: number) => readonly number[], cache: CacheForm) {
  const model = await openModel(fixture(name).path);
  const analysis = analyse(model);
  let layer = 0;
  const stays = analysis.blocks.map(({ kind, structures }) =>
    kind === 'mlp' ? range(structures).slice(1) : heads(layer++),
  );
  const removal = new Map(
    analysis.blocks.map(({ id, structures }, i) => [
      id,
      range(structures).filter((one) => !stays[i].includes(one)),
    ]),
  );
  const smaller = cut(model, analysis, removal, { cache });
  const blocks = keptBlocks(analysis.blocks, stays);
  const past = smaller.graph.inputs.filter((input) => input.name.startsWith('past'));
  return {
    file: { name: 'model.onnx', blocks, cacheHeads: cacheHeadsOf(smaller, analysis) },
    shapes: past.map(({ shape }) => shape),
    text: readFileSync(join(fixture(name).folder, 'config.json'), 'utf8'),
  };
}

/** The heads and the width by which Optimum makes each empty cache of these architectures. */
const optimum = (config: Record<string, number>) => ({
  heads: config.num_key_value_heads ?? config.n_head,
  width: config.head_dim ?? config.n_embd / config.n_head,
});

describe('the caches that a configuration tells are those of the file', () => {
  test.each([
    ['gpt2-optimum', 'keep', (layer: number) => range(4 - layer)],
    ['gpt2-optimum', 'keep', () => []],
    ['llama-gqa-optimum', 'keep', (layer: number) => range(2 - layer)],
    ['llama-gqa-optimum', 'compact', () => [1]],
  ] as const)('%s, %s', async (name, cache, heads) => {
    const { file, shapes, text } = await kept(name, heads, cache);
    const told = optimum(JSON.parse(rewriteConfiguration(text, file)));
    expect(shapes.length).toBe(4);
    for (const shape of shapes) expect([shape![1], shape![3]]).toEqual([told.heads, told.width]);
  });

  test('where layers have caches of different sizes no number is right, and the old one stays', async () => {
    const { file, text } = await kept('llama-gqa-optimum', (layer) => range(2 - layer), 'compact');
    expect(JSON.parse(rewriteConfiguration(text, file)).num_key_value_heads).toBe(2);
  });
});

test('what is left is told per block, and heads that are gone by layer', async () => {
  const { file, text } = await kept('gpt2-optimum', (layer) => (layer === 0 ? [1, 3] : range(4)), 'keep');
  const { ziplm, pruned_heads } = JSON.parse(rewriteConfiguration(text, file));
  expect(pruned_heads).toEqual({ 0: [0, 2] });
  expect(ziplm).toEqual({
    'model.onnx': {
      'attention.0': { of: 4, heads: [1, 3] },
      'mlp.0': { of: 56, neurons: 55 },
      'attention.1': { of: 4, heads: [0, 1, 2, 3] },
      'mlp.1': { of: 56, neurons: 55 },
    },
  });
  const grouped = await kept('llama-gqa-optimum', () => [1], 'keep');
  const told = JSON.parse(rewriteConfiguration(grouped.text, grouped.file));
  expect(told.ziplm['model.onnx']['attention.0']).toEqual({ of: 2, groups: [1], queryHeadsPerGroup: 2 });
  expect(told.pruned_heads).toBeUndefined();
});

test('heads of a second cut are counted as the configuration counts them', async () => {
  const { file, text } = await kept('gpt2-optimum', () => [1, 2, 3], 'keep');
  const once = rewriteConfiguration(text, file);
  const blocks = file.blocks.map((block) =>
    block.kind === 'mlp' ? block : { ...block, structures: 3, kept: [0, 2] },
  );
  const { pruned_heads, ziplm } = JSON.parse(rewriteConfiguration(once, { name: 'again.onnx', blocks }));
  expect(pruned_heads).toEqual({ 0: [0, 2], 1: [0, 2] });
  expect(Object.keys(ziplm)).toEqual(['model.onnx', 'again.onnx']);
});

test('whatever else a configuration says stays: values, order, and how numbers are written', async () => {
  const { file } = await kept('gpt2-optimum', () => [0], 'keep');
  // Names that are whole numbers come first in JavaScript, wherever they were.
  const name = fc.string().filter((one) => !/^\d+$|^(__proto__|ziplm|pruned_heads)$/.test(one));
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(name, fc.jsonValue()), { selector: ([one]) => one }), (pairs) => {
      const config = Object.fromEntries(pairs);
      const { ziplm, pruned_heads, ...rest } = JSON.parse(rewriteConfiguration(JSON.stringify(config), file));
      expect(Object.keys(rest)).toEqual(Object.keys(config));
      expect(rest).toEqual(JSON.parse(JSON.stringify(config)));
    }),
    { numRuns: 200 },
  );
  const text = '{\n  "rope_theta": 10000.0,\n  "eps": 1e-05,\n  "long": 12345678901234567890\n}\n';
  for (const number of ['10000.0', '1e-05', '12345678901234567890'])
    expect(rewriteConfiguration(text, file)).toContain(`: ${number},\n`);
});

describe('where the configuration goes', () => {
  test('beside a file that is written alone, but never over one that is not ours', async () => {
    const { file, text } = await kept('gpt2-optimum', () => [0], 'keep');
    const [home, away] = [await scratch(), await scratch()];
    const source = join(home, 'config.json');
    writeFileSync(source, text);
    expect(placeConfiguration([source], home, file)).toBeUndefined();
    expect(readFileSync(source, 'utf8')).toBe(text);
    const target = join(away, 'config.json');
    for (const name of ['one.onnx', 'two.onnx'])
      expect(placeConfiguration([source], away, { ...file, name })).toBe(target);
    expect(Object.keys(JSON.parse(readFileSync(target, 'utf8')).ziplm)).toEqual(['one.onnx', 'two.onnx']);
    expect(placeConfiguration([], away, file)).toBeUndefined();
  });

  test('companions go as they are, and where there is no configuration none is made', async () => {
    const { file } = await kept('gpt2-optimum', () => [0], 'keep');
    const [home, away] = [await scratch(), await scratch()];
    writeFileSync(join(home, 'vocab.txt'), 'a\nb');
    expect(copyCompanions([join(home, 'vocab.txt')], away, file)).toBeUndefined();
    expect(readFileSync(join(away, 'vocab.txt'), 'utf8')).toBe('a\nb');
    expect(existsSync(join(away, 'config.json'))).toBe(false);
  });
});
