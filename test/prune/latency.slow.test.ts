/** Every block of every kind of export can be timed alone: with caches, in branches, fused, in half precision. */
import { expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { silent } from '../../src/progress.ts';
import { latencyTable, timesOf } from '../../src/prune/latency.ts';
import { keptLevels } from '../../src/prune/levels.ts';
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
