/** The exported models under `test/fixtures`, and a folder to write into. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

interface Sample {
  readonly inputs: Readonly<Record<string, { readonly dtype: string; readonly shape: readonly number[] }>>;
  readonly outputs: Sample['inputs'];
}

const root = join(import.meta.dirname, '../fixtures');

export const cases = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => {
    const folder = join(root, name);
    const read = () =>
      JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { file: string; samples: Sample[] };
    const { file } = read();
    return { name, folder, file, path: join(folder, file), samples: () => read().samples };
  });

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
