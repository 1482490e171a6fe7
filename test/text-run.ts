/** Tiny models of the tasks that read text, each with rows that it answers rightly: by a session and arithmetic of the test's own. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openTokenizer } from '../src/data/tokenizer.ts';
import { encodeModel } from '../src/onnx/encode.ts';
import { openSession } from '../src/runtime/session.ts';
import { integer, type Random, random } from '../src/tensor/random.ts';
import { type Tensor, tensor } from '../src/tensor/tensor.ts';
import { encoder } from './models/encoder.ts';

/** Large enough that its blocks are most of its time. */
const size = { layers: 3, hidden: 64, heads: 4, headDim: 16, intermediate: 256, vocabulary: 301, positions: 128 };
const kinds = {
  'question-answering': { head: 'span', architecture: 'BertForQuestionAnswering' },
  'token-classification': { head: 'token', architecture: 'BertForTokenClassification' },
  'sentence-similarity': { head: 'states', architecture: 'BertModel' },
} as const;

export type TextTask = keyof typeof kinds;

export const tagNames = ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC'];

/** Writes a model folder of a task, with a tokenizer of 301 tokens. */
export function textModel(folder: string, task: TextTask): string {
  const { head, architecture } = kinds[task];
  mkdirSync(folder, { recursive: true });
  const model = encoder({ ...size, head, classes: tagNames.length, seed: 5 });
  writeFileSync(join(folder, 'model.onnx'), encodeModel(model));
  const config = {
    architectures: [architecture],
    vocab_size: size.vocabulary,
    max_position_embeddings: size.positions,
    ...(head === 'token' && { id2label: Object.fromEntries(tagNames.entries()) }),
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const [line] = readFileSync('test/data/spans/tokenizers.jsonl', 'utf8')
    .split('\n')
    .filter((one) => one.includes('cased-wordpiece'));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(JSON.parse(line).definition));
  return folder;
}

const words = readFileSync('examples/spam-filter/test.jsonl', 'utf8').slice(0, 60_000).match(/[A-Za-z]{2,9}/g)!;

export function sentence(next: Random, count: number): string[] {
  return Array.from({ length: count }, () => words[integer(next, words.length)]);
}

/** What a model says of one row of ids, alone. */
async function asked(folder: string, rows: readonly (readonly number[])[]): Promise<Record<string, Tensor>[]> {
  await using session = await openSession(join(folder, 'model.onnx'), { threads: 1 });
  const found: Record<string, Tensor>[] = [];
  for (const ids of rows) {
    const shape = [1, ids.length];
    found.push(
      await session.run({
        input_ids: tensor('int64', shape, BigInt64Array.from(ids, BigInt)),
        attention_mask: tensor('int64', shape, new BigInt64Array(ids.length).fill(1n)),
      }),
    );
  }
  return found;
}

const numbers = ({ data }: Tensor) => [...(data as Float32Array)];
const greatest = (values: readonly number[]) => values.indexOf(Math.max(...values));

export interface TaggedWords {
  readonly tokens: readonly string[];
  readonly ner_tags: readonly number[];
}

/** Sentences with the tags that the model gives to the first token of each word. */
export async function taggedSentences(folder: string, count: number, seed: number): Promise<TaggedWords[]> {
  const next = random(seed);
  const tokenizer = await openTokenizer(folder);
  const sentences = Array.from({ length: count }, () => sentence(next, 4 + integer(next, 8)));
  const pieces = sentences.map((row) => row.map((word) => tokenizer.encode(word, undefined, 99).ids));
  const found = await asked(
    folder,
    pieces.map((row) => row.flat()),
  );
  return sentences.map((tokens, row) => {
    const logits = numbers(found[row].logits);
    let at = 0;
    const tags = pieces[row].map((ids) => {
      const tag = greatest(logits.slice(at * tagNames.length, (at + 1) * tagNames.length));
      at += ids.length;
      return tag;
    });
    return { tokens, ner_tags: tags };
  });
}

export interface AskedQuestion {
  readonly question: string;
  readonly context: string;
  readonly answers: { readonly text: readonly string[] };
}

/** Questions whose answer is the span that the model finds, of at most `longest` tokens. Words are letters, with one space between them. */
export async function answeredQuestions(
  folder: string,
  count: number,
  seed: number,
  longest: number,
): Promise<AskedQuestion[]> {
  const next = random(seed);
  const tokenizer = await openTokenizer(folder);
  const texts = Array.from({ length: count }, () => ({
    question: sentence(next, 4).join(' '),
    context: sentence(next, 8 + integer(next, 8)).join(' '),
  }));
  const idsOf = (text: string) => tokenizer.encode(text, undefined, 999).ids;
  const found = await asked(
    folder,
    texts.map(({ question, context }) => [...idsOf(question), ...idsOf(context)]),
  );
  return texts.map(({ question, context }, row) => {
    const first = idsOf(question).length;
    const [starts, ends] = ['start_logits', 'end_logits'].map((name) => numbers(found[row][name]));
    let best = { score: Number.NEGATIVE_INFINITY, from: 0, to: 0 };
    for (let from = first; from < starts.length; from++) {
      for (let to = from; to < Math.min(starts.length, from + longest); to++) {
        const score = starts[from] + ends[to];
        if (score > best.score) best = { score, from: from - first, to: to - first };
      }
    }
    // Each token's letters: words are known letter by letter, the whole word where it is unknown.
    const spans: [number, number][] = [];
    for (const { index, 0: word } of context.matchAll(/\S+/g)) {
      let at = index;
      for (const token of lettersOf(folder, word)) {
        spans.push([at, at + token]);
        at += token;
      }
    }
    const text = context.slice(spans[best.from][0], spans[best.to][1]);
    return { question, context, answers: { text: [text] } };
  });
}

/** How many letters each token of a word has, by the longest pieces of the vocabulary. */
function lettersOf(folder: string, word: string): number[] {
  const { vocab } = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')).model;
  const letters: number[] = [];
  for (let at = 0; at < word.length; ) {
    let to = word.length;
    while (to > at && !Object.hasOwn(vocab, (at > 0 ? '##' : '') + word.slice(at, to))) to--;
    if (to === at) return [word.length];
    letters.push(to - at);
    at = to;
  }
  return letters;
}

export interface LikePair {
  readonly text: string;
  readonly other: string;
  readonly label: number;
}

/** Pairs with the cosine of the means of their tokens' states. */
export async function likePairs(folder: string, count: number, seed: number): Promise<LikePair[]> {
  const next = random(seed);
  const tokenizer = await openTokenizer(folder);
  const texts = Array.from({ length: 2 * count }, () => sentence(next, 3 + integer(next, 12)).join(' '));
  const found = await asked(
    folder,
    texts.map((text) => tokenizer.encode(text, undefined, 999).ids),
  );
  const means = found.map(({ last_hidden_state: states }) => {
    const values = numbers(states);
    const [, s, width] = states.shape;
    return Array.from({ length: width }, (_, k) => {
      let sum = 0;
      for (let at = 0; at < s; at++) sum += values[at * width + k];
      return sum / s;
    });
  });
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, k) => sum + value * b[k], 0);
  return Array.from({ length: count }, (_, k) => {
    const [a, b] = [means[2 * k], means[2 * k + 1]];
    return { text: texts[2 * k], other: texts[2 * k + 1], label: dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)) };
  });
}
