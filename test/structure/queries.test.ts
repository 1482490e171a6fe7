/** Query heads that leave their group one by one: the separated model is the same model, and its cuts are exact. */
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { analyse } from '../../src/structure/analyse.ts';
import type { Removal } from '../../src/structure/block.ts';
import { cutCaches } from '../../src/structure/caches.ts';
import { cut } from '../../src/structure/cut.ts';
import { mask } from '../../src/structure/mask.ts';
import { separateQueries } from '../../src/structure/queries.ts';
import { casesIn } from '../onnx/fixtures.ts';
import { staying } from './exported.ts';
import { difference, range, readCase, run, tensorsOf } from './running.ts';

const all = [...casesIn('fixtures'), ...casesIn('architectures')];
const caseOf = (name: string) => all.find((one) => one.name === name)!;

/** Cases whose groups are repeated for their queries. */
const repeating = ['llama-gqa-optimum', 'phi3-optimum', 'cohere-optimum', 'mixtral-torchscript', 'falcon-gqa-dynamo'];

const open = async (name: string) => {
  const { folder, path } = caseOf(name);
  const about = readCase(folder);
  const dense = await openModel(path);
  const model = separateQueries(dense);
  const feeds = about.samples.map(({ inputs }) => tensorsOf(inputs));
  return { about, dense, model, analysis: analyse(model), feeds };
};

describe.each(repeating)('%s', (name) => {
  test('each query head is a structure, and nothing else is different', async () => {
    const { about, dense, model, analysis, feeds } = await open(name);
    expect(() => validateModel(model)).not.toThrow();
    const heads = analysis.blocks.filter(({ kind }) => kind === 'attention');
    const expected = about.blocks.filter(({ kind }) => kind === 'attention');
    const found = heads.map((one) => [one.structures, one.headDim, one.queryHeadsPerStructure]);
    expect(found).toEqual(expected.map(({ heads, head_dim }) => [heads, head_dim, 1]));
    expect(analysis.blocks.map(({ id }) => id)).toEqual(analyse(dense).blocks.map(({ id }) => id));
    const [want, got] = [await run(dense, feeds), await run(model, feeds)];
    for (const [i, outputs] of want.entries()) expect(difference(outputs, got[i])).toBe(0);
  });

  test('cut as the masked model: unequal groups, a group that goes whole, a module', async () => {
    const { about, model, analysis, feeds } = await open(name);
    const attention = analysis.blocks.filter(({ kind }) => kind === 'attention');
    const groupSize = about.blocks.find(({ kind }) => kind === 'attention')!;
    const size = groupSize.heads / groupSize.kv_heads;
    const removals: number[][] = [[0], range(size), [0, ...range(2 * size).slice(size)], range(groupSize.heads)];
    for (const gone of removals) {
      for (const blocks of [attention.slice(0, 1), attention]) {
        const removal: Removal = new Map(blocks.map(({ id }) => [id, gone]));
        const masked = await run(mask(model, analysis, removal), feeds);
        const smaller = cut(model, analysis, removal);
        const compact = cut(model, analysis, removal, { cache: 'compact' });
        for (const one of [smaller, compact]) expect(() => validateModel(one)).not.toThrow();
        const got = await run(smaller, feeds);
        const own = await run(
          compact,
          feeds.map((feed) => staying(feed, analysis, removal)),
        );
        for (const [i, outputs] of masked.entries()) {
          const want = staying(outputs, analysis, removal);
          expect(difference(want, staying(got[i], analysis, removal))).toBeLessThanOrEqual(about.tolerance);
          expect(difference(want, own[i])).toBeLessThanOrEqual(about.tolerance);
        }
      }
    }
  });
});

test('a key-value head goes when its last query head goes, and not before', async () => {
  const { model, analysis } = await open('llama-gqa-optimum');
  const { id } = analysis.blocks[0];
  const sizes = (gone: number[]) => {
    const { graph } = cut(model, analysis, new Map([[id, gone]]));
    const columns = graph.nodes.flatMap(({ opType, inputs }) => {
      const [rows, columns] = (opType === 'MatMul' && graph.initializers.get(inputs[1])?.shape) || [];
      return rows === 48 ? [columns] : [];
    });
    return columns.slice(0, 3);
  };
  // Queries, keys and values of heads of 8: 4 heads, 2 groups.
  expect(sizes([])).toEqual([32, 16, 16]);
  expect(sizes([1])).toEqual([24, 16, 16]);
  expect(sizes([1, 2])).toEqual([16, 16, 16]);
  expect(sizes([2, 3])).toEqual([16, 8, 8]);
  expect(sizes([0, 2, 3])).toEqual([8, 8, 8]);
  expect(cutCaches(analysis, new Map([[id, [1, 2]]]))).toEqual([]);
  const caches = cutCaches(analysis, new Map([[id, [2, 3]]]));
  expect(caches.map(({ name, kept, of }) => [name, kept, of])).toEqual(
    ['past_key_values.0', 'present.0'].flatMap((at) => [`${at}.key`, `${at}.value`]).map((one) => [one, [0], 2]),
  );
});

test('a model without groups that are repeated is the same model', async () => {
  for (const name of ['gpt2-optimum', 'bert-optimum', 'llama-gqa-dynamo']) {
    const model = await openModel(caseOf(name).path);
    expect(separateQueries(model)).toBe(model);
  }
});
