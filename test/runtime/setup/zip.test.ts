import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { unpackEntry, zipEntries } from '../../../src/runtime/setup/zip.ts';
import { type Packed, zip } from './zip.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ziplm-zip-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

let count = 0;
async function roundTrip(files: readonly Packed[], comment = ''): Promise<Buffer[]> {
  const archive = join(folder, `${count++}.zip`);
  writeFileSync(archive, zip(files, comment));
  const out: Buffer[] = [];
  for (const entry of await zipEntries(archive)) {
    const target = join(folder, `${count++}`);
    await unpackEntry(archive, entry, target);
    out.push(readFileSync(target));
  }
  return out;
}

test('what was packed comes out', async () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 5000 }).map((data) => Buffer.from(data));
  const file = fc.record({
    name: fc.string({ minLength: 1, maxLength: 30 }),
    data: bytes,
    method: fc.constantFrom<0 | 8>(0, 8),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(file, { minLength: 1, maxLength: 5 }),
      fc.string({ unit: 'grapheme-ascii', maxLength: 40 }),
      async (files, comment) => {
        expect(await roundTrip(files, comment)).toEqual(files.map(({ data }) => data));
      },
    ),
    { numRuns: 40 },
  );
});

const data = Buffer.from('library '.repeat(1000));
test.each<[string, Packed, RegExp]>([
  ['unpacks to more than it says', { name: 'a', data, claims: 10 }, /unpacks to more/],
  ['unpacks to less than it says', { name: 'a', data, claims: data.length + 1 }, /unpacks to 8000 bytes/],
  ['is packed by an unknown method', { name: 'a', data, method: 99 }, /method 99/],
  ['is encrypted', { name: 'a', data, flags: 1 }, /encrypted/],
])('an entry that %s is refused', async (_, file, message) => {
  await expect(roundTrip([file])).rejects.toThrow(message);
});

test('what is no archive, or broken off, is refused', async () => {
  const archive = join(folder, 'x');
  const whole = zip([{ name: 'a', data }]);
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(100), whole.subarray(0, 60), whole.subarray(40)]) {
    writeFileSync(archive, bytes);
    await expect(
      zipEntries(archive).then(([entry]) => unpackEntry(archive, entry, join(folder, 'y'))),
    ).rejects.toThrow();
    rmSync(join(folder, 'y'), { force: true });
  }
});
