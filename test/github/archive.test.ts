import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { packFolder } from '../../src/github/archive.ts';

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'ziplm-archive-'));
});
afterEach(() => rmSync(place, { recursive: true }));

function write(files: Readonly<Record<string, Uint8Array | string>>, folder = join(place, 'model')): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

/** What the system's own tar makes of an archive: path → content. */
function unpacked(archive: string): Record<string, Buffer> {
  const out = mkdtempSync(join(place, 'out-'));
  const tar = spawnSync('tar', ['-xzf', archive, '-C', out], { encoding: 'utf8' });
  expect(tar.stderr).toBe('');
  const files = readdirSync(out, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => [
      join(entry.parentPath, entry.name).slice(out.length + 1),
      readFileSync(join(entry.parentPath, entry.name)),
    ]),
  );
}

test("the system's tar gets every file back, whatever its size and depth", async () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9_.-]{0,70}$/).filter((text) => !text.endsWith('.'));
  const path = fc
    .array(name, { minLength: 1, maxLength: 2 })
    .map((parts) => parts.map((part, i) => `${i}${part}`).join('/'));
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(path, fc.uint8Array({ maxLength: 1600 }), { maxKeys: 5 }),
      async (files) => {
        const folder = write(files, mkdtempSync(join(place, 'in-')));
        const archive = join(place, 'a.tar.gz');
        await packFolder(folder, 'models-2x', archive);
        const expected = Object.fromEntries(
          Object.entries(files).map(([key, bytes]) => [`models-2x/${key}`, Buffer.from(bytes)]),
        );
        expect(unpacked(archive)).toEqual(expected);
      },
    ),
    { numRuns: 15 },
  );
});

test('equal content makes equal bytes, whenever and wherever it was written', async () => {
  const folder = write({ 'b.json': '{}', 'a/model.onnx': 'weights' });
  const copy = join(place, 'copy');
  cpSync(folder, copy, { recursive: true });
  utimesSync(join(copy, 'b.json'), 1, 1);
  const size = await packFolder(folder, 'm', join(place, '1.tar.gz'));
  await packFolder(copy, 'm', join(place, '2.tar.gz'));
  const bytes = readFileSync(join(place, '1.tar.gz'));
  expect(readFileSync(join(place, '2.tar.gz'))).toEqual(bytes);
  expect(size).toBe(bytes.length);
});

test('links are not followed', async () => {
  const folder = write({ 'model.onnx': 'x' });
  symlinkSync('/etc/passwd', join(folder, 'vocab.txt'));
  symlinkSync('/etc', join(folder, 'more'));
  await packFolder(folder, 'm', join(place, 'a.tar.gz'));
  expect(Object.keys(unpacked(join(place, 'a.tar.gz')))).toEqual(['m/model.onnx']);
});

test('a name that does not fit is an error that says so', async () => {
  const folder = write({ ['x'.repeat(120)]: 'x' });
  await expect(packFolder(folder, 'm', join(place, 'a.tar.gz'))).rejects.toThrow(
    /does not fit a tar archive/,
  );
});
