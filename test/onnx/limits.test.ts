/** What asks for too much, or says things twice, is refused before anything of that size is made. */
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { graphBuilder } from '../../src/onnx/build.ts';
import { newNode } from '../../src/onnx/edit.ts';
import { inferShapes } from '../../src/onnx/infer.ts';
import { decodeModel, openModel } from '../../src/onnx/load.ts';
import type { Graph } from '../../src/onnx/model.ts';
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type ModelProto,
  ModelProtoSchema,
  SparseTensorProtoSchema,
  type TensorProto,
  type TensorProtoSchema,
} from '../../src/onnx/proto/onnx_pb.js';
import { encodeModel, saveModel } from '../../src/onnx/save.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { scratch } from './fixtures.ts';

function refusal(bytes: Uint8Array, options: Parameters<typeof decodeModel>[1] = {}): string {
  try {
    decodeModel(bytes, options);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(/^[^\n]{1,600}[.?]$/);
    return (error as Error).message;
  }
  throw new Error('the model was opened');
}

/** A field of bytes: its number, its length, its payload. */
function field(number: number, payload: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let left = payload.length; ; left = Math.floor(left / 128)) {
    length.push((left % 128) + (left >= 128 ? 128 : 0));
    if (left < 128) break;
  }
  return Buffer.concat([Uint8Array.from([number * 8 + 2, ...length]), payload]);
}
const GRAPH = 7;

/** y = x + w, w being a float32[2] as the initializer says. */
function withTensor(
  init: MessageInitShape<typeof TensorProtoSchema>,
  more?: (proto: ModelProto) => void,
): Uint8Array {
  const g = graphBuilder();
  const w = g.constant(tensor('float32', [2], new Float32Array(2)), 'w');
  g.output('y', g.op('Add', [g.input('x', 'float32', [2]), w]), 'float32', [2]);
  const proto = fromBinary(ModelProtoSchema, encodeModel(g.model({ opset: 18 })));
  Object.assign(proto.graph?.initializer[0] as TensorProto, init);
  more?.(proto);
  return toBinary(ModelProtoSchema, proto);
}

describe('bytes that unfold', () => {
  test('the model of these tests is sound before it is spoilt', () => {
    expect(decodeModel(withTensor({})).graph.nodes).toHaveLength(1);
  });

  test('millions of empty nodes in ten megabytes', () => {
    const nodes = new Uint8Array(10_000_000);
    for (let i = 0; i < nodes.length; i += 2) nodes[i] = 0x0a; // node, of length 0
    expect(refusal(field(GRAPH, nodes))).toMatch(/would take more than 1 GiB to read.*\d{7} parts/);
  });

  test('numbers in a typed field, thirty times as large when read', () => {
    const numbers = field(5, field(7, new Uint8Array(34_000_000)));
    expect(refusal(field(GRAPH, numbers))).toMatch(/\d{8} single numbers.*raw_data/);
  });

  test('types in types', () => {
    let type: Uint8Array = new Uint8Array();
    for (let i = 0; i < 40; i++) type = field(4, field(1, type)); // sequence_type.elem_type
    const input = field(11, field(2, type));
    expect(refusal(field(GRAPH, input))).toMatch(/elemType is nested more than 64 messages deep/);
  });

  test('a name of five thousand letters, and one that is no text', () => {
    const named = (name: Uint8Array) => field(GRAPH, field(1, field(3, name)));
    expect(refusal(named(new Uint8Array(5000).fill(0x61)))).toMatch(
      /a name of 5000 bytes \(graph\.node\.name\)/,
    );
    expect(refusal(named(Uint8Array.of(0xc3, 0x28)))).toMatch(/graph\.node\.name is not UTF-8/);
    expect(refusal(named(Uint8Array.of(0x61)))).not.toMatch(/name/);
  });

  test.each<[string, Uint8Array, RegExp]>([
    [
      'two graphs',
      Buffer.concat([field(GRAPH, new Uint8Array()), field(GRAPH, new Uint8Array())]),
      /graph stands there twice/,
    ],
    [
      'a part beyond the part around it',
      field(GRAPH, Uint8Array.of(0x0a, 0x7f, 0)),
      /graph\.node reaches beyond/,
    ],
    [
      'a number where a message belongs',
      field(GRAPH, Uint8Array.of(0x08, 1)),
      /graph\.node is of wire type 0, expected 2/,
    ],
    ['the end of a group', field(GRAPH, Uint8Array.of(0x9c, 1)), /holds the tag 156/],
    ['a number that does not end', field(GRAPH, new Uint8Array(20).fill(0x80)), /graph|reaches/],
    [
      'floats that are cut off',
      field(GRAPH, field(5, field(4, new Uint8Array(6)))),
      /floatData holds 6 bytes, no multiple of 4/,
    ],
    [
      'integers that are cut off',
      field(GRAPH, field(5, field(7, Uint8Array.of(1, 0x81)))),
      /breaks off within a number/,
    ],
  ])('%s', (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(message);
  });
});

describe('tensors', () => {
  test.each<[string, MessageInitShape<typeof TensorProtoSchema>, RegExp]>([
    ['65 dimensions', { dims: new Array(65).fill(1n) }, /has 65 dimensions, expected at most 64/],
    ['too many elements', { dims: [2n ** 62n, 2n ** 62n] }, /more elements than can be held/],
    [
      'no element, and other dimensions',
      { dims: [0n, 2n ** 40n], rawData: new Uint8Array() },
      /more elements than can/,
    ],
    ['its elements twice', { floatData: [1, 2] }, /keeps its elements in two places: floatData and rawData/],
    ['no name', { name: '' }, /an initializer without a name/],
  ])('%s', (_, init, message) => {
    expect(refusal(withTensor(init))).toMatch(message);
  });

  test.each<[string, (proto: ModelProto) => void, RegExp]>([
    [
      'sparse initializers',
      ({ graph }) => graph?.sparseInitializer.push(create(SparseTensorProtoSchema)),
      /sparse initializers/,
    ],
    [
      'an IR version of nothing',
      (proto) => {
        proto.irVersion = -1n;
      },
      /IR version -1/,
    ],
    [
      'an operator set of version 0',
      ({ opsetImport }) => {
        opsetImport.push({ ...opsetImport[0], domain: 'com.microsoft', version: 0n });
      },
      /"com\.microsoft" in the version 0/,
    ],
  ])('%s', (_, spoil, message) => {
    expect(refusal(withTensor({}, spoil))).toMatch(message);
  });
});

describe('external data', () => {
  const entry = (key: string, value: string) => ({
    $typeName: 'onnx.StringStringEntryProto' as const,
    key,
    value,
  });
  const external = (...entries: [string, string][]): MessageInitShape<typeof TensorProtoSchema> => ({
    rawData: new Uint8Array(),
    dataLocation: 1,
    externalData: entries.map(([key, value]) => entry(key, value)),
  });

  test('only the keys of the format', async () => {
    const folder = await scratch();
    await writeFile(join(folder, 'w.data'), new Uint8Array(64));
    const sound = external(['location', 'w.data'], ['offset', '0'], ['length', '8'], ['checksum', 'x']);
    expect(decodeModel(withTensor(sound), { folder }).graph.initializers.get('w')?.byteLength).toBe(8);
    const odd = external(['location', 'w.data'], ['basepath', '/etc']);
    expect(refusal(withTensor(odd), { folder })).toMatch(
      /has the key "basepath".*expected only location, offset/,
    );
  });

  test('the model file itself', async () => {
    const folder = await scratch();
    const bytes = withTensor(external(['location', 'model.onnx']));
    await writeFile(join(folder, 'model.onnx'), bytes);
    await expect(openModel(join(folder, 'model.onnx'))).rejects.toThrow(
      'said to lie in the model file itself',
    );
  });

  test('a location that no file system knows', async () => {
    const folder = await scratch();
    expect(refusal(withTensor(external(['location', 'x'.repeat(5000)])), { folder })).toMatch(/ENAMETOOLONG/);
  });

  test('tensors that overlap weigh no more than their file; tied ones share it', async () => {
    const folder = await scratch();
    await writeFile(join(folder, 'w.data'), new Uint8Array(64));
    const many = (count: number, step: number) =>
      withTensor({ dims: [12n], ...external(['location', 'w.data']) }, ({ graph }) => {
        const [w] = graph?.initializer ?? [];
        for (let i = 0; i < count; i++) {
          const externalData = [entry('location', 'w.data'), entry('offset', String(i * step))];
          graph?.initializer.push({ ...w, name: `w${i}`, externalData });
        }
      });
    expect(decodeModel(many(12, 0), { folder }).graph.initializers.size).toBe(13);
    expect(refusal(many(12, 1), { folder })).toMatch(
      /overlaps others: .* are 288 bytes long together, the file only 64/,
    );
  });

  test('where it is not followed', async () => {
    const folder = await scratch();
    await writeFile(join(folder, 'w.data'), new Uint8Array(64));
    const bytes = withTensor({}, ({ graph }) => {
      const [w] = graph?.initializer ?? [];
      const hidden = { ...w, name: 'hidden', ...external(['location', '../../secret']) } as TensorProto;
      const attribute = create(AttributeProtoSchema, { name: 'hidden', type: AttributeType.TENSORS });
      attribute.tensors = [hidden];
      graph?.node[0].attribute.push(attribute);
    });
    expect(refusal(bytes, { folder })).toMatch(/keeps external data in a tensor that is neither/);
  });

  test('a name that the model chose is not planted in the folder that is written to', async () => {
    const [from, to] = [await scratch(), await scratch()];
    const bytes = withTensor(external(['location', '.npmrc']));
    await writeFile(join(from, 'model.onnx'), bytes);
    await writeFile(join(from, '.npmrc'), new Uint8Array(8));
    await saveModel(await openModel(join(from, 'model.onnx')), join(to, 'model.onnx'));
    expect(await readdir(to)).toEqual(['model.onnx']);
    expect((await openModel(join(to, 'model.onnx'))).graph.initializers.get('w')?.tensor().data).toEqual(
      new Float32Array(2),
    );
  });

  test('tied weights are written once', async () => {
    const folder = await scratch();
    await mkdir(join(folder, 'in'));
    await writeFile(join(folder, 'in/w.data'), new Uint8Array(4096).fill(1));
    const bytes = withTensor({ dims: [1024n], ...external(['location', 'w.data']) }, ({ graph }) => {
      const [w] = graph?.initializer ?? [];
      graph?.initializer.push({ ...w, name: 'tied' });
    });
    await writeFile(join(folder, 'in/model.onnx'), bytes);
    const model = await openModel(join(folder, 'in/model.onnx'));
    await saveModel(model, join(folder, 'out.onnx'));
    expect(await readFile(join(folder, 'out.onnx.data'))).toHaveLength(4096);
    const again = await openModel(join(folder, 'out.onnx'));
    for (const name of ['w', 'tied'])
      expect(again.graph.initializers.get(name)?.tensor()).toEqual(
        model.graph.initializers.get(name)?.tensor(),
      );
  });
});

test('a pipe that nobody writes to is not waited for', async () => {
  const pipe = join(await scratch(), 'model.onnx');
  execFileSync('mkfifo', [pipe]);
  await expect(openModel(pipe)).rejects.toThrow('is not a regular file');
});

test('loops in loops are not inferred without end', () => {
  const nested = (depth: number): Graph => ({
    name: `body${depth}`,
    nodes:
      depth === 0
        ? []
        : [
            newNode(
              'Loop',
              ['', '', `s${depth}`],
              [`r${depth}`],
              [['body', { kind: 'graph', value: nested(depth - 1) }]],
            ),
          ],
    initializers: new Map(),
    inputs: ['i', 'c', 's'].map((name) => ({ name: `${name}${depth}` })),
    outputs: ['c', 's'].map((name) => ({ name: `${name}${depth}` })),
    valueInfo: new Map(),
  });
  const model = decodeModel(withTensor({}));
  model.graph.nodes.push(
    newNode('Loop', ['', '', 'x'], ['last'], [['body', { kind: 'graph', value: nested(20) }]]),
  );
  expect(inferShapes(model).get('last')).toMatchObject({ name: 'last' });
});
