/** The tasks that read text through the command line: what a model is worth, and a family of smaller ones. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseRecord } from '../src/record.ts';
import { ziplm } from './command.ts';
import { answeredQuestions, likePairs, type TextTask, taggedSentences, tagNames, textModel } from './text-run.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-text-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function written(rows: readonly unknown[]): string {
  const file = join(folder, `${files++}.jsonl`);
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join('\n'));
  return file;
}

const cpu = ['--provider', 'cpu', '--threads', '1'];

async function evaluated(model: string, rows: readonly unknown[], ...more: string[]) {
  const args = ['evaluate', model, '--data-evaluation', written(rows), ...cpu, '--json', ...more];
  const { code, stdout, stderr } = await ziplm(args);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as { metric: { name: string; value: number }; rows: number };
}

/** A short run, whose dense model answers every row rightly. */
async function pruned(model: string, rows: (seed: number) => Promise<readonly unknown[]>, ...more: string[]) {
  const output = join(folder, `out-${files++}`);
  const data = ['--data-calibration', written(await rows(11)), '--data-evaluation', written(await rows(12))];
  const small = ['--speedups', '1.2', '--search-steps', '8', '--rounds', '3', '--shape-sequence', '64'];
  const { code, stderr } = await ziplm(['run', '--model', model, ...data, '--output', output, ...small, ...cpu, ...more]);
  expect([0, 1], stderr).toContain(code);
  const record = parseRecord(readFileSync(join(output, 'run.json'), 'utf8'));
  const [target] = record.targets;
  expect(target.blocks.some(({ kept, of }) => kept < of)).toBe(true);
  expect(target.maskEquivalence.maxAbsDiff).toBeLessThan(1e-4);
  expect(target.search.calibrationLoss).toBeGreaterThan(0);
  return { record, target, smaller: join(output, '1.2x') };
}

const tasks: readonly TextTask[] = ['question-answering', 'token-classification', 'sentence-similarity'];

describe('question answering', () => {
  let model: string;
  const rows = (seed: number) => answeredQuestions(model, 40, seed, 30);
  beforeAll(() => {
    model = textModel(join(folder, 'qa'), 'question-answering');
  });

  test('answers as the model gives them are right; of seven that differ, seven are wrong', async () => {
    const right = await rows(1);
    expect(new Set(right.map(({ answers }) => answers.text[0])).size).toBeGreaterThan(20);
    expect(await evaluated(model, right)).toMatchObject({ metric: { name: 'f1', value: 1 }, rows: 40 });
    const wrong = right.map((row, at) => (at < 7 ? { ...row, answers: { text: ['quite other'] } } : row));
    const exact = await evaluated(model, wrong, '--metric', 'exact-match');
    expect(exact.metric.value).toBeCloseTo(33 / 40, 12);
  });

  test('answers of a token are other answers than longer ones', async () => {
    const short = await answeredQuestions(model, 40, 1, 1);
    const one = await evaluated(model, short, '--max-answer-length', '1', '--metric', 'exact-match');
    expect(one.metric.value).toBe(1);
    const longer = await evaluated(model, short, '--metric', 'exact-match');
    expect(longer.metric.value).toBeLessThan(1);
  });

  test('SQuAD’s own JSON is the same data', async () => {
    const right = await rows(1);
    const file = join(folder, 'squad.json');
    const paragraphs = right.map(({ context, question, answers }, at) => ({
      context,
      qas: [{ id: `${at}`, question, answers: answers.text.map((text) => ({ text, answer_start: context.indexOf(text) })) }],
    }));
    writeFileSync(file, JSON.stringify({ version: '1.1', data: [{ title: 'all', paragraphs }] }));
    const { code, stdout, stderr } = await ziplm(['evaluate', model, '--data-evaluation', file, ...cpu, '--json']);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ metric: { name: 'f1', value: 1 }, rows: 40 });
  });

  test('a run prunes it', async () => {
    const { record, target, smaller } = await pruned(model, rows);
    expect(record.dense.metric).toMatchObject({ name: 'f1', value: 1 });
    expect(target.metric.delta).toBeCloseTo(target.metric.value - 1, 12);
    const again = await evaluated(smaller, await rows(12));
    expect(again.metric.value).toBeCloseTo(target.metric.value, 12);
  });
});

describe('token classification', () => {
  let model: string;
  const rows = (seed: number) => taggedSentences(model, 40, seed);
  beforeAll(() => {
    model = textModel(join(folder, 'ner'), 'token-classification');
  });

  test('tags as the model gives them are right; of words whose tag differs, none is', async () => {
    const right = await rows(1);
    expect(new Set(right.flatMap(({ ner_tags }) => ner_tags)).size).toBeGreaterThan(2);
    expect(await evaluated(model, right)).toMatchObject({ metric: { name: 'f1', value: 1 }, rows: 40 });
    const wrong = right.map(({ tokens, ner_tags }, row) => ({
      tokens,
      ner_tags: ner_tags.map((tag, at) => tagNames[row < 5 && at === 0 ? (tag + 1) % tagNames.length : tag]),
    }));
    const words = right.flatMap(({ tokens }) => tokens).length;
    const accuracy = await evaluated(model, wrong, '--metric', 'accuracy');
    expect(accuracy.metric.value).toBeCloseTo((words - 5) / words, 12);
  });

  test('columns of text are the same data', async () => {
    const right = await rows(1);
    const file = join(folder, 'words.conll');
    const lines = right.map(({ tokens, ner_tags }) => tokens.map((word, at) => `${word} -X- ${tagNames[ner_tags[at]]}\n`).join(''));
    writeFileSync(file, `-DOCSTART- -X- O\n\n${lines.join('\n')}`);
    const { code, stdout, stderr } = await ziplm(['evaluate', model, '--data-evaluation', file, ...cpu, '--json']);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ metric: { name: 'f1', value: 1 }, rows: 40 });
  });

  test('a run prunes it', async () => {
    const { record, target, smaller } = await pruned(model, rows, '--metric', 'accuracy');
    expect(record.dense.metric).toMatchObject({ name: 'accuracy', value: 1 });
    const again = await evaluated(smaller, await rows(12), '--metric', 'accuracy');
    expect(again.metric.value).toBeCloseTo(target.metric.value, 12);
  });
});

describe('sentence similarity', () => {
  let model: string;
  const rows = (seed: number) => likePairs(model, 40, seed);
  const pair = ['--data-pair', 'other'];
  beforeAll(() => {
    model = textModel(join(folder, 'similarity'), 'sentence-similarity');
  });

  test('scores as the model gives them go together with it wholly, and turned round against it', async () => {
    const right = await rows(1);
    const spearman = await evaluated(model, right, ...pair);
    expect(spearman).toMatchObject({ metric: { name: 'spearman', value: expect.closeTo(1, 3) }, rows: 40 });
    const pearson = await evaluated(model, right, ...pair, '--metric', 'pearson');
    expect(pearson.metric.value).toBeCloseTo(1, 5);
    const turned = right.map((row) => ({ ...row, label: -row.label }));
    expect((await evaluated(model, turned, ...pair)).metric.value).toBeCloseTo(-1, 3);
  });

  test('a run prunes it', async () => {
    const { record, target, smaller } = await pruned(model, rows, ...pair);
    expect(record.dense.metric).toMatchObject({ name: 'spearman', value: expect.closeTo(1, 3) });
    const again = await evaluated(smaller, await rows(12), ...pair);
    expect(again.metric.value).toBeCloseTo(target.metric.value, 12);
  });
});

describe('what does not fit ends in a sentence', () => {
  const refused = async (task: TextTask, model: TextTask, rows: readonly unknown[], ...more: string[]) => {
    const at = textModel(join(folder, `wrong-${model}`), model);
    const args = ['evaluate', at, '--task', task, '--data-evaluation', written(rows), '--data-pair', 'other', ...cpu];
    const { code, stderr } = await ziplm([...args, ...more]);
    expect(code).toBe(2);
    return stderr;
  };
  const question = { question: 'What is it?', context: 'It is this.', answers: ['this'] };
  const tagged = { tokens: ['It', 'is'], ner_tags: [0, 0] };
  const alike = { text: 'It is', other: 'It was', label: 3 };

  test('a model of another task', async () => {
    expect(await refused('question-answering', 'sentence-similarity', [question])).toContain(
      "evaluate: the model's outputs are last_hidden_state, expected start_logits and end_logits, each [batch, sequence].",
    );
    expect(await refused('token-classification', 'question-answering', [tagged])).toMatch(
      /has no config\.json with id2label/,
    );
    expect(await refused('sentence-similarity', 'question-answering', [alike])).toContain(
      'evaluate: no output is sentence_embedding or last_hidden_state; the model\'s outputs are start_logits, end_logits.',
    );
  });

  test('rows of another task', async () => {
    for (const task of tasks) expect(await refused(task, task, [{ sentence: 'It is' }])).toMatch(/has no column "/);
  });

  test('rows that hold something else', async () => {
    expect(await refused('question-answering', 'question-answering', [{ ...question, answers: 7 }])).toMatch(
      /\.jsonl:1: column "answers" should hold answers.*got 7/,
    );
    expect(await refused('token-classification', 'token-classification', [{ ...tagged, ner_tags: [0] }])).toMatch(
      /\.jsonl:1 holds 2 words and 1 tags/,
    );
    expect(await refused('token-classification', 'token-classification', [{ ...tagged, ner_tags: [0, 'B-ORG'] }])).toMatch(
      /\.jsonl:1, word 2: label "B-ORG" is none of the model's/,
    );
    expect(await refused('sentence-similarity', 'sentence-similarity', [{ ...alike, label: 'much' }])).toMatch(
      /\.jsonl:1: column "label" should hold a number.*got "much"/,
    );
  });

  test('a window without room', async () => {
    expect(await refused('question-answering', 'question-answering', [question], '--max-length', '4')).toMatch(
      /config: a window of 4 tokens has room for 4 beside the special ones, expected 8/,
    );
  });
});
