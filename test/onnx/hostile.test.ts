/** What bad files get: one sentence that names them, before anything is read that should not be. */
import { execFileSync } from 'node:child_process';
import {
  appendFile,
  copyFile,
  link,
  mkdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { graphBuilder } from '../../src/onnx/build.ts';
import { decodeModel, openModel } from '../../src/onnx/load.ts';
import { ModelProtoSchema } from '../../src/onnx/proto/onnx_pb.js';
import { encodeModel, saveModel } from '../../src/onnx/save.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { fixture, scratch } from './fixtures.ts';

async function refusal(file: string): Promise<string> {
  try {
    await openModel(file);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    const { message } = error as Error;
    expect(message).toMatch(/^[^\n]+[.?]$/);
    return message;
  }
  throw new Error(`${file} was opened`);
}

describe('files that are not models', () => {
  test('no such file', async () => {
    expect(await refusal('/no/such/model.onnx')).toBe('there is no file /no/such/model.onnx.');
  });

  test.each([
    ['text', 'Hello, this is a README.', 'not an ONNX file'],
    ['JSON', '{"model": 1}', 'not an ONNX file'],
    ['HTML', '<!doctype html>', 'not an ONNX file'],
    ['a zip archive', 'PK\u0003\u0004\u0014\u0000', 'not an ONNX file'],
    ['nothing', '', 'is empty'],
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n',
      'git lfs pull',
    ],
  ])('%s', async (_, content, message) => {
    const file = join(await scratch(), 'model.onnx');
    await writeFile(file, content);
    expect(await refusal(file)).toContain(message);
  });

  test('a folder', async () => {
    expect(await refusal(await scratch())).toContain('is a folder');
  });

  test('a truncated model says where it ends', async () => {
    const file = join(await scratch(), 'model.onnx');
    await copyFile(fixture('bert-optimum').path, file);
    await truncate(file, 100_000);
    expect(await refusal(file)).toMatch(
      /model\.onnx is truncated: it ends at byte 100000, inside a part that reaches to byte \d+/,
    );
  });

  test('a truncation between two parts is found too', async () => {
    const bytes = await readFile(fixture('bert-optimum').path);
    // The graph is the last long part: what follows it is the opset.
    const whole = encodeModel(decodeModel(bytes));
    const message = (end: number) => {
      try {
        decodeModel(whole.slice(0, end));
      } catch (error) {
        return (error as Error).message;
      }
      return 'opened';
    };
    const endings = new Set(Array.from({ length: 12 }, (_, i) => message(whole.length - 1 - i)));
    expect(endings).not.toContain('opened');
    expect([...endings].some((ending) => ending.includes('does not say which opset'))).toBe(true);
  });

  test('opsets from 11 to 24', () => {
    const model = (opset: number) => {
      const g = graphBuilder();
      g.output('y', g.op('Relu', [g.input('x', 'float32', [1])]), 'float32', [1]);
      return encodeModel(g.model({ opset }));
    };
    for (const opset of [11, 18, 24]) expect(decodeModel(model(opset)).opsets.get('')).toBe(opset);
    for (const opset of [10, 25])
      expect(() => decodeModel(model(opset))).toThrow(
        `uses opset ${opset}; export it with one from 11 to 24`,
      );
  });
});

describe('external data', () => {
  /** A model of one external tensor that lies where `location` says, beside a file of weights. */
  async function attack(location: string, entry: { offset?: string; length?: string } = {}): Promise<string> {
    const folder = join(await scratch(), 'model');
    await mkdir(folder);
    const g = graphBuilder();
    const w = g.constant(tensor('float32', [1024], new Float32Array(1024).fill(7)), 'w');
    g.output('y', g.op('Add', [g.input('x', 'float32', [1024]), w]), 'float32', [1024]);
    const file = join(folder, 'model.onnx');
    await saveModel(g.model({ opset: 18 }), file, { external: true });
    // Rewrite the entries of the model as it stands on the disk.
    const proto = fromBinary(ModelProtoSchema, await readFile(file));
    const external = proto.graph?.initializer[0].externalData ?? [];
    expect(external.map(({ key }) => key)).toEqual(['location', 'offset', 'length']);
    for (const one of external) {
      if (one.key === 'location') one.value = location;
      if (one.key === 'offset' && entry.offset !== undefined) one.value = entry.offset;
      if (one.key === 'length' && entry.length !== undefined) one.value = entry.length;
    }
    await writeFile(file, toBinary(ModelProtoSchema, proto));
    return file;
  }
  const beside = (file: string, name: string) => join(file, '..', name);

  test('the model of these tests is sound before it is attacked', async () => {
    const model = await openModel(await attack('model.onnx.data'));
    expect(model.graph.initializers.get('w')?.tensor().data[1023]).toBe(7);
  });

  test('missing', async () => {
    const file = await attack('model.onnx.data');
    await rm(beside(file, 'model.onnx.data'));
    expect(await refusal(file)).toBe(
      'model.onnx: the external data of "w" is missing: there is no file "model.onnx.data" beside the model.',
    );
  });

  test.each([
    '../secret',
    'a/../../secret',
    '/etc/passwd',
    'C:\\secret',
    '\\\\host\\share',
    '..\\secret',
    'a//b',
    'a\0b',
  ])('outside the folder: %j', async (location) => {
    const file = await attack(location);
    await writeFile(join(file, '../../secret'), new Uint8Array(4096));
    expect(await refusal(file)).toContain("lies outside the model's folder");
  });

  test('through a symbolic link, as the file or on the way to it', async () => {
    const file = await attack('link.data');
    await symlink(beside(file, 'model.onnx.data'), beside(file, 'link.data'));
    expect(await refusal(file)).toContain('symbolic link');
    const second = await attack('sub/model.onnx.data');
    await symlink('.', beside(second, 'sub'));
    expect(await refusal(second)).toContain('reached through a symbolic link ("sub")');
  });

  test('a hard link, a folder, a pipe, a device behind a link', async () => {
    const file = await attack('hard.data');
    await link(beside(file, 'model.onnx.data'), beside(file, 'hard.data'));
    expect(await refusal(file)).toContain('hard link');
    const folder = await attack('sub');
    await mkdir(beside(folder, 'sub'));
    expect(await refusal(folder)).toContain('not a regular file');
    const pipe = await attack('pipe');
    execFileSync('mkfifo', [beside(pipe, 'pipe')]);
    expect(await refusal(pipe)).toContain('not a regular file');
    const device = await attack('zero');
    await symlink('/dev/zero', beside(device, 'zero'));
    expect(await refusal(device)).toContain('symbolic link');
  });

  test.each([
    [{ offset: '1' }, 'ends at byte 4097 of "model.onnx.data", which has only 4096 bytes'],
    [{ offset: '9223372036854775807' }, 'has only 4096 bytes'],
    [{ length: '8192' }, 'is 8192 bytes long, but its type and shape need 4096'],
    [{ length: '4' }, 'is 4 bytes long, but its type and shape need 4096'],
    [{ offset: '-4' }, 'has the offset "-4"'],
    [{ offset: '1e3' }, 'has the offset "1e3"'],
    [{ offset: '99999999999999999999' }, 'which is not a whole number of bytes'],
  ])('a range that is not inside the file: %j', async (entry, message) => {
    expect(await refusal(await attack('model.onnx.data', entry))).toContain(message);
  });

  test('the file must still be the one that was checked when it is read', async () => {
    const file = await attack('model.onnx.data');
    const model = await openModel(file);
    await appendFile(beside(file, 'model.onnx.data'), 'more');
    expect(() => model.graph.initializers.get('w')?.tensor()).toThrow(
      'was changed after the model was opened',
    );
    await rm(beside(file, 'model.onnx.data'));
    await symlink('/dev/zero', beside(file, 'model.onnx.data'));
    expect(() => model.graph.initializers.get('w')?.tensor()).toThrow('symbolic link');
  });

  test('bytes without a folder have no external data', async () => {
    const bytes = await readFile(await attack('model.onnx.data'));
    expect(() => decodeModel(bytes)).toThrow('open the model by its file');
  });
});
