/** A real fine-tuned encoder through the real command line, against what PyTorch said of it before its export. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ziplm } from '../command.ts';

const model = fileURLToPath(new URL('../../../shared/models/minilm-sst2', import.meta.url));
const evaluation = ['--data-evaluation', join(model, 'test.jsonl'), '--max-length', '64'];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ziplm-minilm-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function json(...args: string[]) {
  const { code, stdout, stderr } = await ziplm([...args, '--json'], { cwd: folder });
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

test('inspect finds six layers of 12 heads of 32 and of 1,536 neurons, in forward order', async () => {
  const { blocks, refused } = await json('inspect', join(model, 'model.onnx'));
  // Only what spans the residual stream stays out of reach.
  for (const { reason } of refused) expect(reason).toMatch(/^The axis of 384 /);
  expect(blocks.map(({ id }: { id: string }) => id)).toEqual(
    [0, 1, 2, 3, 4, 5].flatMap((layer) => [`attention.${layer}`, `mlp.${layer}`]),
  );
  for (const block of blocks) {
    if (block.kind === 'attention') expect(block).toMatchObject({ structures: 12, headDim: 32 });
    else expect(block).toMatchObject({ structures: 1536, gated: false });
  }
});

test('evaluate finds the accuracy that PyTorch found', async () => {
  const { test_accuracy: expected, test_rows: rows } = JSON.parse(
    await readFile(join(model, 'metrics.json'), 'utf8'),
  );
  const result = await json('evaluate', model, ...evaluation);
  expect(result.rows).toBe(rows);
  // Two rows may fall the other way by rounding.
  expect(Math.abs(result.metric.value - expected)).toBeLessThanOrEqual(2.5 / rows);
  expect(result.metric.low).toBeLessThan(expected);
  expect(result.metric.high).toBeGreaterThan(expected);
});

test('cut takes whole modules and single structures out of the file, and what is left still classifies', async () => {
  const removal = { 'attention.0': [0, 5], 'mlp.3': Array.from({ length: 1536 }, (_, i) => i), 'mlp.5': [7] };
  await writeFile(join(folder, 'remove.json'), JSON.stringify(removal));
  await json('cut', join(model, 'model.onnx'), '--remove', 'remove.json', '--output', 'cut.onnx');
  const [before, after] = await Promise.all([
    stat(join(model, 'model.onnx')),
    stat(join(folder, 'cut.onnx')),
  ]);
  // Two heads: 4 matrices of 384 × 64 and 3 biases of 64; a module: 2 of 384 × 1536 and a bias; a neuron: 2 × 384 + 1.
  const floats = 4 * 384 * 64 + 3 * 64 + 2 * 384 * 1536 + 1536 + 2 * 384 + 1;
  expect(Math.abs(before.size - after.size - 4 * floats)).toBeLessThan(4096);
  const { blocks } = await json('inspect', 'cut.onnx');
  const structures = Object.fromEntries(
    blocks.map((b: { id: string; structures: number }) => [b.id, b.structures]),
  );
  // Without its MLP, layer 3 has none to count: the two behind it move up.
  expect(structures).toMatchObject({ 'attention.0': 10, 'attention.3': 12, 'mlp.3': 1536, 'mlp.4': 1535 });
  expect(structures).not.toHaveProperty('mlp.5');
});
