import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { cloneModel } from '../../src/onnx/edit.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import type { Model } from '../../src/onnx/model.ts';
import { alone } from '../../src/prune/alone.ts';
import { openModelFolder, prunableBlocks } from '../../src/recipe/job.ts';
import { timedRegimes } from '../../src/recipe/regimes.ts';
import { openSession } from '../../src/runtime/session.ts';
import { conditionsOf, flatten } from '../../src/structure/branches.ts';
import { extract } from '../../src/structure/extract.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { fixture } from '../onnx/fixtures.ts';

type Values = Readonly<Record<string, Tensor>>;

async function runModel(model: Model, feeds: Values, fetches?: string[]): Promise<Tensor[]> {
  await using session = await openSession(encodeModel(model), { threads: 1 });
  return Object.values(await session.run(feeds, fetches));
}

/** What a model without branches computes at these places. */
async function valuesAt(model: Model, names: readonly string[], feeds: Values): Promise<Values> {
  const made = names.filter((name) => !(name in feeds));
  const probed = cloneModel(model);
  const known = new Set(probed.graph.outputs.map(({ name }) => name));
  for (const name of made) if (!known.has(name)) probed.graph.outputs.push({ name });
  const values = await runModel(probed, feeds, made);
  return { ...feeds, ...Object.fromEntries(made.map((name, i) => [name, values[i]])) };
}

const PAST = 9;
const COPIES = 3;

/** A block of a model, as it is timed in a step against nine tokens. */
async function stepOf(name: string, block: string) {
  const opened = await openModelFolder(fixture(name).path);
  const analysis = prunableBlocks(opened);
  const { shape, search } = loadConfig(null, { model: 'm', 'shape-decode-past': String(PAST) });
  const [{ feeds }] = timedRegimes(opened, { shape, search });
  const part = extract(opened.model, analysis, block, { caches: true });
  const values = await valuesAt(opened.model, [...part.inputs, part.output], feeds);
  const bytes = [...part.model.graph.initializers.values()].reduce((sum, w) => sum + w.byteLength, 0);
  // As many bytes as so many copies have.
  const bench = alone(part, values, { tokens: 1, modelBytes: bytes * COPIES });
  const { caches = [], structures } = analysis.blocks.find(({ id }) => id === block)!;
  return { part, values, bench, caches, structures };
}

test.each([
  ['llama-gqa-optimum', 'attention.0'],
  ['gpt2-optimum', 'attention.1'],
  ['gpt2-optimum', 'mlp.0'],
])('%s %s: every copy computes what the block does in the model', async (name, block) => {
  const { part, values, bench, structures } = await stepOf(name, block);
  expect(bench.copies).toBe(COPIES);
  const outputs = await runModel(bench.level(structures), bench.feeds);
  const slices = outputs.filter(({ type }) => type === 'float32');
  expect(slices).toHaveLength(COPIES);
  const whole = values[part.output].data as Float32Array;
  for (const { data } of slices) {
    expect(data.length).toBe(whole.length); // a batch of one: the first slice is all
    const differences = Array.from(data as Float32Array, (x, i) => Math.abs(x - whole[i]));
    expect(Math.max(...differences)).toBeLessThan(1e-3);
  }
  // Each has weights of its own, or the runtime would compute one of them.
  const { initializers } = bench.level(structures).graph;
  const matrices = [...initializers].filter(([, { byteLength }]) => byteLength >= 4096);
  const contents = matrices.map(([, stored]) => Buffer.from(stored.tensor().data.buffer).toString('base64'));
  expect(new Set(contents).size).toBe(matrices.length);
});

test.each(['llama-gqa-optimum', 'gpt2-optimum'])(
  '%s: caches are joined whole at every level, and where the module is gone',
  async (name) => {
    const { part, bench, caches, structures } = await stepOf(name, 'attention.0');
    expect(part.caches).toEqual(caches.filter(({ end }) => end === 'output').map((cache) => cache.name));
    for (const model of [bench.level(structures), bench.level(1), bench.idle()]) {
      const shapes = (await runModel(model, bench.feeds)).filter(({ type }) => type === 'int64');
      expect(shapes).toHaveLength(COPIES * part.caches.length);
      for (const { data } of shapes)
        expect([...data].map(Number)).toEqual([1, structures, PAST + 1, expect.any(Number)]);
      const joins = model.graph.nodes.filter(
        ({ opType, inputs }) => opType === 'Concat' && inputs.some((read) => /^past_key_values/.test(read)),
      );
      expect(joins).toHaveLength(COPIES * part.caches.length);
    }
    expect(bench.idle().graph.nodes.some(({ opType }) => opType === 'MatMul')).toBe(false);
  },
);

test('each copy reads a cache in memory of its own, and what layers share once', async () => {
  const { part, bench } = await stepOf('llama-gqa-optimum', 'attention.0');
  const pasts = Object.entries(bench.feeds).filter(([name]) => /^past_key_values\.0\.key/.test(name));
  expect(pasts).toHaveLength(COPIES);
  expect(new Set(pasts.map(([, { data }]) => data.buffer)).size).toBe(COPIES);
  expect(Object.keys(bench.feeds)).toHaveLength(part.inputs.length + 2 * (COPIES - 1));
});

test('of many tokens there is one copy', async () => {
  const { part, values } = await stepOf('llama-gqa-optimum', 'mlp.0');
  expect(alone(part, values, { tokens: 4096, modelBytes: 2 ** 40 }).copies).toBe(1);
  expect(alone(part, values, { tokens: 1, modelBytes: 2 ** 40 }).copies).toBe(32);
  expect(alone(part, values, { tokens: 1, modelBytes: 1 }).copies).toBe(1);
});

test('of a merged decoder, the branch is taken that the regime runs', async () => {
  const opened = await openModelFolder(fixture('t5-optimum-merged').path);
  const analysis = prunableBlocks(opened);
  const [condition] = conditionsOf(flatten(opened.model));
  expect(condition).toBe('use_cache_branch');
  const inputsOf = (holds: boolean) => {
    const conditions = new Map([[condition, holds]]);
    return extract(opened.model, analysis, 'attention.1', { conditions, caches: true }).inputs;
  };
  const [step, prompt] = [inputsOf(true), inputsOf(false)];
  const isCache = (name: string) => /^past_key_values\.0\.encoder/.test(name);
  expect([step, prompt].map((names) => names.filter(isCache).length)).toEqual([2, 0]);
  expect([step, prompt].map((names) => names.includes('encoder_hidden_states'))).toEqual([false, true]);
});
