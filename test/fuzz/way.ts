/** The way of `inspect` and `cut` through one file, up to where ONNX Runtime would be handed the result. */
import { strict as assert } from 'node:assert';
import { syntheticFeeds } from '../../src/data/synthetic.ts';
import { InputError } from '../../src/errors.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import { inferShapes } from '../../src/onnx/infer.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Model, ValueInfo } from '../../src/onnx/model.ts';
import { printGraph } from '../../src/onnx/print.ts';
import { saveModel } from '../../src/onnx/save.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { analyse } from '../../src/structure/analyse.ts';
import type { Block } from '../../src/structure/block.ts';
import { cut } from '../../src/structure/cut.ts';
import { mask } from '../../src/structure/mask.ts';
import { integer, type Random } from '../../src/tensor/random.ts';

/** How it ended: refused with a sentence, nothing found to cut, or cut and saved. */
export type Ending = { readonly kind: 'refused' | 'whole' | 'cut'; readonly sentence?: string };

/**
 * @param next decides what is removed
 * @throws whatever is a bug
 */
export async function goTheWay(file: string, output: string, next: Random): Promise<Ending> {
  let model: Model;
  try {
    model = await openModel(file);
    validateModel(model);
    printGraph(model.graph, { shapes: inferShapes(model) });
    const analysis = analyse(model);
    if (analysis.blocks.length === 0) return { kind: 'whole' };
    analysis.blocks.forEach(checkBlock);
    const removal = new Map(analysis.blocks.map((block) => [block.id, someOf(block, next)]));
    const inputs = model.graph.inputs.filter(({ name }) => !model.graph.initializers.has(name));
    makeUp(inputs);
    encodeModel(mask(model, analysis, removal));
    const smaller = cut(model, analysis, removal);
    await saveModel(smaller, output);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    assert.match(error.message, /^[^\n]+[.?]$/, 'a refusal is one sentence');
    assert(error.message.length < 20_000, `a refusal of ${error.message.length} letters`);
    return { kind: 'refused', sentence: error.message };
  }
  // What was written is a model again, with the same ends.
  const again = await openModel(output).catch((cause) => {
    throw new Error('the cut model does not open', { cause });
  });
  try {
    validateModel(again);
    analyse(again);
  } catch (cause) {
    throw new Error('the cut model is not valid', { cause });
  }
  // Old versions of the format list weights among the inputs; they are no ends.
  const ends = ({ graph }: Model) =>
    [graph.inputs, graph.outputs].map((infos) =>
      infos.map(({ name }) => name).filter((name) => !graph.initializers.has(name)),
    );
  assert.deepEqual(ends(again), ends(model));
  return { kind: 'cut' };
}

/** What the cut would be checked on. A picture's sizes, say, cannot be made up. */
function makeUp(inputs: readonly ValueInfo[]): void {
  try {
    syntheticFeeds(inputs, { batch: 2, sequence: 16 }, { vocabulary: 10, seed: 0 });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
  }
}

/** Each column of the consuming matrix belongs to one structure. */
function checkBlock({ id, structures, columns, consumer }: Block): void {
  assert.equal(columns.length, structures, id);
  const all = columns.flat();
  assert.equal(all.length, consumer.cols, id);
  assert.equal(new Set(all).size, all.length, id);
  assert(
    all.every((column) => column >= 0 && column < consumer.cols),
    id,
  );
}

/** None, one, every other, or all of a block's structures. */
function someOf({ structures }: Block, next: Random): number[] {
  const all = Array.from({ length: structures }, (_, i) => i);
  return [[], [integer(next, structures)], all.filter((i) => i % 2 === 1), all][integer(next, 4)];
}
