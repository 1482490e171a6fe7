import { statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inTemporaryFolder, onDisk, readFeeds, writeFeeds } from '../../src/runtime/feeds.ts';
import { type DataType, sizeOf, tensor, zeros } from '../../src/tensor/tensor.ts';

const shapes = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 });

test('feeds of every type and shape come back as they went', async () => {
  const someFeeds = fc.dictionary(
    fc.string({ minLength: 1 }),
    fc.oneof(
      shapes.chain((shape) =>
        fc
          .float32Array({ minLength: sizeOf(shape), maxLength: sizeOf(shape) })
          .map((data) => tensor('float32', shape, data)),
      ),
      shapes.chain((shape) =>
        fc
          .bigInt64Array({ minLength: sizeOf(shape), maxLength: sizeOf(shape) })
          .map((data) => tensor('int64', shape, data)),
      ),
      fc.constantFrom<DataType>('bool', 'float16', 'float64', 'int8').map((type) => zeros(type, [3])),
    ),
  );
  await inTemporaryFolder(async (folder) => {
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), someFeeds), async (sets) => {
        const file = join(folder, 'feeds');
        await writeFeeds(file, sets);
        expect({ ...readFeeds(file) }).toEqual({ ...sets });
      }),
      { numRuns: 60 },
    );
  });
});

test('what sets share is written once', async () => {
  await inTemporaryFolder(async (folder) => {
    const shared = zeros('float32', [1000, 100]);
    const size = async (name: string, sets: number) => {
      const file = join(folder, name);
      await writeFeeds(
        file,
        Object.fromEntries(Array.from({ length: sets }, (_, i) => [`${i}`, { x: shared }])),
      );
      return statSync(file).size;
    };
    expect(await size('fifty', 50)).toBeLessThan((await size('one', 1)) + 5000);
  });
});

test('a full disk is the machine’s lack, named with its path', async () => {
  const full = Object.assign(new Error('write ENOSPC'), { code: 'ENOSPC' });
  await expect(onDisk('/some/folder', () => Promise.reject(full))).rejects.toMatchObject({
    name: 'MachineError',
    message: expect.stringContaining('/some/folder'),
  });
});
