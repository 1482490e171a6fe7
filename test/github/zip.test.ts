import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { unzip } from '../../src/github/zip.ts';
import { zipped } from './zipped.ts';

const why = (archive: Buffer, maxBytes = 1000) => {
  const file = unzip(archive, 'run.json', maxBytes);
  return file.kind === 'no' ? file.why : file.content.toString();
};

test('the file comes back, wherever it lies in the archive and however it is packed', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 500 }),
      fc.constantFrom(0, 8),
      fc.constantFrom('', 'a/', 'a/b/'),
      (bytes, method, folder) => {
        const content = Buffer.from(bytes);
        const archive = zipped([
          { path: 'report.md', content: 'x' },
          { path: `${folder}run.json`, content, method },
          { path: 'run.json.txt', content: 'y' },
        ]);
        expect(unzip(archive, 'run.json', 500)).toEqual({ kind: 'file', content });
      },
    ),
  );
});

test("another program's archive is understood", ({ skip }) => {
  const folder = mkdtempSync(join(tmpdir(), 'ziplm-zip-'));
  try {
    writeFileSync(join(folder, 'run.json'), '{"a":1}');
    const code =
      'import zipfile; z = zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED); z.write("run.json"); z.close()';
    if (spawnSync('python3', ['-c', code], { cwd: folder }).status !== 0) skip();
    expect(why(readFileSync(join(folder, 'a.zip')))).toBe('{"a":1}');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('is refused', () => {
  const bomb = Buffer.alloc(5_000_000);
  test.each<[string, Buffer, RegExp]>([
    ['what is no archive', Buffer.from('{}'), /no ZIP file/],
    ['nothing', Buffer.alloc(0), /no ZIP file/],
    ['an archive without the file', zipped([{ path: 'a', content: 'x' }]), /has 0 files run\.json/],
    [
      'two of that name',
      zipped([
        { path: 'run.json', content: 'x' },
        { path: 'a/run.json', content: 'y' },
      ]),
      /has 2 files/,
    ],
    [
      'more than it may be',
      zipped([{ path: 'run.json', content: bomb }]),
      /of 5000000 bytes, more than 1000/,
    ],
    [
      'more than it says to be',
      zipped([{ path: 'run.json', content: bomb, claimed: 10 }]),
      /cannot be unpacked into 1000/,
    ],
    ['less than it says to be', zipped([{ path: 'run.json', content: 'x', claimed: 10 }]), /broken/],
    ['an unknown method', zipped([{ path: 'run.json', content: 'x', method: 14 }]), /by method 14/],
  ])('%s', (_, archive, message) => {
    expect(why(archive)).toMatch(message);
  });

  test('whatever is broken, and nothing is thrown', () => {
    const good = zipped([
      { path: 'run.json', content: 'hello hello hello' },
      { path: 'b', content: 'x' },
    ]);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        fc.nat(good.length),
        (changes, length) => {
          const bent = Buffer.from(good);
          for (const [at, byte] of changes) bent[at] = byte;
          expect(() => unzip(bent, 'run.json', 1000)).not.toThrow();
          expect(() => unzip(bent.subarray(0, length), 'run.json', 1000)).not.toThrow();
        },
      ),
      { numRuns: 2000 },
    );
  });
});
