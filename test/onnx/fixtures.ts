/** The exported models under `test/fixtures`, and a folder to write into. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

interface Sample {
  readonly inputs: Readonly<Record<string, { readonly dtype: string; readonly shape: readonly number[] }>>;
  readonly outputs: Sample['inputs'];
}

/** The cases of a folder below `test/`. */
export const casesIn = (where: string) => {
  const root = join(import.meta.dirname, '..', where);
  return readdirSync(root, { withFileTypes: true })
    .filter(({ name }) => existsSync(join(root, name, 'case.json')))
    .map(({ name }) => {
      const folder = join(root, name);
      const read = () =>
        JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { file: string; samples: Sample[] };
      const { file } = read();
      return { name, folder, file, path: join(folder, file), samples: () => read().samples };
    });
};

export const cases = casesIn('fixtures');

export function fixture(name: string): (typeof cases)[number] {
  const found = cases.find((one) => one.name === name);
  if (!found) throw new Error(`there is no fixture ${name}`);
  return found;
}

/** An empty folder that goes when the test ends. */
export async function scratch(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'ziplm-onnx-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}
