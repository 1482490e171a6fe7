/** Every block of every kind of export can be timed alone: with caches, in branches, fused, in half precision. */
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { openModel } from '../../src/onnx/load.ts';
import { silent } from '../../src/progress.ts';
import { latencyTable, timesOf } from '../../src/prune/latency.ts';
import { keptLevels } from '../../src/prune/levels.ts';
import { openModelFolder, prunableBlocks } from '../../src/recipe/job.ts';
import { timedRegimes } from '../../src/recipe/regimes.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { fixture } from '../onnx/fixtures.ts';
import { readCase, tensorsOf } from '../structure/running.ts';

test.each(['gpt2-optimum', 'llama-gqa-optimum', 't5-optimum-merged', 'bert-ort-fused', 'bert-fp16'])(
  '%s',
  async (name) => {
    const { path, folder } = fixture(name);
    const model = await openModel(path);
    const analysis = analyse(model);
    const feeds = tensorsOf(readCase(folder).samples[1].inputs);
    const table = await latencyTable(model, analysis, feeds, { threads: 1, rounds: 1, progress: silent });
    expect(table.modelMs).toBeGreaterThan(0);
    for (const block of analysis.blocks) {
      const times = timesOf(table.entries, block.id);
      expect(times.length).toBe(keptLevels(block).length);
      expect(times.every((ms) => ms >= 0 && Number.isFinite(ms))).toBe(true);
      expect(times.at(-1)).toBe(0);
    }
    // Layers that are the same to the hardware are timed once.
    expect(table.entries.length).toBeLessThanOrEqual(analysis.blocks.length / 2);
  },
);

test('a cache beyond the model’s positions is refused by its shape', async () => {
  const opened = await openModelFolder(fixture('gpt2-optimum').path);
  const { shape } = loadConfig(null, { model: 'm', 'shape-decode-past': '32' });
  const [{ feeds }] = timedRegimes(opened, { shape, search: { seed: 0 } as never });
  await expect(
    latencyTable(opened.model, prunableBlocks(opened), feeds, { threads: 1, progress: silent }),
  ).rejects.toThrow(/^latency: the model does not run on input_ids \[1, 1\].*Set `shape`/);
});

test.each(['gpt2-optimum', 'llama-gqa-optimum', 't5-optimum-merged'])(
  '%s: a long cache is what a step waits for, until the attention is gone',
  async (name) => {
    const opened = await openModelFolder(fixture(name).path);
    const analysis = prunableBlocks(opened);
    const shape = loadConfig(null, {
      model: 'm',
      'shape-decode-past': name === 'gpt2-optimum' ? '31' : '8000',
      'shape-prompt-batch': '1',
      'shape-prompt-sequence': '1',
    }).shape;
    const tables = [];
    for (const { feeds } of timedRegimes(opened, { shape, search: { seed: 0 } as never })) {
      const options = { threads: 1, rounds: 1, tokens: 1, progress: silent };
      tables.push(await latencyTable(opened.model, analysis, feeds, options));
    }
    const [prompt, decode] = tables.map(({ entries }) => timesOf(entries, 'attention.0'));
    expect(decode.at(-1)).toBe(0);
    expect(tables.map(({ entries }) => entries.map(({ signature }) => signature))[1]).toEqual(
      tables[0].entries.map(({ signature }) => signature),
    );
    // A thousand times the work of the empty cache, in all but the model of few positions.
    if (name !== 'gpt2-optimum') expect(decode[0]).toBeGreaterThan(2 * prompt[0]);
  },
);
