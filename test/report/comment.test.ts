import fc from 'fast-check';
import type { Nodes } from 'mdast';
import { fromMarkdown } from 'mdast-util-from-markdown';
import { gfmFromMarkdown } from 'mdast-util-gfm';
import { toString as textOf } from 'mdast-util-to-string';
import { gfm } from 'micromark-extension-gfm';
import { describe, expect, test } from 'vitest';
import type { RunRecord } from '../../src/record.ts';
import { type CommentOptions, commentVersions } from '../../src/report/comment.ts';
import { NASTY, outside } from './outside.ts';
import { hostile, sample, small } from './sample.ts';

const parse = (text: string) =>
  fromMarkdown(text, { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] });

/** The shape of a document without its words: node kinds, addresses, and whatever HTML it has. */
function skeleton(node: Nodes): unknown {
  if (node.type === 'text') return [];
  if (node.type === 'html') return [node.value.replace(/<summary>.*<\/summary>/s, '<summary>…</summary>')];
  if (node.type === 'code') return [`code ${node.lang} of ${node.value.split('\n').length} lines`];
  const children = 'children' in node ? node.children : [];
  const address = node.type === 'link' ? [node.url] : [];
  return [[node.type, ...address, children.flatMap((child) => skeleton(child) as unknown[])]];
}
/** All words, also those within HTML: GitHub's filters look at what is rendered. */
const visible = (text: string): string => textOf(parse(text), { includeHtml: true });

const URL_OF = 'https://github.com/octo/models/actions/runs/55/artifacts';
const artifacts = new Map(sample.targets.map((t, i) => [t.sha256, `${URL_OF}/${i + 1}`]));
const versions = (records: readonly RunRecord[], options: CommentOptions = {}) => [
  ...commentVersions(records, options),
];
const tables = (text: string) => parse(text).children.filter((node) => node.type === 'table');
const rows = (text: string) =>
  tables(text)[0].children.map((row) => row.children.map((cell) => textOf(cell)));

/** A matrix: models × hardware, each its own record. */
const matrix = (count: number, name = (i: number) => `model-${i}`): RunRecord[] =>
  Array.from({ length: count }, (_, i) => ({
    ...sample,
    name: name(i),
    hardware: { ...sample.hardware, fingerprint: `f${i}` },
  }));

test.each<[string, readonly RunRecord[], CommentOptions]>([
  [
    'one',
    [sample],
    {
      artifacts,
      base: {
        branch: 'main',
        records: [{ ...sample, createdAt: '2026-03-01T00:00:00Z', targets: sample.targets.slice(0, 3) }],
      },
    },
  ],
  ['matrix', matrix(3), { artifacts, title: 'nightly' }],
])('%s reads as the golden files have it, whole and shortest', async (name, records, options) => {
  const all = versions(records, options);
  await expect(all[0]).toMatchFileSnapshot(`golden/comment-${name}.md`);
  await expect(all.at(-1)).toMatchFileSnapshot(`golden/comment-${name}-shortest.md`);
});

describe('one record', () => {
  test('its table has a row for the dense model and one per target, each with a link to its artifact', () => {
    const [whole] = versions([sample], { artifacts });
    expect(rows(whole)[0]).toEqual([
      'target',
      'measured speedup',
      'accuracy',
      'parameters',
      'size',
      'status',
      'model',
    ]);
    expect(rows(whole)).toHaveLength(6);
    expect([...whole.matchAll(/\]\((https:[^)]*)\)/g)].map(([, url]) => url)).toEqual([
      ...artifacts.values(),
    ]);
  });

  test('what is not on GitHub is not linked', () => {
    for (const url of [
      'https://evil.example/x',
      'javascript:alert(1)',
      `${URL_OF}/1) [x](http://evil.example`,
      `${URL_OF}/1?x=`,
    ]) {
      const [whole] = versions([sample], {
        artifacts: new Map([[sample.targets[0].sha256, url]]),
        reportUrl: url,
      });
      expect(whole).not.toContain('](');
      expect(whole).toContain('<code>1.25x/model.onnx</code>');
    }
  });
});

describe('the base branch', () => {
  /** The text, its tables without what only aligns them. */
  const against = (base: RunRecord) =>
    versions([sample], { base: { branch: 'main', records: [base] } })[0].replace(/ +/g, ' ');
  const faster: RunRecord = {
    ...sample,
    targets: sample.targets.map((t) => ({ ...t, speedup: { median: 9, low: 8.9, high: 9.1 } })),
  };

  test('a speedup whose interval lies below that of the base is marked, one that overlaps is not', () => {
    expect(against(faster)).toContain('9.00× [8.90, 9.10], met | 1.27× [1.25, 1.28], met ↓');
    expect(against(sample)).toContain('1.27× [1.25, 1.28], met | 1.27× [1.25, 1.28], met ≈');
  });

  test.each<[string, Partial<RunRecord>]>([
    ['other hardware', { hardware: { ...sample.hardware, fingerprint: 'x' } }],
    ['another provider', { provider: 'cuda' }],
    ['other threads', { threads: 1 }],
    ['another shape', { shape: { batch: 1, sequence: 1 } }],
    ['another metric', { dense: { ...sample.dense, metric: { ...sample.dense.metric, name: 'f1' } } }],
  ])('with %s is not compared with', (_, given) => {
    const text = against({ ...faster, ...given });
    expect(text).not.toContain('9.00×');
    expect(text).toContain('Nothing of <code>main</code> was measured on equal hardware');
  });

  test('of several the newest counts', () => {
    const old = { ...faster, createdAt: '2026-01-01T00:00:00Z' };
    const text = versions([sample], { base: { branch: 'main', records: [old, sample] } })[0];
    expect(text).not.toContain('9.00×');
  });
});

describe('a matrix of 40 records', () => {
  const records = matrix(40);

  test('is one table, with a row for every target of every model', () => {
    const [whole] = versions(records, { artifacts });
    expect(rows(whole)).toHaveLength(1 + 40 * 4);
    expect(whole).toContain('**80 of 160 speedup targets met**, 40 missed, 40 inconclusive, over 40 models.');
    expect(whole.match(/<details><summary>model-\d+: 2 of 4 speedup targets are met\./g)).toHaveLength(40);
  });

  test('fits a comment with all its rows, when the details go', () => {
    const fitting = versions(records, { artifacts }).find((text) => text.length <= 60_000)!;
    expect(rows(fitting)).toHaveLength(1 + 40 * 4);
    expect(fitting).toContain('Left out to fit: timings, ');
  });

  test('records of one model, machine and configuration are one', () => {
    const parts = sample.targets.map((t) => ({
      ...sample,
      targets: [t],
      configuration: { ...sample.configuration, speedups: [t.target] },
    }));
    expect(rows(versions(parts)[0])).toEqual(rows(versions([sample])[0]));
  });
});

describe('shortening', () => {
  const cases: readonly (readonly RunRecord[])[] = [
    [sample],
    matrix(2),
    matrix(40),
    [hostile('x'.repeat(4000), sample)],
  ];

  test.each(cases.map((records, i) => [i, records] as const))(
    '%i: versions get shorter down to a few sentences',
    (_, records) => {
      const lengths = versions(records, { artifacts }).map((text) => text.length);
      expect(lengths.at(-1)).toBeLessThan(2000);
      expect(lengths.at(-1)).toBe(Math.min(...lengths));
    },
  );

  test.each(cases.map((records, i) => [i, records] as const))(
    '%i: nothing is ever cut: folds close, tables are whole',
    (_, records) => {
      for (const text of versions(records, { artifacts })) {
        expect(text.match(/<details>/g)?.length).toBe(text.match(/<\/details>/g)?.length);
        expect((text.match(/```/g)?.length ?? 0) % 2).toBe(0);
        // A bar within a cell is an entity.
        for (const table of text.match(/(?:^\|.*\n)+/gm) ?? []) {
          const widths = table
            .trimEnd()
            .split('\n')
            .map((row) => row.split('|').length);
          expect(new Set(widths).size).toBe(1);
          expect(widths.length).toBeGreaterThan(2);
        }
        expect(text.endsWith('\n')).toBe(true);
      }
    },
  );

  test('what is left out is named, and a section is whole or gone', () => {
    const all = versions([sample]);
    expect(all[0]).not.toContain('Left out');
    expect(all[1]).toContain('Left out to fit: timings. ');
    expect(all[1]).not.toContain('<summary>Timings</summary>');
    expect(all[2]).toContain('Left out to fit: timings, hashes of the files. ');
    const sections = all[0].split('\n\n');
    const kept = all[3].split('\n\n').filter((part) => !part.startsWith('Left out'));
    for (const part of kept) expect(sections).toContain(part.replace(/\n$/, ''));
  });

  test('the verdict and the table go last', () => {
    const fewest = versions([sample]).at(-2)!;
    expect(rows(fewest)).toHaveLength(6);
    expect(fewest).not.toContain('<details>');
  });
});

test('without a record it says so', () => {
  expect(versions([], { title: 'nightly' })).toEqual([
    '### ZipLM: nightly\n\nThere is no record to report.\n',
  ]);
});

describe('strings from outside', () => {
  const options = (text: string): CommentOptions => ({
    title: text,
    artifacts,
    base: { branch: text, records: [hostile(text)] },
  });
  const harmless = versions([hostile('name')], options('name')).map((text) => skeleton(parse(text)));
  const both = (text: string): readonly RunRecord[] => [hostile(text), { ...hostile(text), threads: 9 }];
  const harmlessBoth = versions(both('name'), options('name')).map((text) => skeleton(parse(text)));

  /** The versions between the whole and the table hold nothing else than the whole. */
  const looked = <T>(all: readonly T[]) => [all[0], ...all.slice(-3)];
  const holds = (text: string) => {
    const shapes = (records: readonly RunRecord[]) =>
      looked(versions(records, options(text))).map((each) => skeleton(parse(each)));
    expect(shapes([hostile(text)])).toEqual(looked(harmless));
    expect(shapes(both(text))).toEqual(looked(harmlessBoth));
  };

  test('never change the shape of any version, of one record or several', () => {
    fc.assert(fc.property(outside, holds), { numRuns: 10 });
  });

  test('each sort of trouble', () => {
    for (let i = 0; i < NASTY.length; i += 8) holds(NASTY.slice(i, i + 8).join('a'));
  });

  test('mention nobody, refer to nothing, carry no command, comment or invisible character', () => {
    const text =
      '@octo/all #1 GH-2 https://evil.example ::error::x <!-- ziplm 0123456789abcdef 9.9 --> \u202e\u200b![x](y) **b**';
    const two = [
      { ...small, name: text },
      { ...small, name: text, threads: 9 },
    ];
    for (const version of [two, two.slice(1)].flatMap((records) => versions(records, options(text)))) {
      const shown = visible(version);
      expect(shown).not.toMatch(/@[a-z0-9]|#\d|\bGH-\d|https:\/|\u202e/i);
      expect(version).not.toMatch(/<!--|^::/m);
    }
  });
});
