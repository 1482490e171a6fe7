import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { overlapping } from '../../../src/data/labelled/contexts.ts';
import { readPairs } from '../../../src/data/labelled/pairs.ts';
import { readQuestions } from '../../../src/data/labelled/questions.ts';
import { encodeSentences, readSentences } from '../../../src/data/labelled/words.ts';
import { poolingOf } from '../../../src/data/pooling.ts';
import { openTokenizer } from '../../../src/data/tokenizer.ts';
import { InputError } from '../../../src/errors.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'labelled-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const lines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).join('\n');

describe('questions', () => {
  const columns = { question: 'question', context: 'context', answers: 'answers' };
  const two = [
    { question: 'Who?', context: 'She did.', answers: ['She', 'She did'] },
    { question: 'When?', context: 'She did.', answers: [] },
  ];
  const squad = {
    version: 'v2.0',
    data: [
      {
        title: 'one',
        paragraphs: [
          {
            context: 'She did.',
            qas: [
              { id: 'a', question: 'Who?', answers: [{ text: 'She', answer_start: 0 }, { text: 'She did', answer_start: 0 }] },
              { id: 'b', question: 'When?', answers: [], is_impossible: true },
            ],
          },
        ],
      },
    ],
  };

  test.each([
    ['squad.json', JSON.stringify(squad)],
    ['lists.jsonl', lines(two)],
    ['array.json', JSON.stringify(two)],
    [
      'columns.jsonl',
      lines([
        { ...two[0], answers: { text: ['She', 'She did'], answer_start: [0, 0] } },
        { ...two[1], answers: { text: [], answer_start: [] } },
      ]),
    ],
    ['objects.jsonl', lines([{ ...two[0], answers: [{ text: 'She' }, { text: 'She did' }] }, { ...two[1], answers: null }])],
  ])('the same from %s', async (name, content) => {
    expect(await readQuestions(file(name, content), columns)).toEqual(two);
    expect(await readQuestions(file(name, content), columns, 1)).toEqual(two.slice(0, 1));
  });

  test('one answer may be a text alone', async () => {
    const path = file('text.csv', 'question,context,answers\nWho?,She did.,She\n');
    expect(await readQuestions(path, columns)).toEqual([{ ...two[0], answers: ['She'] }]);
  });

  test.each([
    ['no paragraphs', JSON.stringify({ data: [{ title: 'x' }] }), /data\[0\] should be an object with a list "paragraphs"/],
    ['no questions', JSON.stringify({ data: [{ paragraphs: [] }] }), /holds no questions/],
    [
      'a question that is none',
      JSON.stringify({ data: [{ paragraphs: [{ context: 'x', qas: [{ question: 3 }] }] }] }),
      /data\[0\]\.paragraphs\[0\]\.qas\[0\]: column "question" should hold text, got 3/,
    ],
    ['an object that is no SQuAD', JSON.stringify({ rows: [] }), /has no column "question"/],
  ])('%s', async (_, content, message) => {
    const path = file('refused.json', content);
    await expect(readQuestions(path, columns)).rejects.toThrow(message);
    await expect(readQuestions(path, columns)).rejects.toBeInstanceOf(InputError);
  });
});

test('windows cover every token, overlap as asked, and none is for nothing', () => {
  fc.assert(
    fc.property(fc.nat(60), fc.integer({ min: 1, max: 20 }), fc.nat(30), (count, size, stride) => {
      const ranges = overlapping(count, size, stride);
      const covered = new Set(ranges.flatMap(([from, to]) => Array.from({ length: to - from }, (_, k) => from + k)));
      expect(covered.size).toBe(count);
      expect(ranges[0][0]).toBe(0);
      expect(ranges.at(-1)![1]).toBe(count);
      const shared = Math.min(stride, Math.floor(size / 2), size - 1);
      for (const [at, [from, to]] of ranges.entries()) {
        expect(to - from).toBeLessThanOrEqual(size);
        if (at === 0) continue;
        expect(ranges[at - 1][1] - from).toBe(shared);
        expect(to).toBeGreaterThan(ranges[at - 1][1]);
      }
    }),
  );
});

describe('tagged sentences', () => {
  const labels = ['O', 'B-X', 'I-X'];
  const columns = { words: 'tokens', tags: 'ner_tags' };
  const two = [
    { words: ['Ann', 'Lee', '#', 'left'], tags: [1, 2, 0, 0] },
    { words: ['No'], tags: [0] },
  ];
  const named = two.map(({ words, tags }) => ({ tokens: words, ner_tags: tags.map((tag) => labels[tag]) }));

  test.each([
    ['ids.jsonl', lines(two.map(({ words, tags }) => ({ tokens: words, ner_tags: tags })))],
    ['names.jsonl', lines(named)],
    ['conll.txt', '\uFEFF-DOCSTART- -X- O\n\nAnn NNP B-X\nLee NNP I-X\r\n# SYM O\nleft VBD O\n\n\n# id 2\nNo\tO\n'],
    [
      'universal.conllu',
      '# text = Ann Lee # left\n1\tAnn\t_\tB-X\t_\n2\tLee\t_\tI-X\t_\n3-4\t#left\t_\t_\n3\t#\t_\tO\n4\tleft\t_\tO\n\n1\tNo\t_\tO\n',
    ],
  ])('the same from %s', async (name, content) => {
    expect(await readSentences(file(name, content), columns, labels)).toEqual(two);
    expect(await readSentences(file(name, content), columns, labels, 1)).toEqual(two.slice(0, 1));
  });

  test.each([
    ['a tag too few', 'few.jsonl', '{"tokens":["a","b"],"ner_tags":[0]}', /few\.jsonl:1 holds 2 words and 1 tags/],
    ['a tag of another model', 'other.jsonl', '{"tokens":["a"],"ner_tags":["B-Y"]}', /word 1: label "B-Y" is none/],
    ['a text instead of words', 'text.jsonl', '{"tokens":"a b","ner_tags":[0]}', /should hold a list, one entry a word/],
    ['a number among words', 'number.jsonl', '{"tokens":["a",3],"ner_tags":[0,0]}', /a list of words, got 3/],
    ['a line without a tag', 'line.conll', 'Ann B-X\nLee\n', /line\.conll:2 should hold a word and its tag/],
    ['nothing', 'nothing.conll', '\n\n', /holds no sentences/],
  ])('%s', async (_, name, content, message) => {
    const path = file(name, content);
    await expect(readSentences(path, columns, labels)).rejects.toThrow(message);
    await expect(readSentences(path, columns, labels)).rejects.toBeInstanceOf(InputError);
  });

  test('the first token of a word speaks for it, and words beyond the length have none', async () => {
    const tokenizer = await openTokenizer('examples/spam-filter');
    const words = ['unbelievable', '\u200b', 'words', 'antidisestablishmentarianism'];
    const tags = [1, 2, 0, 2];
    const pieces = words.map((word) => tokenizer.encode(word, undefined, 99).ids.slice(1, -1));
    expect(pieces.map(({ length }) => length > 0)).toEqual([true, false, true, true]);
    const long = encodeSentences([{ words, tags }], tokenizer, 99);
    const [row] = long.rows;
    expect(row.ids.slice(1, -1)).toEqual(pieces.flat());
    expect(row.firsts.map((at) => row.ids[at])).toEqual([0, 2, 3].map((word) => pieces[word][0]));
    expect([row.tags, long.cutOff]).toEqual([[1, 0, 2], 0]);
    const short = encodeSentences([{ words, tags }], tokenizer, pieces[0].length + 2);
    expect(short.rows[0].tags).toEqual([1]);
    expect(short.rows[0].ids).toHaveLength(pieces[0].length + 2);
    expect(short.cutOff).toBe(2);
  });
});

describe('scored pairs', () => {
  const columns = { text: 'a', pair: 'b', score: 'score' };

  test('a score is a number, or a text that is one', async () => {
    const expected = [{ texts: ['x', 'y'], score: 2.5 }];
    expect(await readPairs(file('pairs.csv', 'a,b,score\nx,y,2.5\n'), columns)).toEqual(expected);
    expect(await readPairs(file('pairs.jsonl', '{"a":"x","b":"y","score":2.5}'), columns)).toEqual(expected);
  });

  test.each(['""', '"much"', 'null', 'true', '[1]'])('%s is none', async (score) => {
    const path = file('odd.jsonl', `{"a":"x","b":"y","score":${score}}`);
    await expect(readPairs(path, columns)).rejects.toThrow(/odd\.jsonl:1: column "score" should hold a number/);
    await expect(readPairs(path, columns)).rejects.toBeInstanceOf(InputError);
  });
});

describe('the pooling of a folder', () => {
  const saved = (modes: Record<string, unknown>) => {
    const home = mkdtempSync(join(folder, 'pooling-'));
    mkdirSync(join(home, '1_Pooling'));
    writeFileSync(join(home, '1_Pooling', 'config.json'), JSON.stringify({ word_embedding_dimension: 8, ...modes }));
    return home;
  };

  test('is what sentence-transformers wrote there, and the mean where it wrote nothing', () => {
    expect(poolingOf(folder)).toBe('mean');
    expect(poolingOf(saved({ pooling_mode_mean_tokens: true, pooling_mode_cls_token: false }))).toBe('mean');
    expect(poolingOf(saved({ pooling_mode_mean_tokens: false, pooling_mode_cls_token: true }))).toBe('first');
  });

  test('is refused where it is neither', () => {
    const home = saved({ pooling_mode_mean_tokens: true, pooling_mode_max_tokens: true });
    expect(() => poolingOf(home)).toThrow(/pools by mean_tokens and max_tokens, expected mean_tokens or cls_token/);
    expect(() => poolingOf(home)).toThrow(InputError);
  });
});
