/** Image classification through the command line: what a vision model is worth, and a family of smaller ones. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseRecord } from '../src/record.ts';
import { ziplm } from './command.ts';
import { classNames, labelsOf, modelFolder, pictures, png, written } from './image-run.ts';

let folder: string;
let model: string;
let labels: number[];
const shown = pictures(60, 1);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-images-'));
  model = modelFolder(join(folder, 'model'));
  labels = await labelsOf(shown);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function evaluated(data: string, ...more: string[]) {
  const { code, stdout, stderr } = await ziplm([
    'evaluate',
    model,
    '--data-evaluation',
    data,
    '--provider',
    'cpu',
    '--threads',
    '1',
    '--json',
    ...more,
  ]);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as { metric: { name: string; value: number }; rows: number };
}

test('the fixture has more than one answer to these pictures', () => {
  expect(new Set(labels).size).toBeGreaterThan(1);
});

test('labelled as the model sees them, all pictures are right; with seven labels wrong, seven less', async () => {
  const right = await evaluated(written(folder, 'right', shown, labels));
  expect(right).toMatchObject({ metric: { name: 'accuracy', value: 1 }, rows: 60 });
  const wrong = labels.map((label, at) => (at < 7 ? (label + 1) % classNames.length : label));
  const less = await evaluated(written(folder, 'wrong', shown, wrong));
  expect(less.metric.value).toBeCloseTo(53 / 60, 12);
});

test('a folder for each class is the same data', async () => {
  const root = join(folder, 'by-class');
  for (const [at, pixels] of shown.entries()) {
    mkdirSync(join(root, classNames[labels[at]]), { recursive: true });
    writeFileSync(join(root, classNames[labels[at]], `${at}.png`), png(pixels));
  }
  expect(await evaluated(root)).toMatchObject({ metric: { value: 1 }, rows: 60 });
});

test('a run prunes it, and what it writes loads with its processor', async () => {
  const calibration = written(folder, 'calibration', shown, labels);
  const fresh = pictures(60, 2);
  const evaluation = written(folder, 'evaluation', fresh, await labelsOf(fresh));
  const output = join(folder, 'out');
  const { code, stderr } = await ziplm([
    'run',
    '--model',
    model,
    '--data-calibration',
    calibration,
    '--data-evaluation',
    evaluation,
    '--output',
    output,
    '--speedups',
    '1.2',
    '--shape-batch',
    '16',
    '--provider',
    'cpu',
    '--threads',
    '1',
    '--search-steps',
    '8',
    '--rounds',
    '3',
  ]);
  expect([0, 1], stderr).toContain(code);
  const record = parseRecord(readFileSync(join(output, 'run.json'), 'utf8'));
  expect(record.dense.metric).toMatchObject({ name: 'accuracy', value: 1 });
  const [target] = record.targets;
  expect(target.blocks.some(({ kept, of }) => kept < of)).toBe(true);
  expect(target.maskEquivalence.maxAbsDiff).toBeLessThan(1e-4);
  const kept = join(output, '1.2x', 'preprocessor_config.json');
  expect(readFileSync(kept)).toEqual(readFileSync(join(model, 'preprocessor_config.json')));
}, 300_000);

test('pictures that are no pictures end in a sentence', async () => {
  const file = join(folder, 'broken.jsonl');
  writeFileSync(join(folder, 'broken.png'), png(shown[0]).subarray(0, 200));
  writeFileSync(file, JSON.stringify({ image: 'broken.png', label: 0 }));
  const { code, stderr } = await ziplm(['evaluate', model, '--data-evaluation', file, '--provider', 'cpu']);
  expect(code).toBe(2);
  expect(stderr).toMatch(/broken\.png" cannot be decoded as PNG/);
});
