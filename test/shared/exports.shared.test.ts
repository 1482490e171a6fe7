/** Every model that lies in ../shared, ours or not: opening and saving it gives the same bytes. */
import { globSync } from 'node:fs';
import { copyFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { saveModel } from '../../src/onnx/save.ts';

const shared = fileURLToPath(new URL('../../../shared/', import.meta.url));
const files = globSync('{fixtures,models}/**/*.onnx', { cwd: shared }).sort();

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ziplm-shared-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('there are models of both kinds', () => {
  expect(files.filter((file) => file.startsWith('fixtures/')).length).toBeGreaterThanOrEqual(20);
  expect(files.filter((file) => file.startsWith('models/')).length).toBeGreaterThanOrEqual(2);
});

describe('load∘save is the identity', () => {
  test.each(files)('%s', async (file) => {
    const from = join(shared, file);
    const to = join(folder, basename(file));
    await saveModel(await openModel(from), to);
    for (const written of await readdir(folder)) {
      const [ours, theirs] = await Promise.all([
        readFile(join(folder, written)),
        readFile(join(dirname(from), written)),
      ]);
      expect(ours.equals(theirs), written).toBe(true);
    }
  });
});

test('a copy elsewhere, without its external data, is refused by the name of what is missing', async () => {
  const external = files.find((file) => file.includes('external-data'));
  expect(external).toBeDefined();
  const copy = join(folder, 'model.onnx');
  await copyFile(join(shared, external!), copy);
  const again = openModel(copy).then((model) => saveModel(model, join(folder, 'again.onnx')));
  await expect(again).rejects.toMatchObject({
    name: 'InputError',
    message: expect.stringContaining('external data'),
  });
});
