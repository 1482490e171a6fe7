/** Folders of tiny language models: fixtures of real exporters with a tokenizer of letters, and text that it can read. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeModel } from '../../src/onnx/encode.ts';
import { encoder } from './encoder.ts';
import { lettersVocabulary, writeLetters } from './letters.ts';

export type DecoderFixture = 'gpt2-optimum' | 'gpt2-torchscript' | 'llama-gqa-optimum' | 'llama-gqa-dynamo';

/** A decoder of 80 tokens that reads 32; where `begin` is set, a text begins with `<s>`. */
export function decoderFolder(
  root: string,
  fixture: DecoderFixture,
  { begin = false }: { readonly begin?: boolean } = {},
): string {
  const folder = join(root, fixture);
  cpSync(join('test/fixtures', fixture), folder, { recursive: true });
  rmSync(join(folder, 'case.json'));
  writeLetters(folder, { begin });
  return folder;
}

/** An encoder with a logit for each letter at each token. */
export function fillerFolder(root: string): string {
  const folder = join(root, 'filler');
  mkdirSync(folder);
  const size = { layers: 2, hidden: 32, heads: 4, headDim: 8, intermediate: 64, positions: 48 };
  const vocabulary = lettersVocabulary;
  const model = encoder({ ...size, vocabulary, head: 'token', classes: vocabulary, seed: 3 });
  writeFileSync(join(folder, 'model.onnx'), encodeModel(model));
  const config = {
    architectures: ['BertForMaskedLM'],
    vocab_size: vocabulary,
    max_position_embeddings: size.positions,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeLetters(folder, { begin: true, end: true });
  return folder;
}

/** So many characters of real messages, one a line. */
export function someText(characters: number): string {
  const rows = readFileSync('examples/spam-filter/test.jsonl', 'utf8').trim().split('\n');
  return rows
    .map((row) => JSON.parse(row).text as string)
    .join('\n')
    .slice(0, characters);
}
