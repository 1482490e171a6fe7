/**
 * Records as documents, and those that a finished run leaves beside its record. What draws them is loaded when it
 * is asked for.
 * @module
 */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunRecord } from './record.ts';

export const formats = ['text', 'markdown', 'html'] as const;
export type Format = (typeof formats)[number];

export async function render(records: readonly RunRecord[], format: Format): Promise<string> {
  if (format === 'markdown') return (await import('./report/markdown.ts')).renderMarkdown(records);
  if (format === 'html') return (await import('./report/html.ts')).renderHtml(records);
  return (await import('./report/text.ts')).renderText(records);
}

/** Writes `report.md` and `report.html` into a folder, each whole or not at all. */
export async function writeReports(records: readonly RunRecord[], folder: string): Promise<void> {
  await writeWhole(join(folder, 'report.md'), await render(records, 'markdown'));
  await writeWhole(join(folder, 'report.html'), await render(records, 'html'));
}

async function writeWhole(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.part`;
  try {
    await writeFile(draft, text);
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
