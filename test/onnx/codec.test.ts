import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { decodeModel, openModel } from '../../src/onnx/load.ts';
import { encodeModel, saveModel } from '../../src/onnx/save.ts';

const fixtures = join(import.meta.dirname, '../fixtures');
const names = (await readdir(fixtures, { withFileTypes: true })).filter((entry) => entry.isDirectory());
const cases = await Promise.all(
  names.map(async ({ name }) => {
    const { file } = JSON.parse(await readFile(join(fixtures, name, 'case.json'), 'utf8')) as {
      file: string;
    };
    return { name, file };
  }),
);

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'ziplm-onnx-'));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

test('all twenty fixtures are there', () => {
  expect(cases.map(({ name }) => name)).toHaveLength(20);
});

test.each(cases)('$name: load then save gives the same bytes', async ({ name, file: model }) => {
  const source = join(fixtures, name);
  const target = await folder();
  await saveModel(await openModel(join(source, model)), join(target, model));
  const files = (await readdir(source)).filter((file) => file.startsWith(model));
  expect((await readdir(target)).sort()).toEqual(files.sort());
  for (const file of files) {
    expect((await readFile(join(target, file))).equals(await readFile(join(source, file))), file).toBe(true);
  }
});

test.each(cases)('$name: a model put into one file has the same tensors', async ({ name, file }) => {
  const model = await openModel(join(fixtures, name, file));
  const bytes = encodeModel(model);
  const again = decodeModel(bytes);
  expect(again.graph.initializers.size).toBe(model.graph.initializers.size);
  for (const [key, stored] of model.graph.initializers) {
    expect(again.graph.initializers.get(key)?.tensor(), key).toEqual(stored.tensor());
  }
});
