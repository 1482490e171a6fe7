/** What holds of every exported model: the blocks are those of the architecture, and a cut is what PyTorch says of the masked model. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { cloneGraph, cloneModel, removeDeadNodes } from '../../src/onnx/edit.ts';
import { inferShapes } from '../../src/onnx/infer.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Graph, Model, ValueInfo } from '../../src/onnx/model.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { storedTensors, subgraphs } from '../../src/onnx/walk.ts';
import { type Analysis, analyse } from '../../src/structure/analyse.ts';
import type { Block, Removal } from '../../src/structure/block.ts';
import { flatten, nest } from '../../src/structure/branches.ts';
import { cutCaches } from '../../src/structure/caches.ts';
import { cut } from '../../src/structure/cut.ts';
import { extract } from '../../src/structure/extract.ts';
import { mask, replaceConsumers } from '../../src/structure/mask.ts';
import { parametrise } from '../../src/structure/parametrise.ts';
import { clear, take } from '../../src/tensor/slice.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type Case, difference, type Feeds, range, readCase, run, tensorsOf } from './running.ts';

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
export const someOf = (blocks: readonly Block[], phase: number): Removal =>
  new Map(
    blocks.map(({ id, structures }, i) => [
      id,
      range(structures).filter((j) => j > 0 && (j + i + phase) % 3 === 0),
    ]),
  );

/** Whole modules beside blocks that lose some structures. */
const mixed = (blocks: readonly Block[]): Removal =>
  new Map(
    [...someOf(blocks, 1)].map(([id, gone], i) => [id, i % 3 === 1 ? range(blocks[i].structures) : gone]),
  );

const without = (block: Block, gone: readonly number[]) =>
  range(block.structures).filter((i) => !gone.includes(i));

/** Feeds or outputs with only those slices of caches that stay. */
export function staying(values: Feeds, analysis: Analysis, removal: Removal): Feeds {
  const left = { ...values };
  for (const { name, axis, kept } of cutCaches(analysis, removal))
    if (left[name]) left[name] = take(left[name], axis, kept);
  return left;
}

/** Registers the laws as tests of one case: a folder with a model and what PyTorch computed for it. */
export function lawsOf({ folder, path }: { folder: string; path: string }): void {
  const about = readCase(folder);
  const found = about.blocks;
  const open = async (): Promise<{ model: Model; analysis: Analysis }> => {
    const model = await openModel(path);
    return { model, analysis: analyse(model) };
  };
  const removals = (analysis: Analysis): Removal[] =>
    about.samples[0].removals.map(
      ({ blocks }) =>
        new Map(Object.entries(blocks).map(([block, gone]) => [analysis.blocks[+block].id, gone])),
    );

  test('has the blocks of its architecture', async () => {
    const { analysis } = await open();
    expect(analysis.blocks.map(summary)).toEqual(found.map(expected));
    for (const { columns, consumer } of analysis.blocks) {
      expect(columns.flat().toSorted((a, b) => a - b)).toEqual(range(consumer.cols));
    }
    const reasons = analysis.refused.map(({ reason }) => reason).join('\n');
    for (const part of about.refused ?? []) expect(reasons).toContain(part);
    const caches = analysis.blocks.flatMap(({ caches = [] }, block) =>
      caches.map(({ name, axis }) => [name, { block, axis }] as const),
    );
    expect(Object.fromEntries(caches)).toEqual(about.cache ?? {});
  });

  test.skipIf(found.length === 0)('cut as PyTorch masks it', async () => {
    const { model, analysis } = await open();
    const feeds = about.samples.map(({ inputs }) => tensorsOf(inputs));
    for (const [i, removal] of [...removals(analysis), mixed(analysis.blocks)].entries()) {
      const smaller = cut(model, analysis, removal);
      const compact = cut(model, analysis, removal, { cache: 'compact' });
      for (const one of [smaller, compact]) expect(() => validateModel(one)).not.toThrow();
      const got = await run(smaller, feeds);
      const masked = await run(mask(model, analysis, removal), feeds);
      const own = await run(
        compact,
        feeds.map((feed) => staying(feed, analysis, removal)),
      );
      for (const [s, sample] of about.samples.entries()) {
        const ours = staying(got[s], analysis, removal);
        const theirs =
          sample.removals[i] && staying(tensorsOf(sample.removals[i].outputs), analysis, removal);
        if (theirs) expect(difference(theirs, ours)).toBeLessThanOrEqual(about.tolerance);
        expect(difference(staying(masked[s], analysis, removal), ours)).toBeLessThanOrEqual(about.tolerance);
        expect(difference(ours, own[s])).toBeLessThanOrEqual(about.tolerance);
      }
    }
  });

  test.skipIf(found.length === 0)(
    'a cut model is a good citizen, and the whole one stays as it is',
    async () => {
      const { model, analysis } = await open();
      const before = digest(model);
      for (const removal of [mixed(analysis.blocks), ...removals(analysis)]) {
        for (const cache of ['keep', 'compact'] as const) {
          const smaller = cut(model, analysis, removal, { cache });
          const { graph } = smaller;
          expect(identityOf(smaller)).toEqual(identityOf(model));
          const cutNames = new Map(cutCaches(analysis, removal).map((one) => [one.name, one]));
          const own = (info: ValueInfo): ValueInfo => {
            const one = cache === 'compact' ? cutNames.get(info.name) : undefined;
            return one ? { ...info, shape: info.shape!.with(one.axis, one.kept.length) } : info;
          };
          expect(graph.inputs).toEqual(model.graph.inputs.map(own));
          expect(graph.outputs).toEqual(model.graph.outputs.map(own));
          const alive = cloneGraph(graph);
          removeDeadNodes(alive);
          expect(census(graph)).toEqual(census(alive));
          // What is declared is what follows from the graph.
          const inferred = inferShapes(smaller, { declared: false });
          for (const { name, shape } of declarationsIn(graph)) {
            const follows = inferred.get(name)?.shape;
            shape?.forEach((dim, axis) => {
              const other = follows?.[axis];
              if (typeof dim === 'number' && typeof other === 'number')
                expect([name, axis, dim]).toEqual([name, axis, other]);
            });
          }
        }
      }
      expect(digest(model)).toEqual(before);
    },
  );

  test.skipIf(found.length === 0)('parametrised, and fed what stays, gives what the cut gives', async () => {
    const { model, analysis } = await open();
    const { model: parametric, parameters } = parametrise(model, analysis);
    const block = (id: string) => analysis.blocks.find((one) => one.id === id)!;
    expect(new Set(parameters.map((one) => one.block))).toEqual(new Set(analysis.blocks.map(({ id }) => id)));
    const feeds = about.samples.map(({ inputs }) => tensorsOf(inputs));
    for (const phase of [0, 1]) {
      const removal = someOf(analysis.blocks, phase);
      const weights: Record<string, Tensor> = {};
      for (const { name, block: id, initializer, stored, axis, indices } of parameters) {
        const { consumer, columns } = block(id);
        const gone = removal.get(id)!;
        const whole = weights[name] ?? stored.tensor();
        if (axis >= 0) weights[name] = take(whole, axis, indices(without(block(id), gone)));
        else if (initializer !== consumer.weight) weights[name] = whole;
        else {
          const zero = gone.flatMap((structure) => columns[structure]);
          weights[name] = clear(whole, consumer.axis, zero);
        }
      }
      const want = await run(cut(model, analysis, removal), feeds);
      const got = await run(
        parametric,
        feeds.map((feed) => ({ ...feed, ...weights })),
      );
      want.forEach((outputs, i) => {
        expect(difference(staying(outputs, analysis, removal), got[i])).toBeLessThanOrEqual(about.tolerance);
      });
    }
  });

  test.skipIf(found.length === 0)('its blocks, taken out, are the same blocks', async () => {
    const { model, analysis } = await open();
    const parts = analysis.blocks.map((block) => ({ block, ...extract(model, analysis, block.id) }));
    // Values of a branch are told outside of it: nesting puts a node where all its readers see it.
    const probed = flatten(cloneModel(model));
    const known = new Set([...model.graph.inputs, ...model.graph.outputs].map(({ name }) => name));
    for (const part of parts.flatMap(({ inputs, output }) => [...inputs, output])) {
      if (known.has(part)) continue;
      known.add(part);
      probed.graph.outputs.push({ name: part });
    }
    const feeds = tensorsOf(about.samples[1].inputs);
    const [whole] = await run(nest(probed), [feeds]);
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
    const [left, kept] = [want, smaller].map((outputs) => staying(outputs, analysis, removal));
    expect(difference(left, kept)).toBeLessThanOrEqual(about.tolerance);
  });
}

const identityOf = ({ irVersion, opsets, metadata }: Model) => ({ irVersion, opsets, metadata });

const digest = (model: Model) =>
  [...storedTensors(model)].map((stored) => {
    const { data } = stored.tensor();
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return `${stored.shape.join()} ${createHash('sha256').update(bytes).digest('hex')}`;
  });

const inBodies = <T>(graph: Graph, of: (graph: Graph) => T): T[] => [
  of(graph),
  ...graph.nodes.flatMap(subgraphs).flatMap((body) => inBodies(body, of)),
];

/** How much there is of everything. */
const census = (graph: Graph) =>
  inBodies(graph, ({ nodes, initializers, valueInfo }) => [nodes.length, initializers.size, valueInfo.size]);

const declarationsIn = (graph: Graph) =>
  inBodies(graph, ({ valueInfo, outputs }) => [...valueInfo.values(), ...outputs]).flat();
