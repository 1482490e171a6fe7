import fc from 'fast-check';
import { expect, test } from 'vitest';
import { renderHtml } from '../../src/report/html.ts';
import { renderMarkdown } from '../../src/report/markdown.ts';
import { trainingLines } from '../../src/report/story.ts';
import { renderText } from '../../src/report/text.ts';
import { NASTY, outside } from './outside.ts';
import { hostile, recovered, sample } from './sample.ts';

/** Element names in order: the shape of the document without its words. */
const elements = (page: string): string[] => [...page.matchAll(/<\/?([a-z][a-z0-9]*)\b/gi)].map((m) => m[0]);

test('is the same text for the same record', () => {
  expect(renderHtml(sample)).toBe(renderHtml(structuredClone(sample)));
});

test('fetches nothing, runs nothing, and says so to the browser', () => {
  for (const page of [renderHtml(sample), renderHtml(hostile(NASTY.join(' '), sample))]) {
    const tags = page.match(/<[a-z][^>]*>/gi) ?? [];
    for (const tag of tags) {
      expect(tag).not.toMatch(/^<(script|link|img|iframe|object|embed|base|form|image|use)\b/i);
      expect(tag).not.toMatch(/\s(on\w+|src|srcset|action|formaction)=/i);
      for (const [, url] of tag.matchAll(/\s(?:xlink:)?href="([^"]*)"/gi)) expect(url).toMatch(/^#r\d+$/);
    }
    expect(page).not.toMatch(/@import|url\((?!#)/i);
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline';`);
  }
});

test('strings from outside never add or remove an element', () => {
  const harmless = elements(renderHtml(hostile('name')));
  fc.assert(
    fc.property(outside, (text) => {
      expect(elements(renderHtml(hostile(text)))).toEqual(harmless);
    }),
    // A name as wide as this once pressed the axis marks of a picture together until some were left out.
    { numRuns: 25, examples: [['\u{1d51a}'.repeat(60)]] },
  );
});

test('ids are unique, also with several records, and every picture has a title and a description', () => {
  const page = renderHtml([sample, { ...sample, name: 'another' }]);
  const ids = [...page.matchAll(/\sid="([^"]*)"/g)].map((m) => m[1]);
  expect(new Set(ids).size).toBe(ids.length);
  const pictures = [
    ...page.matchAll(
      /<svg [^>]*aria-labelledby="(\S+) (\S+)"[^>]*><title id="\1">[^<]+<\/title><desc id="\2">[^<]+</g,
    ),
  ];
  expect(pictures.length).toBe(page.match(/<svg/g)?.length);
  // Five pictures (accuracy, promise, kept, two tables), each for screen and phone, per record.
  expect(pictures.length).toBe(2 * 5 * 2);
});

test('what a record lacks leaves no hole: no targets, no table, no blocks', () => {
  const bare = {
    ...sample,
    targets: [],
    latencyTable: [],
    refused: [],
    warnings: [],
    reused: [],
    seconds: {},
  };
  const page = renderHtml(bare);
  expect(page).not.toMatch(/NaN|Infinity|undefined|null/);
  expect(page).toContain('No speedup was asked for.');
  const unblocked = { ...sample, targets: sample.targets.map((t) => ({ ...t, blocks: [] })) };
  expect(renderHtml(unblocked)).not.toMatch(/NaN|Infinity|undefined/);
});

test('a gradual run has a picture of its losses, and a line for each target', () => {
  const trained = recovered(sample);
  const page = renderHtml(trained);
  expect(page.match(/<svg/g)?.length).toBe(6 * 2);
  expect(page).toContain('Training loss after each cut');
  expect(page).not.toMatch(/NaN|Infinity|undefined/);
  const said = trainingLines(trained);
  expect(said).toHaveLength(sample.targets.length);
  expect(said[0]).toMatch(
    /: 60 steps \(2\.5 epochs\) in 3 min 20 s, loss 0\.5 → 0\.1, validation 0\.025; stopped at a plateau$/,
  );
  for (const text of [page, renderMarkdown(trained), renderText(trained)]) {
    for (const line of said) expect(text).toContain(line);
  }
  expect(renderText(sample)).not.toContain('Trained');
});
