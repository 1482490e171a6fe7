import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { chooseProvider } from '../../src/runtime/choose.ts';
import { histogram, lostFusions } from '../../src/runtime/histogram.ts';
import { openSession } from '../../src/runtime/session.ts';
import { type DataType, tensor, zeros } from '../../src/tensor/tensor.ts';
import { fixture, sampleOf } from './fixture.ts';
import { add } from './models.ts';

describe('a session', () => {
  test.each(['bert-optimum', 'bert-external-data', 'roberta-dynamo'])(
    'computes what PyTorch did: %s',
    async (name) => {
      const { feeds, expected, tolerance } = sampleOf(name);
      await using session = await openSession(fixture(name));
      expect([...session.inputs].sort()).toEqual(Object.keys(feeds).sort());
      const results = await session.run(feeds);
      for (const [output, { shape, data }] of Object.entries(expected)) {
        expect(results[output].shape).toEqual(shape);
        results[output].data.forEach((value, i) => {
          expect(Math.abs(Number(value) - Number(data[i]))).toBeLessThan(tolerance);
        });
      }
    },
  );

  test('of bytes equals the session of their file', async () => {
    const { feeds } = sampleOf('bert-optimum');
    await using fromFile = await openSession(fixture('bert-optimum'));
    await using fromBytes = await openSession(readFileSync(fixture('bert-optimum')));
    expect(await fromBytes.run(feeds)).toEqual(await fromFile.run(feeds));
  });

  test.each<DataType>(['float32', 'float64', 'float16', 'int64', 'int32'])(
    'carries %s there and back',
    async (type) => {
      await using session = await openSession(add(type, [2, 3]));
      const x = zeros(type, [2, 3]);
      // The float16 pattern of 1.5, and of 3, which is its double.
      const [value, twice] = type === 'float16' ? [0x3e00, 0x4200] : [21, 42];
      x.data.fill((type === 'int64' ? BigInt(value) : value) as never);
      const { y } = await session.run({ x });
      expect(y.type).toBe(type);
      expect(y.shape).toEqual([2, 3]);
      expect(y.data.constructor).toBe(x.data.constructor);
      expect([...y.data].map(Number)).toEqual(Array(6).fill(twice));
    },
  );

  test('reads a feed in place: what is changed in it between runs is seen', async () => {
    await using session = await openSession(add('float32', [1]));
    const x = tensor('float32', [1], new Float32Array([1]));
    await session.run({ x });
    x.data[0] = 5;
    expect((await session.run({ x })).y.data[0]).toBe(10);
  });

  test('gives only what is fetched', async () => {
    await using session = await openSession(add('float32', [1], 'twice', 'again'));
    const x = tensor('float32', [1], new Float32Array([1]));
    expect(Object.keys(await session.run({ x }))).toEqual(['twice', 'again']);
    expect(Object.keys(await session.run({ x }, ['again']))).toEqual(['again']);
  });

  test('takes configuration entries by their full names', async () => {
    const extra = { 'optimization.disable_specified_optimizers': 'BiasGeluFusion' };
    const fused = 'com.microsoft.BiasGelu';
    expect((await histogram(fixture('bert-optimum'))).get(fused)).toBe(2);
    expect((await histogram(fixture('bert-optimum'), { extra })).get(fused)).toBeUndefined();
  });

  test('a file that is no model is the user’s mistake', async () => {
    const here = fileURLToPath(import.meta.url);
    await expect(openSession(here)).rejects.toMatchObject({
      name: 'InputError',
      message: expect.stringContaining(here),
    });
    await expect(openSession('/no/such.onnx')).rejects.toMatchObject({ name: 'InputError' });
  });

  test('importing the room does not load ONNX Runtime', () => {
    const program = `
      for (const file of ['session', 'choose', 'timing', 'profile', 'compare', 'hardware', 'histogram'])
        await import('${new URL('../../src/runtime/', import.meta.url)}' + file + '.ts');
      const loaded = process.report.getReport().sharedObjects.filter((file) => file.includes('onnxruntime'));
      console.log(JSON.stringify(loaded));`;
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect(JSON.parse(printed)).toEqual([]);
  });
});

describe('providers', () => {
  test('auto finds one and says why', async () => {
    const { provider, why } = await chooseProvider('auto');
    expect(['cpu', 'cuda', 'webgpu']).toContain(provider);
    if (provider === 'cpu') expect(why).toMatch(/no cuda: .+; no webgpu: .+/);
  });

  test('CUDA without its library is the machine’s lack, with the reason and what to do', async () => {
    const { provider } = await chooseProvider('auto');
    if (provider === 'cuda') return;
    const lack = {
      name: 'MachineError',
      message: expect.stringMatching(/"cuda" is not there: .+\. .*provider: cpu/),
    };
    await expect(chooseProvider('cuda')).rejects.toMatchObject(lack);
    await expect(openSession(add('float32', [1]), { provider: 'cuda' })).rejects.toMatchObject(lack);
  });
});

describe('the optimised graph', () => {
  test('is counted by operator, and shows the fusions that another graph lacks', async () => {
    const optimised = await histogram(fixture('bert-optimum'));
    const asExported = await histogram(fixture('bert-optimum'), { optimization: 'disabled' });
    const { nodes } = (await openModel(fixture('bert-optimum'))).graph;
    for (const operator of ['MatMul', 'Softmax', 'Erf']) {
      const written = nodes.filter(({ opType }) => opType === operator).length;
      expect(asExported.get(operator), operator).toBe(written);
    }
    expect(optimised.get('com.microsoft.BiasGelu')).toBe(2); // one in each of its two layers
    expect(lostFusions(optimised, asExported)).toContain('com.microsoft.BiasGelu');
    expect(lostFusions(asExported, optimised)).toEqual([]);
  });
});
