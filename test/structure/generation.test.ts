/** Decoders with caches: at every step of greedy generation a cut model says what the masked one says. */
import { describe, expect, test } from 'vitest';
import { encodeModel } from '../../src/onnx/encode.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Model, ValueInfo } from '../../src/onnx/model.ts';
import { openSession } from '../../src/runtime/session.ts';
import { analyse } from '../../src/structure/analyse.ts';
import type { Removal } from '../../src/structure/block.ts';
import { cutCaches } from '../../src/structure/caches.ts';
import { cut } from '../../src/structure/cut.ts';
import { mask } from '../../src/structure/mask.ts';
import { random } from '../../src/tensor/random.ts';
import { sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { fixture } from '../onnx/fixtures.ts';
import { difference, type Feeds, range } from './running.ts';

const [batch, prompt, encoder] = [2, 4, 6];

const ints = (shape: readonly number[], of: (i: number) => number) =>
  tensor(
    'int64',
    shape,
    BigInt64Array.from(range(sizeOf(shape)), (i) => BigInt(of(i))),
  );

/** A cache before the first step: nothing yet. */
function empty({ shape }: ValueInfo): Tensor {
  const dims = shape!.map((dim) => (typeof dim === 'number' ? dim : /batch/.test(dim!) ? batch : 0));
  return tensor('float32', dims, new Float32Array(sizeOf(dims)));
}

/** What one model says at each step, fed with what it said before. Rows of logits of the last token, and all caches. */
async function generate(model: Model, steps: number): Promise<Feeds[]> {
  await using session = await openSession(encodeModel(model), { threads: 1 });
  const { inputs } = model.graph;
  const has = (name: string) => inputs.some((input) => input.name === name);
  let caches: Feeds = Object.fromEntries(
    inputs.filter(({ name }) => name.startsWith('past')).map((info) => [info.name, empty(info)]),
  );
  let ids = ints([batch, prompt], (i) => (i * 7 + 5) % 80);
  const next = random(11);
  const states = Float32Array.from({ length: batch * encoder * 48 }, () => 2 * next() - 1);
  const said: Feeds[] = [];
  for (let step = 0, seen = 0; step < steps; step++) {
    const [, length] = ids.shape;
    const fixed: Feeds = {
      input_ids: ids,
      attention_mask: ints([batch, seen + length], () => 1),
      position_ids: ints([batch, length], (i) => seen + (i % length)),
      encoder_attention_mask: ints([batch, encoder], (i) => Number(i < encoder || i % encoder < 4)),
      encoder_hidden_states: tensor('float32', [batch, encoder, 48], states),
      use_cache_branch: tensor('bool', [1], Uint8Array.of(Number(step > 0))),
    };
    const given = Object.fromEntries(Object.entries(fixed).filter(([name]) => has(name)));
    const outputs = await session.run({ ...given, ...caches });
    said.push(outputs);
    seen += length;
    // An encoder's cache is computed once; later steps hand out a stand-in for it.
    caches = Object.fromEntries(
      Object.entries(caches).map(([name, old]) => {
        const present = outputs[name.replace('past_key_values', 'present')];
        return [name, step > 0 && name.includes('encoder') ? old : present];
      }),
    );
    const { shape, data } = outputs.logits;
    const best = range(batch).map((row) => {
      const from = ((row + 1) * shape[1] - 1) * shape[2];
      const scores = [...(data as Float32Array).subarray(from, from + shape[2])];
      return scores.indexOf(Math.max(...scores));
    });
    ids = ints([batch, 1], (i) => best[i]);
  }
  return said;
}

const removals: Readonly<Record<string, (structures: number) => number[]>> = {
  'the first head': () => [0],
  'the last head': (structures) => [structures - 1],
  'all heads but one': (structures) => range(structures).filter((i) => i !== Math.floor(structures / 2)),
  'every head': range,
};

describe.each(['gpt2-optimum', 'llama-gqa-optimum', 't5-optimum-merged'])('%s', (name) => {
  describe.each(Object.keys(removals))('without %s', (which) => {
    test.each(['keep', 'compact'] as const)('with caches that %s', async (cache) => {
      const model = await openModel(fixture(name).path);
      const analysis = analyse(model);
      const all = analysis.blocks.filter(({ kind }) => kind === 'attention');
      // Of one layer, and of all layers: those that are cut stand beside those that are not.
      for (const blocks of [all.slice(0, 1), all.slice(-1), all]) {
        const removal: Removal = new Map(
          blocks.map(({ id, structures }) => [id, removals[which](structures)]),
        );
        const want = await generate(mask(model, analysis, removal), 4);
        const got = await generate(cut(model, analysis, removal, { cache }), 4);
        const inform = cutCaches(analysis, removal);
        expect(inform.length).toBeGreaterThan(0);
        for (const [step, outputs] of want.entries()) {
          const { logits } = got[step];
          expect(difference({ logits: outputs.logits }, { logits })).toBeLessThanOrEqual(1e-4);
          for (const { name, end, axis, kept, of } of inform) {
            if (end === 'input') continue;
            expect(outputs[name].shape[axis]).toBe(of);
            // Only the axis of heads differs: a removed module's cache grows with the others.
            const heads = cache === 'keep' ? of : kept.length;
            expect(got[step][name].shape).toEqual(outputs[name].shape.with(axis, heads));
          }
        }
      }
    });
  });
});
