/** A candidate says what the model says whose consuming matrices are those of its levels, however its blocks hold their widths. */
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { openCandidates, solution, transpose } from '../../src/prune/candidates.ts';
import type { BlockLevels } from '../../src/prune/database.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { replaceConsumers } from '../../src/structure/mask.ts';
import type { ArrayOf } from '../../src/tensor/tensor.ts';
import { fixture } from '../onnx/fixtures.ts';
import { difference, range, readCase, run, tensorsOf } from '../structure/running.ts';

// Fused attention counts its heads in an attribute; decoders have caches; T5's blocks lie in both branches of an If.
describe.each(['bert-optimum', 'bert-ort-fused', 'gpt2-optimum', 'llama-gqa-optimum', 't5-optimum-merged'])(
  '%s',
  (name) => {
    test('dense, pruned, and without a module', async () => {
      const { path, folder } = fixture(name);
      const model = await openModel(path);
      const analysis = analyse(model);
      const databases = analysis.blocks.map(({ structures, columns, consumer }): BlockLevels => {
        const { weight, bias, axis, rows, cols } = consumer;
        const of = (initializer: string) =>
          model.graph.initializers.get(initializer)!.tensor().data as ArrayOf['float32'];
        const wt = axis === 0 ? of(weight) : transpose(of(weight), rows, cols);
        const kept = [range(structures), range(structures).filter((i) => i % 2 === 1), []];
        const added = bias === undefined ? undefined : of(bias);
        return {
          levels: kept.map((list, level) => ({ kept: list.length, structures: list, error: level })),
          weights(level) {
            const stays = kept[level].flatMap((i) => columns[i]).toSorted((a, b) => a - b);
            // Refitted weights are other than the dense ones; a bias is refitted with them.
            const data = Float32Array.from(
              stays.flatMap((column) => [...wt.subarray(column * rows, (column + 1) * rows)]),
              (value) => value * (1 + level / 4),
            );
            return {
              wt: data,
              ...(added && { bias: added.map((value) => value + level / 8) }),
            };
          },
        };
      });
      const feeds = tensorsOf(readCase(folder).samples[1].inputs);
      await using candidates = await openCandidates(model, analysis, databases, { threads: 1 });
      for (const phase of range(3)) {
        const assignment = analysis.blocks.map((_, b) => (b + phase) % 3);
        const { weights } = solution(analysis, databases, assignment);
        const [want] = await run(replaceConsumers(model, analysis, weights), [feeds]);
        const logits = await candidates.run(assignment, feeds, 'logits');
        expect(difference({ logits: want.logits }, { logits })).toBeLessThanOrEqual(1e-4);
      }
    });
  },
);
