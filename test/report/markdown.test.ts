import fc from 'fast-check';
import type { Nodes } from 'mdast';
import { fromMarkdown } from 'mdast-util-from-markdown';
import { gfmFromMarkdown } from 'mdast-util-gfm';
import { toString as textOf } from 'mdast-util-to-string';
import { gfm } from 'micromark-extension-gfm';
import { describe, expect, test } from 'vitest';
import { markdown, plain } from '../../src/report/escape.ts';
import { renderMarkdown } from '../../src/report/markdown.ts';
import { NASTY, outside } from './outside.ts';
import { hostile, sample, small } from './sample.ts';

const parse = (text: string) =>
  fromMarkdown(text, { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] });

/** The shape of a document without its words: node kinds, and whatever HTML it has. */
function skeleton(node: Nodes): unknown {
  if (node.type === 'text') return [];
  if (node.type === 'html') return [node.value];
  if (node.type === 'code') return [`code ${node.lang} of ${node.value.split('\n').length} lines`];
  const children = 'children' in node ? node.children : [];
  return [[node.type, children.flatMap((child) => skeleton(child) as unknown[])]];
}

/** All words, as GitHub's filters for mentions, references, links and emoji see them. */
const visible = (text: string): string => textOf(parse(text), { includeHtml: false });

describe('strings from outside', () => {
  const harmless = skeleton(parse(renderMarkdown(hostile('name'))));

  test('never change the shape of the document: no table breaks, no markup, link, image or HTML appears', () => {
    fc.assert(
      fc.property(outside, (text) => {
        expect(skeleton(parse(renderMarkdown(hostile(text))))).toEqual(harmless);
      }),
      { numRuns: 60 },
    );
  });

  test.each(NASTY.map((text) => [JSON.stringify(text), text]))(
    '%s alone, at the start, doubled and in the middle',
    (_, text) => {
      for (const bent of [text, `${text}x`, `a ${text}${text} b`, `a${text}b`]) {
        expect(skeleton(parse(renderMarkdown(hostile(bent))))).toEqual(harmless);
      }
    },
  );

  test('are shown letter by letter', () => {
    fc.assert(
      fc.property(outside, (text) => {
        const shown = visible(`before ${markdown(text)} after`).replaceAll('\u200b', '');
        expect(shown).toBe(`before ${plain(text)} after`);
      }),
      { numRuns: 500 },
    );
  });

  test('mention nobody, refer to nothing, and are no link or emoji to filters that read rendered text', () => {
    fc.assert(
      fc.property(outside, (text) => {
        const shown = visible(markdown(text));
        expect(shown).not.toMatch(/@[a-z0-9]/i);
        expect(shown).not.toMatch(/#\d|\bGH-\d/i);
        expect(shown).not.toMatch(/\bhttps?:\/|\bwww\.\w/i);
        expect(shown).not.toMatch(/:[\w+-]+:/);
        expect(shown).not.toMatch(/\$[^\u200b]/);
      }),
      { numRuns: 500 },
    );
  });
});

test('what is shown plainly is one line without control, invisible or direction-changing characters', () => {
  fc.assert(
    fc.property(outside, (text) => {
      const shown = plain(text);
      expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      expect(shown).toBe(shown.trim());
      expect([...shown].length).toBeLessThanOrEqual(300);
      expect(shown).not.toBe('');
    }),
  );
  expect(plain('x'.repeat(1000))).toBe(`${'x'.repeat(299)}…`);
});

test('there is one results table, with a row for the dense model and one per target', () => {
  const tables = parse(renderMarkdown(sample)).children.filter((node) => node.type === 'table');
  expect(tables[0].children.map((row) => row.children.length)).toEqual(Array(6).fill(7));
  expect(tables[0].children.map((row) => textOf(row.children[5]))).toEqual([
    'status',
    '',
    '✅ met',
    '✅ met',
    '⚠️ inconclusive',
    '❌ missed',
  ]);
});

test("the chart keeps to mermaid's grammar whatever the metric", () => {
  const line =
    /^ {2}(title "[^"]*"|x-axis "[^"]*" \["[^"]*"(, "[^"]*")*\]|y-axis "[^"]*" -?\d+(\.\d+)? --> -?\d+(\.\d+)?|line \[-?\d+(\.\d+)?(, -?\d+(\.\d+)?)*\])$/;
  const value = fc.oneof(
    fc.double({ min: -1e9, max: 1e9, noNaN: true }),
    fc.constantFrom(0, -0, 1e-12, -1e-12),
  );
  fc.assert(
    fc.property(outside, value, (name, at) => {
      const metric = { name, value: at, low: at, high: at };
      const record = {
        ...small,
        dense: { ...small.dense, metric },
        targets: small.targets.map((t) => ({
          ...t,
          metric: { ...metric, delta: 0, deltaLow: 0, deltaHigh: 0 },
        })),
      };
      const chart = parse(renderMarkdown(record)).children.find((node) => node.type === 'code');
      const [kind, ...lines] = chart?.value.split('\n') ?? [];
      expect(kind).toBe('xychart-beta');
      expect(lines).toHaveLength(4);
      for (const each of lines) expect(each).toMatch(line);
    }),
  );
});
