/** What holds of every exported model: the blocks are those of the architecture, and a cut is what PyTorch says of the masked model. */
import { expect, test } from 'vitest';
import { cloneModel } from '../../src/onnx/edit.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Model } from '../../src/onnx/model.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { type Analysis, analyse } from '../../src/structure/analyse.ts';
import type { Block, Removal } from '../../src/structure/block.ts';
import { cut } from '../../src/structure/cut.ts';
import { extract } from '../../src/structure/extract.ts';
import { mask, replaceConsumers } from '../../src/structure/mask.ts';
import { parametrise } from '../../src/structure/parametrise.ts';
import { take } from '../../src/tensor/slice.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type Case, difference, range, readCase, run, tensorsOf } from './running.ts';

/** Kinds whose blocks stay whole, and what the refusal says. */
export interface Refused {
  readonly kinds: readonly Block['kind'][];
  readonly because: RegExp;
}

const summary = (block: Block) =>
  block.kind === 'mlp'
    ? { kind: block.kind, structures: block.structures, gated: block.gated, uses: block.uses }
    : {
        kind: block.kind,
        structures: block.structures,
        headDim: block.headDim,
        queryHeads: block.queryHeadsPerStructure! * block.structures,
        uses: block.uses,
      };

const expected = (block: Case['blocks'][number]) =>
  block.kind === 'mlp'
    ? { kind: block.kind, structures: block.width, gated: block.gated, uses: block.uses ?? 1 }
    : {
        kind: block.kind,
        structures: block.kv_heads,
        headDim: block.head_dim,
        queryHeads: block.heads,
        uses: block.uses ?? 1,
      };

/** Some structures of every block, the first of them every third; never all. */
const someOf = (blocks: readonly Block[], phase: number): Removal =>
  new Map(
    blocks.map(({ id, structures }, i) => [
      id,
      range(structures).filter((j) => j > 0 && (j + i + phase) % 3 === 0),
    ]),
  );

const without = (block: Block, gone: readonly number[]) =>
  range(block.structures).filter((i) => !gone.includes(i));

/** Registers the laws as tests of one case: a folder with a model and what PyTorch computed for it. */
export function lawsOf({ folder, path }: { folder: string; path: string }, refused?: Refused): void {
  const about = readCase(folder);
  const found = about.blocks.filter(({ kind }) => !refused?.kinds.includes(kind));
  const open = async (): Promise<{ model: Model; analysis: Analysis }> => {
    const model = await openModel(path);
    return { model, analysis: analyse(model) };
  };

  test('has the blocks of its architecture', async () => {
    const { analysis } = await open();
    expect(analysis.blocks.map(summary)).toEqual(found.map(expected));
    for (const { columns, consumer } of analysis.blocks) {
      expect(columns.flat().toSorted((a, b) => a - b)).toEqual(range(consumer.cols));
    }
    const reasons = analysis.refused.map(({ reason }) => reason).join('\n');
    if (refused) expect(reasons).toMatch(refused.because);
    for (const part of about.refused ?? []) expect(reasons).toContain(part);
  });

  test.skipIf(found.length === 0 || refused)('cut as PyTorch masks it', async () => {
    const { model, analysis } = await open();
    const before = structuredClone([...model.graph.initializers.keys()]);
    for (const [i, { blocks }] of about.samples[0].removals.entries()) {
      const removal = new Map(
        Object.entries(blocks).map(([block, gone]) => [analysis.blocks[+block].id, gone]),
      );
      const smaller = cut(model, analysis, removal);
      expect(() => validateModel(smaller)).not.toThrow();
      const feeds = about.samples.map(({ inputs }) => tensorsOf(inputs));
      const got = await run(smaller, feeds);
      const masked = await run(mask(model, analysis, removal), feeds);
      for (const [s, sample] of about.samples.entries()) {
        expect(difference(tensorsOf(sample.removals[i].outputs), got[s])).toBeLessThanOrEqual(
          about.tolerance,
        );
        expect(difference(masked[s], got[s])).toBeLessThanOrEqual(about.tolerance);
      }
    }
    expect([...model.graph.initializers.keys()]).toEqual(before);
  });

  test.skipIf(found.length === 0)('parametrised, and fed what stays, gives what the cut gives', async () => {
    const { model, analysis } = await open();
    const { model: parametric, parameters } = parametrise(model, analysis);
    const blocks = analysis.blocks.filter(({ id }) => parameters.some(({ block }) => block === id));
    const feeds = about.samples.map(({ inputs }) => tensorsOf(inputs));
    for (const phase of [0, 1]) {
      const removal = someOf(blocks, phase);
      const weights: Record<string, Tensor> = {};
      for (const { name, block, stored, axis, indices } of parameters) {
        const kept = without(analysis.blocks.find(({ id }) => id === block)!, removal.get(block)!);
        const whole = weights[name] ?? stored.tensor();
        weights[name] = axis < 0 ? whole : take(whole, axis, indices(kept));
      }
      const want = await run(cut(model, analysis, removal), feeds);
      const got = await run(
        parametric,
        feeds.map((feed) => ({ ...feed, ...weights })),
      );
      want.forEach((outputs, i) => {
        expect(difference(outputs, got[i])).toBeLessThanOrEqual(about.tolerance);
      });
    }
  });

  test.skipIf(found.length === 0)('its blocks, taken out, are the same blocks', async () => {
    const { model, analysis } = await open();
    const parts = analysis.blocks.map((block) => ({ block, ...extract(model, analysis, block.id) }));
    const probed = cloneModel(model);
    const known = new Set([...model.graph.inputs, ...model.graph.outputs].map(({ name }) => name));
    for (const part of parts.flatMap(({ inputs, output }) => [...inputs, output])) {
      if (known.has(part)) continue;
      known.add(part);
      probed.graph.outputs.push({ name: part });
    }
    const feeds = tensorsOf(about.samples[1].inputs);
    const [whole] = await run(probed, [feeds]);
    const values = { ...feeds, ...whole };
    for (const { block, model: part, inputs, output } of parts) {
      const within = analyse(part);
      expect(within.blocks.map(summary)).toEqual([{ ...summary(block), uses: 1 }]);
      const given = Object.fromEntries(inputs.map((input) => [input, values[input]]));
      const [alone] = await run(part, [given]);
      expect(difference({ [output]: values[output] }, alone)).toBeLessThanOrEqual(about.tolerance);
      const [{ id }] = within.blocks;
      for (const gone of [[0], range(block.structures)]) {
        const removal = new Map([[id, gone]]);
        const [masked] = await run(mask(part, within, removal), [given]);
        const [smaller] = await run(cut(part, within, removal), [given]);
        expect(difference(masked, smaller)).toBeLessThanOrEqual(about.tolerance);
      }
    }
  });

  test.skipIf(found.length === 0)('refitted consumers take the place of the old ones', async () => {
    const { model, analysis } = await open();
    const removal = someOf(analysis.blocks, 0);
    const zeroed = mask(model, analysis, removal);
    const refitted = replaceConsumers(
      model,
      analysis,
      new Map(
        analysis.blocks.map(({ id, consumer }) => [
          id,
          { weight: zeroed.graph.initializers.get(consumer.weight)!.tensor() },
        ]),
      ),
    );
    const feeds = [tensorsOf(about.samples[0].inputs)];
    const [want] = await run(zeroed, feeds);
    const [got] = await run(refitted, feeds);
    expect(difference(want, got)).toBe(0);
    // Analysed before, cut after: names and nodes of the analysis still hold.
    const [smaller] = await run(cut(refitted, analysis, removal), feeds);
    expect(difference(want, smaller)).toBeLessThanOrEqual(about.tolerance);
  });
}
