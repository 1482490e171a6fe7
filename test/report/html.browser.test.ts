/**
 * Opens the report in a real Chromium and looks at it, as a reader would: on a screen, on a phone, in the dark, on paper.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RunRecord } from '../../src/record.ts';
import { plain } from '../../src/report/escape.ts';
import { renderHtml } from '../../src/report/html.ts';
import { NASTY } from './outside.ts';
import { hostile, sample } from './sample.ts';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Twelve layers and five targets: as many bars and numbers as a base model brings. */
const deep: RunRecord = {
  ...sample,
  name: 'a-base-model',
  targets: [
    ...sample.targets,
    {
      ...sample.targets[3],
      target: 4,
      speedup: { median: 3.71, low: 3.62, high: 3.8 },
      metric: { ...sample.targets[3].metric, value: 0.79, low: 0.77, high: 0.81 },
    },
  ].map((t) => ({
    ...t,
    blocks: (['attention', 'mlp'] as const).flatMap((kind) =>
      Array.from({ length: 12 }, (_, i) => {
        const like = t.blocks.filter((b) => b.kind === kind)[i % 6];
        return { ...like, id: `${kind}.${i}`, kept: like.kept * 2, of: like.of * 2 };
      }),
    ),
  })),
};

let browser: Browser;
let folder: string;
let page: Page;
/** What the page said on its console or asked of the network: nothing, if it is as it should be. */
let heard: string[];

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) {
    throw new Error(
      `report: no browser at ${CHROMIUM}, expected Chromium. Install it (Debian: apt-get install chromium) or set CHROMIUM to its path.`,
    );
  }
  folder = await mkdtemp(join(tmpdir(), 'ziplm-report-'));
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
});
afterAll(async () => {
  await browser?.close();
  if (folder !== undefined && process.env.KEEP_SCREENSHOTS === undefined)
    await rm(folder, { recursive: true });
});

async function open(html: string, width: number, colorScheme: 'light' | 'dark' = 'light'): Promise<void> {
  const file = join(folder, 'report.html');
  await writeFile(file, html);
  page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  heard = [];
  page.on('console', (message) => heard.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => heard.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    heard.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (request.url() !== pathToFileURL(file).href) heard.push(`request: ${request.url()}`);
  });
  await page.goto(pathToFileURL(file).href, { waitUntil: 'load' });
}

afterEach(async () => {
  expect(heard).toEqual([]);
  await page?.close();
});

interface Box {
  readonly text: string;
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

interface Chart extends Box {
  readonly labels: readonly Box[];
  /** Shapes with a colour: bars, lines, marks. */
  readonly shapes: number;
}

/** Every picture that is seen at this width, with the boxes of its letters, in CSS pixels. */
const charts = (): Promise<Chart[]> =>
  page.evaluate(`(() => {
    const box = (node, text) => {
      const { left, top, right, bottom } = node.getBoundingClientRect();
      return { text, left, top, right, bottom };
    };
    return [...document.querySelectorAll('svg')].filter((svg) => svg.checkVisibility()).map((svg) => ({
      ...box(svg, svg.querySelector('title').textContent),
      labels: [...svg.querySelectorAll('text')].filter((t) => t.textContent.trim() !== '').map((t) => box(t, t.textContent)),
      shapes: svg.querySelectorAll('g path, path[fill]:not([fill=none]), path[stroke]:not([stroke=none])').length,
    }));
  })()`);

const overlap = (a: Box, b: Box): boolean =>
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;

describe.each([
  ['the sample', sample],
  ['a deep model', deep],
])('%s', (_, record) => {
  describe.each([1280, 400])('at %d pixels', (width) => {
    test('five pictures are drawn, inside the page, with letters that can be read', async () => {
      await open(renderHtml(record), width);
      const drawn = await charts();
      expect(drawn.map((c) => c.text)).toEqual([
        'accuracy against measured speedup',
        'Predicted and measured speedup against the target',
        'Heads and neurons that each target keeps, layer by layer',
        'Attention: measured time by heads kept',
        'Feed-forward: measured time by neurons kept',
      ]);
      for (const chart of drawn) {
        expect(chart.right - chart.left, chart.text).toBeGreaterThan(290);
        expect(chart.bottom - chart.top, chart.text).toBeGreaterThan(150);
        expect(chart.shapes, chart.text).toBeGreaterThan(8);
        expect(chart.labels.length, chart.text).toBeGreaterThan(6);
        for (const label of chart.labels) {
          expect(label.left, label.text).toBeGreaterThanOrEqual(chart.left - 1);
          expect(label.right, label.text).toBeLessThanOrEqual(chart.right + 1);
          expect(label.top, label.text).toBeGreaterThanOrEqual(chart.top - 1);
          expect(label.bottom, label.text).toBeLessThanOrEqual(chart.bottom + 1);
          expect(Math.max(label.bottom - label.top, label.right - label.left), label.text).toBeGreaterThan(6);
        }
        const covered = chart.labels.flatMap((a, i) =>
          chart.labels
            .slice(i + 1)
            .filter((b) => overlap(a, b))
            .map((b) => [a.text, b.text]),
        );
        expect(covered, chart.text).toEqual([]);
      }
    });

    test('nothing makes the page wider than its window', async () => {
      await open(renderHtml(record), width);
      await page.screenshot({ path: join(folder, `${record.name}-${width}.png`), fullPage: true });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    });
  });
});

test('a faster target stands further right, and one with a better metric higher', async () => {
  await open(renderHtml(sample), 1280);
  const [accuracy] = await charts();
  const at = (text: string): Box =>
    accuracy.labels.filter((l) => l.text === text).sort((a, b) => a.top - b.top)[0];
  const points = sample.targets.map((t) => ({ ...at(`${t.target}×`), t }));
  const fasterRight = [...points].sort((a, b) => a.left - b.left).map((p) => p.t.target);
  expect(fasterRight).toEqual(
    [...points].sort((a, b) => a.t.speedup.median - b.t.speedup.median).map((p) => p.t.target),
  );
  const betterHigher = [...points].sort((a, b) => a.top - b.top).map((p) => p.t.target);
  expect(betterHigher).toEqual(
    [...points].sort((a, b) => b.t.metric.value - a.t.metric.value).map((p) => p.t.target),
  );
});

test('the table says what the record says', async () => {
  await open(renderHtml(sample), 1280);
  const rows: string[][] = await page.evaluate(
    `[...document.querySelectorAll('[aria-label^="Results"] tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent))`,
  );
  expect(rows).toHaveLength(1 + sample.targets.length);
  sample.targets.forEach((t, i) => {
    const [target, speedup, metric, change, parameters, size, status, model] = rows[i + 1];
    expect(target).toBe(`${t.target}×`);
    expect(speedup).toContain(`${t.speedup.median.toFixed(2)}×`);
    expect(metric).toContain(`${(t.metric.value * 100).toFixed(1)}%`);
    expect(change).toContain(Math.abs(t.metric.delta * 100).toFixed(1));
    expect(parameters).toContain(`${(t.parameters / 1e6).toFixed(1)} M`);
    expect(size).toContain(`${(t.bytes / 1e6).toFixed(1)} MB`);
    expect(status).toContain(t.status);
    expect(model).toBe(t.file);
  });
  const seen = (await page.locator('main').textContent()) ?? '';
  expect(seen).toContain('2 of 4 speedup targets are met.');
  expect(seen).toContain('the machine was seen in two states');
  for (const warning of sample.warnings) expect(seen).toContain(warning);
});

test.each(['light', 'dark'] as const)('words can be read in the %s', async (scheme) => {
  await open(renderHtml(sample), 1280, scheme);
  await page.screenshot({ path: join(folder, `${scheme}.png`), fullPage: true });
  const ratios: [string, number][] = await page.evaluate(`(() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => channels(color).slice(0, 3)
      .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
      .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (node) => {
      for (let at = node; at; at = at.parentElement) {
        const color = getComputedStyle(at).backgroundColor;
        if (channels(color)[3] !== 0) return color;
      }
      return 'rgb(255, 255, 255)';
    };
    const seen = [...document.querySelectorAll('p, dt, dd, th, td, h1, h2, h3, summary, code, .status, .soft, svg text')]
      .filter((node) => node.checkVisibility() && node.textContent.trim() !== '');
    return seen.map((node) => {
      const style = getComputedStyle(node);
      const [a, b] = [luminance(node.tagName === 'text' ? style.fill : style.color), luminance(behind(node))];
      return [node.textContent.slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    });
  })()`);
  expect(ratios.length).toBeGreaterThan(100);
  expect(ratios.filter(([, contrast]) => contrast < 4.5)).toEqual([]);
  const background = await page.evaluate('getComputedStyle(document.body).backgroundColor');
  expect(background).toBe(scheme === 'light' ? 'rgb(246, 246, 244)' : 'rgb(17, 18, 20)');
});

test('on paper nothing is cut off, and the pictures are the wide ones', async () => {
  await open(renderHtml(sample), 794, 'dark');
  await page.emulateMedia({ media: 'print' });
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(794);
  expect(await charts()).toHaveLength(5);
  const cut = await page.evaluate(
    `[...document.querySelectorAll('.scroll')].filter((s) => s.checkVisibility() && s.scrollWidth > s.clientWidth).length`,
  );
  expect(cut).toBe(0);
  expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(255, 255, 255)');
});

test('strings from outside run nothing, fetch nothing, and are read as they are', async () => {
  const count = 'document.querySelectorAll("*").length';
  await open(renderHtml(hostile('name', sample)), 400);
  const elements = await page.evaluate(count);
  await page.close();
  for (const text of [NASTY.join(' '), NASTY.join(''), ...NASTY.filter((n) => n.includes('<'))]) {
    await open(renderHtml(hostile(text, sample)), 400);
    expect(await page.evaluate(count), text).toBe(elements);
    expect(await page.locator('h1').textContent()).toBe(plain(text));
    expect(await page.title()).toBe(`ZipLM: ${plain(text)}`);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(400);
    expect(heard).toEqual([]);
    await page.close();
  }
});

test('several records: a table of contents whose links lead to the chapters', async () => {
  await open(renderHtml([sample, deep]), 1280);
  expect(await charts()).toHaveLength(10);
  await page.getByRole('link', { name: deep.name }).click();
  expect(await page.evaluate('document.querySelector(":target h1").textContent')).toBe(deep.name);
  expect(await page.evaluate('document.querySelector(":target").getBoundingClientRect().top')).toBeLessThan(
    450,
  );
});
