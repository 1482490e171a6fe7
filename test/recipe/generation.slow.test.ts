/**
 * What a library that knows nothing of us makes of a cut decoder: transformers.js generates from the folder, through its
 * public interface, what it generates from the masked model's.
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { saveModel } from '../../src/onnx/save.ts';
import { cutModel } from '../../src/recipe/cut.ts';
import { analyse } from '../../src/structure/analyse.ts';
import type { Block } from '../../src/structure/block.ts';
import type { CacheForm } from '../../src/structure/caches.ts';
import { mask } from '../../src/structure/mask.ts';
import { fixture, scratch } from '../onnx/fixtures.ts';
import { range } from '../structure/running.ts';

type Removal = Record<string, number[]>;
type Choose = (blocks: readonly Block[]) => Removal;

const before = { ...env };
beforeAll(() => {
  // Nothing is fetched: a model is a folder on this disk.
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true });
});
afterAll(() => Object.assign(env, before));

/** A word for each id, in a tokenizer of nothing else. */
function writeTokenizer(folder: string, words: number): void {
  const special = ['<pad>', '<s>', '</s>', '<unk>'];
  const vocab = Object.fromEntries(range(words).map((id) => [special[id] ?? `w${id}`, id]));
  const added_tokens = special.map((content, id) => ({
    ...{ id, content, special: true },
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
  }));
  const tokenizer = {
    ...{ version: '1.0', truncation: null, padding: null, added_tokens, normalizer: null },
    ...{ pre_tokenizer: { type: 'WhitespaceSplit' }, post_processor: null, decoder: null },
    model: { type: 'WordLevel', vocab, unk_token: '<unk>' },
  };
  const [pad_token, bos_token, eos_token, unk_token] = special;
  const config = { tokenizer_class: 'PreTrainedTokenizerFast', pad_token, bos_token, eos_token, unk_token };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
}

/** Texts that transformers.js continues from a folder; no word comes twice, so that every step decides anew. */
async function generated(
  folder: string,
  task: 'text-generation' | 'text2text-generation',
): Promise<string[]> {
  env.localModelPath = `${dirname(folder)}/`;
  const generator = await pipeline(task, folder.slice(dirname(folder).length + 1), {
    dtype: 'fp32',
    subfolder: '',
    local_files_only: true,
  });
  try {
    const texts: string[] = [];
    for (const prompt of ['w5 w12 w19 w26', 'w70 w31', 'w44 w8 w15 w16 w23 w42']) {
      const options = { max_new_tokens: 10, do_sample: false, no_repeat_ngram_size: 1 };
      const [found] = await generator(prompt, options);
      texts.push((found as { generated_text: string }).generated_text);
    }
    return texts;
  } finally {
    await generator.dispose();
  }
}

/** The dense folder with a tokenizer; what is masked, and what is cut, beside it. */
async function folders(name: string, files: readonly string[], choose: Choose, cache: CacheForm) {
  const root = await scratch();
  const [dense, masked, cut] = ['dense', 'masked', 'cut'].map((one) => join(root, one));
  mkdirSync(dense);
  for (const file of ['config.json', 'generation_config.json', ...files])
    cpSync(join(fixture(name).folder, file), join(dense, file));
  writeTokenizer(dense, 80);
  cpSync(dense, masked, { recursive: true });
  for (const file of files) {
    const model = await openModel(join(dense, file));
    const analysis = analyse(model);
    const removal = choose(analysis.blocks);
    await saveModel(mask(model, analysis, new Map(Object.entries(removal))), join(masked, file));
    await cutModel(join(dense, file), removal, `${cut}/`, cache);
  }
  return { dense, masked, cut };
}

/** Of each block of a kind some structures, never all. */
const some =
  (kind: Block['kind']): Choose =>
  (blocks) =>
    Object.fromEntries(
      blocks
        .filter((block) => block.kind === kind)
        .map(({ id, structures }, i) => [id, range(structures).filter((j) => (j + i) % 2 === 0)]),
    );
const removals: Readonly<Record<string, Choose>> = {
  widths: some('mlp'),
  heads: some('attention'),
  'the heads of one layer': (blocks) => ({ [blocks[0].id]: [0] }),
  'whole attention modules': (blocks) =>
    Object.fromEntries(
      blocks
        .filter(({ kind }) => kind === 'attention')
        .slice(0, 1)
        .map(({ id, structures }) => [id, range(structures)]),
    ),
  'everything of one layer': (blocks) =>
    Object.fromEntries(blocks.slice(0, 2).map(({ id, structures }) => [id, range(structures)])),
};

describe.each([
  ['gpt2-optimum', 'text-generation', ['model.onnx']],
  ['llama-gqa-optimum', 'text-generation', ['model.onnx']],
  ['t5-optimum-merged', 'text2text-generation', ['encoder_model.onnx', 'decoder_model_merged.onnx']],
] as const)('%s', (name, task, files) => {
  test.each(Object.keys(removals))('generates without %s', async (which) => {
    const { dense, masked, cut } = await folders(name, files, removals[which], 'keep');
    const want = await generated(masked, task);
    expect(await generated(cut, task)).toEqual(want);
    expect(want).not.toEqual(await generated(dense, task));
    expect(new Set(want.flatMap((text) => text.split(' '))).size).toBeGreaterThan(12);
  });

  test('generates from compact caches, whose shapes this library reads off the file', async () => {
    const { masked, cut } = await folders(name, files, removals.heads, 'compact');
    expect(await generated(cut, task)).toEqual(await generated(masked, task));
  });

  test('its configuration tells what is left, and all else as it was', async () => {
    const { dense, cut } = await folders(name, files, removals.heads, 'keep');
    const [old, text] = [dense, cut].map((folder) => readFileSync(join(folder, 'config.json'), 'utf8'));
    const { ziplm, pruned_heads, ...rest } = JSON.parse(text);
    expect(rest).toEqual(JSON.parse(old));
    expect(Object.keys(ziplm).sort()).toEqual([...files].sort());
    // Whatever line there was is there still, to the digit.
    for (const line of old.split('\n').slice(1, -2)) expect(text).toContain(line.replace(/,$/, ''));
  });
});
