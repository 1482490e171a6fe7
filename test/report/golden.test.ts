import { expect, test } from 'vitest';
import type { RunRecord } from '../../src/record.ts';
import { renderMarkdown } from '../../src/report/markdown.ts';
import { renderText } from '../../src/report/text.ts';
import { sample } from './sample.ts';

const allMet: RunRecord = {
  ...sample,
  name: 'spam-filter',
  targets: sample.targets.slice(0, 2),
  refused: [],
  reused: [],
  warnings: [],
};
const noneMet: RunRecord = { ...sample, targets: sample.targets.slice(3) };
const gpu: RunRecord = {
  ...sample,
  name: 'on a GPU',
  provider: 'cuda',
  hardware: {
    ...sample.hardware,
    gpus: [{ name: 'NVIDIA H100 80GB HBM3', memoryBytes: 85_520_809_984, driver: '570.86.15' }],
    fingerprint: 'cuda-1b22',
  },
};
const cases: readonly (readonly [string, RunRecord | readonly RunRecord[]])[] = [
  ['sample', sample],
  ['all-met', allMet],
  ['none-met', noneMet],
  ['no-targets', { ...sample, targets: [] }],
  ['several', [sample, gpu]],
];

test.each(cases)('%s reads as the golden files have it', async (name, record) => {
  await expect(renderText(record)).toMatchFileSnapshot(`golden/${name}.txt`);
  await expect(renderMarkdown(record)).toMatchFileSnapshot(`golden/${name}.md`);
});

test('the columns of the terminal table stand one below the other', () => {
  const lines = renderText(sample).split('\n');
  const header = lines.findIndex((line) => line.startsWith('target'));
  const at = (line: string, word: string): number => [...line.slice(0, line.indexOf(word))].length;
  for (const t of sample.targets) {
    const row = lines.find((line) => line.includes(t.file)) ?? '';
    expect(at(row, t.file)).toBe(at(lines[header], 'model'));
    expect(at(row, t.status)).toBe(at(lines[header], 'status'));
  }
});
