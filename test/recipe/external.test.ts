/** A model whose weights lie beside it is another model when only they are. */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { saveModel } from '../../src/onnx/save.ts';
import { readModel, writeModel } from '../../src/recipe/family.ts';
import { openModelFolder, sha256Of, weightsBeside } from '../../src/recipe/job.ts';
import { fixture, scratch } from '../onnx/fixtures.ts';

const { folder, file, path } = fixture('bert-external-data');

/** The last byte of a file, another. */
async function spoil(weights: string): Promise<void> {
  const bytes = await readFile(weights);
  bytes[bytes.length - 1] ^= 1;
  await writeFile(weights, bytes);
}

describe('what a run keeps its results by', () => {
  test('of the dense model', async () => {
    const home = await scratch();
    for (const name of [file, `${file}_data`]) await copyFile(join(folder, name), join(home, name));
    const before = (await openModelFolder(home)).sha256;
    expect((await openModelFolder(home)).sha256).toBe(before);
    await spoil(join(home, `${file}_data`));
    expect((await openModelFolder(home)).sha256).not.toBe(before);
  });

  test('of a pruned one, which a release computes again', async () => {
    const home = await scratch();
    const model = await openModel(path);
    await writeModel(model, { maxAbsDiff: 0 }, home);
    const written = readModel(home);
    const weights = weightsBeside(written.file);
    expect(weights).toHaveLength(1);
    expect(await sha256Of(written.file, ...weights)).toBe(written.sha256);
    await spoil(weights[0]);
    expect(await sha256Of(written.file, ...weights)).not.toBe(written.sha256);
  });

  test('of one file alone, that file’s', async () => {
    const home = await scratch();
    await saveModel(await openModel(fixture('bert-optimum').path), join(home, 'model.onnx'));
    await writeFile(join(home, 'model.onnx.txt'), 'a note');
    expect(weightsBeside(join(home, 'model.onnx'))).toEqual([]);
    expect((await openModelFolder(home)).sha256).toBe(await sha256Of(join(home, 'model.onnx')));
  });
});
