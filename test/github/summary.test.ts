import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writeSummary } from '../../src/github/summary.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-summary-'));
  file = join(folder, 'summary');
});
afterEach(() => rmSync(folder, { recursive: true }));

test('the first version that fits is appended to what is there', async () => {
  writeFileSync(file, 'before\n');
  expect(await writeSummary(file, ['x'.repeat(1_000_000), 'fits\n', 'shorter'])).toBe(true);
  expect(readFileSync(file, 'utf8')).toBe('before\n\nfits\n');
});

test('it is bytes that count, and what is there already', async () => {
  expect(await writeSummary(file, ['é'.repeat(600_000), 'é'.repeat(400_000)])).toBe(true);
  expect(await writeSummary(file, ['é'.repeat(400_000), 'end'])).toBe(true);
  expect(readFileSync(file).length).toBeLessThan(1024 * 1024);
});

test('where nothing fits nothing is written', async () => {
  expect(await writeSummary(file, ['x'.repeat(1_000_001)])).toBe(false);
});
