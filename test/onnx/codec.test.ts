/** load∘save is the identity; what opening and saving must not do on the way. */
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { codeOf } from '../../src/onnx/elements.ts';
import { decodeModel, openModel } from '../../src/onnx/load.ts';
import type { Attribute, Graph, Model, Node } from '../../src/onnx/model.ts';
import { printGraph } from '../../src/onnx/print.ts';
import { ModelProtoSchema, TensorProtoSchema } from '../../src/onnx/proto/onnx_pb.js';
import { encodeModel, saveModel, storedTensor } from '../../src/onnx/save.ts';
import { arrayOf, type DataType, sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { encoder } from '../models/encoder.ts';
import { cases, fixture, scratch } from './fixtures.ts';

describe('identity', () => {
  test('all twenty fixtures are there', () => {
    expect(cases).toHaveLength(20);
  });

  test.each(cases)('$name: load then save gives the same bytes', async ({ folder, file, path }) => {
    const target = await scratch();
    await saveModel(await openModel(path), join(target, file));
    const files = (await readdir(folder)).filter((name) => name.startsWith(file)).sort();
    expect((await readdir(target)).sort()).toEqual(files);
    for (const name of files) {
      const same = (await readFile(join(target, name))).equals(await readFile(join(folder, name)));
      expect(same, name).toBe(true);
    }
  });

  test.each(cases)('$name: put into one file, every tensor is as it was', async ({ path }) => {
    const model = await openModel(path);
    const again = decodeModel(encodeModel(model));
    expect([...again.graph.initializers.keys()]).toEqual([...model.graph.initializers.keys()]);
    for (const [name, stored] of model.graph.initializers) {
      expect(again.graph.initializers.get(name)?.tensor(), name).toEqual(stored.tensor());
    }
  });
});

describe('random models survive', () => {
  const name = fc.string({ minLength: 1, maxLength: 8 });
  const types = Object.keys(arrayOf) as DataType[];
  const anyTensor: fc.Arbitrary<Tensor> = fc
    .record({
      type: fc.constantFrom(...types),
      shape: fc.array(fc.nat(3), { maxLength: 3 }),
      seed: fc.nat(255),
    })
    .map(({ type, shape, seed }) => {
      const data = new arrayOf[type](sizeOf(shape));
      // Any bytes are elements, NaNs of any payload among them.
      new Uint8Array(data.buffer).forEach((_, i, bytes) => {
        bytes[i] = seed * 31 + i * 17;
      });
      return tensor(type, shape, data as never);
    });
  const dim = fc.oneof(fc.nat(), name, fc.constant(undefined));
  const info = fc.record({ name, type: fc.constantFrom(...types), shape: fc.array(dim, { maxLength: 4 }) });
  const text = name.map((value) => new TextEncoder().encode(value));
  const int = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const float = fc.float({ noNaN: true });
  const { graph } = fc.letrec<{ graph: Graph; node: Node; attribute: Attribute }>((tie) => ({
    attribute: fc.oneof(
      { depthSize: 'small', maxDepth: 2 },
      fc.record({ kind: fc.constant('int' as const), value: int }),
      fc.record({ kind: fc.constant('float' as const), value: float }),
      fc.record({ kind: fc.constant('string' as const), value: text }),
      fc.record({ kind: fc.constant('ints' as const), value: fc.array(int) }),
      fc.record({ kind: fc.constant('floats' as const), value: fc.array(float) }),
      fc.record({ kind: fc.constant('strings' as const), value: fc.array(text) }),
      fc.record({ kind: fc.constant('tensor' as const), value: anyTensor.map(storedTensor) }),
      fc.record({ kind: fc.constant('graph' as const), value: tie('graph') }),
    ),
    node: fc.record({
      name: fc.oneof(name, fc.constant('')),
      opType: name,
      domain: fc.constantFrom('', 'com.microsoft'),
      inputs: fc.array(fc.oneof(name, fc.constant('')), { maxLength: 3 }),
      outputs: fc.array(name, { maxLength: 2 }),
      attributes: fc
        .uniqueArray(fc.tuple(name, tie('attribute')), { selector: ([key]) => key, maxLength: 3 })
        .map((entries) => new Map(entries)),
    }),
    graph: fc.record({
      name,
      nodes: fc.array(tie('node'), { maxLength: 3 }),
      initializers: fc
        .uniqueArray(fc.tuple(name, anyTensor.map(storedTensor)), { selector: ([key]) => key, maxLength: 3 })
        .map((entries) => new Map(entries)),
      inputs: fc.array(info, { maxLength: 2 }),
      outputs: fc.array(info, { maxLength: 2 }),
      valueInfo: fc
        .uniqueArray(info, { selector: (one) => one.name, maxLength: 2 })
        .map((infos) => new Map(infos.map((one) => [one.name, one]))),
    }),
  }));
  const anyModel: fc.Arbitrary<Model> = fc.record({
    irVersion: fc.integer({ min: 3, max: 12 }),
    opsets: fc.integer({ min: 11, max: 24 }).map(
      (version) =>
        new Map([
          ['', version],
          ['com.microsoft', 1],
        ]),
    ),
    graph,
    functions: fc.constant([]),
    metadata: fc.dictionary(name, name).map((entries) => new Map(Object.entries(entries))),
  });

  /** A model as plain data: tensors read, what the form does not model left out. */
  function plain(value: unknown): unknown {
    if (value instanceof Map) return [...value].map(([key, one]) => [key, plain(one)]);
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== 'object' || ArrayBuffer.isView(value)) return bytesOf(value);
    if ('byteLength' in value && 'tensor' in value) {
      const { type, shape, data } = (value as { tensor(): Tensor }).tensor();
      return { type, shape, data: bytesOf(data) };
    }
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key, one]) => key !== 'rest' && one !== undefined)
        .map(([key, one]) => [key, plain(one)]),
    );
  }

  /** Bytes rather than numbers: NaN payloads and signed zeros count. */
  function bytesOf(value: unknown): unknown {
    if (Object.is(value, -0)) return '-0';
    return ArrayBuffer.isView(value)
      ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')
      : value;
  }

  test('encode then decode gives the same model, and encoding that gives the same bytes', () => {
    fc.assert(
      fc.property(anyModel, (model) => {
        const bytes = encodeModel(model);
        const again = decodeModel(bytes);
        expect(plain(again)).toEqual(plain(model));
        expect(Buffer.from(encodeModel(again)).equals(bytes)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('a file cut off anywhere, or with a byte changed, is refused or still a model: never another error', () => {
    const bytes = encodeModel(encoder({ hidden: 4, heads: 1, intermediate: 3, vocabulary: 4, positions: 4 }));
    const isHandled = (hostile: Uint8Array) => {
      try {
        decodeModel(hostile);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    };
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        expect(() => decodeModel(bytes.slice(0, at))).toThrow(InputError);
        isHandled(bytes.with(at, byte));
      }),
      { numRuns: 300 },
    );
  });
});

describe('tensors', () => {
  const decoded = (fields: MessageInitShape<typeof TensorProtoSchema>) => {
    const proto = create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [{ version: 18n }],
      graph: { initializer: [create(TensorProtoSchema, { ...fields, name: 't' })] },
    });
    const stored = decodeModel(toBinary(ModelProtoSchema, proto)).graph.initializers.get('t');
    if (!stored) throw new Error('the tensor is gone');
    return stored;
  };

  test.each([
    ['float32', { floatData: [1.5, -2] }, Float32Array.of(1.5, -2)],
    ['float64', { doubleData: [1.5, -2] }, Float64Array.of(1.5, -2)],
    ['int64', { int64Data: [-(2n ** 62n), 3n] }, BigInt64Array.of(-(2n ** 62n), 3n)],
    ['uint64', { uint64Data: [2n ** 63n, 3n] }, BigUint64Array.of(2n ** 63n, 3n)],
    ['uint32', { uint64Data: [2n ** 31n, 3n] }, Uint32Array.of(2 ** 31, 3)],
    ['int32', { int32Data: [-7, 3] }, Int32Array.of(-7, 3)],
    ['int16', { int32Data: [-7, 3] }, Int16Array.of(-7, 3)],
    ['uint16', { int32Data: [65535, 3] }, Uint16Array.of(65535, 3)],
    ['int8', { int32Data: [-7, 3] }, Int8Array.of(-7, 3)],
    ['uint8', { int32Data: [200, 3] }, Uint8Array.of(200, 3)],
    ['bool', { int32Data: [1, 0] }, Uint8Array.of(1, 0)],
    ['float16', { int32Data: [0x3c00, 0x8000] }, Uint16Array.of(0x3c00, 0x8000)],
    ['bfloat16', { int32Data: [0x3f80, 0x8000] }, Uint16Array.of(0x3f80, 0x8000)],
  ] as const)('%s is read from its typed field', (type, field, data) => {
    const stored = decoded({ dims: [2n], dataType: codeOf(type), ...field } as never);
    expect(stored.tensor()).toEqual({ type, shape: [2], data });
    expect(stored.byteLength).toBe(data.byteLength);
  });

  test('strings and narrow elements are carried, and say so when read', () => {
    const texts = decoded({ dims: [1n], dataType: 8, stringData: [Uint8Array.of(104, 105)] } as never);
    expect([texts.type, texts.byteLength]).toEqual(['string', 2]);
    expect(() => texts.tensor()).toThrow('"t" has elements of type string, which cannot be read');
    expect(decoded({ dims: [3n], dataType: 22, rawData: Uint8Array.of(1, 2) } as never).byteLength).toBe(2);
  });

  test.each([
    [
      'fewer elements than its shape',
      { dims: [3n], dataType: 1, floatData: [1] },
      'needs 3 elements, the file has 1',
    ],
    [
      'fewer bytes than its shape',
      { dims: [3n], dataType: 1, rawData: new Uint8Array(4) },
      'needs 12 bytes, the file has 4',
    ],
    [
      'a size that overflows',
      { dims: [2n ** 62n, 4n], dataType: 1, rawData: new Uint8Array(0) },
      'more elements than can be held',
    ],
    ['a negative dimension', { dims: [-1n], dataType: 1 }, 'negative dimension'],
    ['an unknown type', { dims: [0n], dataType: 99 }, 'unknown element type 99'],
  ])('%s is refused', (_, fields, message) => {
    expect(() => decoded(fields as never)).toThrow(InputError);
    expect(() => decoded(fields as never)).toThrow(message);
  });

  test('weights are views of the file: opening copies none, reading copies only the unaligned', async () => {
    const bytes = new Uint8Array(await readFile(fixture('bert-optimum').path));
    const model = decodeModel(bytes);
    let shared = 0;
    for (const stored of model.graph.initializers.values()) {
      const { data } = stored.tensor();
      if (data.buffer === bytes.buffer) shared++;
      expect(data.byteOffset % data.BYTES_PER_ELEMENT).toBe(0);
    }
    expect(shared).toBeGreaterThan(0);
  });
});

describe('saving', () => {
  const changed = async (name: string) => {
    const model = await openModel(fixture(name).path);
    const [key, stored] =
      [...model.graph.initializers].find(([, { shape }]) => shape.join() === '48,40') ?? [];
    if (key === undefined || !stored) throw new Error('no FFN matrix');
    const { data } = stored.tensor() as Tensor<'float32'>;
    model.graph.initializers.set(
      key,
      storedTensor(
        tensor(
          'float32',
          [48, 40],
          data.map((value) => 2 * value),
        ),
      ),
    );
    return { model, key };
  };

  test('a changed model with external data keeps it external, under the name that goes with the file', async () => {
    const { model, key } = await changed('bert-external-data');
    const target = await scratch();
    await saveModel(model, join(target, 'small.onnx'));
    expect((await readdir(target)).sort()).toEqual(['small.onnx', 'small.onnx_data']);
    const again = await openModel(join(target, 'small.onnx'));
    for (const [name, stored] of model.graph.initializers) {
      expect(again.graph.initializers.get(name)?.tensor(), name).toEqual(stored.tensor());
    }
    const before = (await openModel(fixture('bert-external-data').path)).graph.initializers
      .get(key)
      ?.tensor();
    expect(again.graph.initializers.get(key)?.tensor()).not.toEqual(before);
  });

  test('a model is saved over the files it was opened from', async () => {
    const { folder, file } = fixture('bert-external-data');
    const target = await scratch();
    for (const name of [file, `${file}_data`]) await copyFile(join(folder, name), join(target, name));
    const model = await openModel(join(target, file));
    const [key] = [...model.graph.initializers].find(([, { shape }]) => shape.join() === '48,40') ?? [''];
    const zero = storedTensor(tensor('float32', [48, 40], new Float32Array(48 * 40)));
    const others = [...model.graph.initializers]
      .filter(([name]) => name !== key)
      .map(([name, stored]) => [name, stored.tensor()] as const);
    model.graph.initializers.set(key, zero);
    await saveModel(model, join(target, file));
    const again = await openModel(join(target, file));
    expect(again.graph.initializers.get(key)?.tensor()).toEqual(zero.tensor());
    for (const [name, value] of others)
      expect(again.graph.initializers.get(name)?.tensor(), name).toEqual(value);
    expect(await readdir(target)).toHaveLength(2);
  });

  test('an untouched model under another name does not overwrite the weights that lie there', async () => {
    const { folder, file, path } = fixture('bert-external-data');
    const target = await scratch();
    await writeFile(join(target, `${file}_data`), 'of another model');
    await saveModel(await openModel(path), join(target, 'copy.onnx'));
    expect(await readFile(join(target, `${file}_data`), 'utf8')).toBe('of another model');
    const again = await openModel(join(target, 'copy.onnx'));
    for (const [name, stored] of (await openModel(join(folder, file))).graph.initializers) {
      expect(again.graph.initializers.get(name)?.tensor(), name).toEqual(stored.tensor());
    }
  });

  test('external: true moves weights out, external: false brings them in', async () => {
    const target = await scratch();
    const model = await openModel(fixture('bert-optimum').path);
    await saveModel(model, join(target, 'out.onnx'), { external: true });
    expect((await readdir(target)).sort()).toEqual(['out.onnx', 'out.onnx.data']);
    const out = await openModel(join(target, 'out.onnx'));
    await saveModel(out, join(target, 'in.onnx'), { external: false });
    expect(
      (await readFile(join(target, 'in.onnx'))).equals(await readFile(fixture('bert-optimum').path)),
    ).toBe(true);
  });

  test('what is changed of an opened model is saved, and only that', async () => {
    const model = await openModel(fixture('bert-dynamo18').path);
    const text = printGraph(model.graph);
    model.opsets.set('com.microsoft', 1);
    model.metadata.set('ziplm', '2x');
    model.graph.name = 'renamed';
    const [first] = model.graph.inputs;
    model.graph.inputs[0] = { ...first, shape: ['rows', 7] };
    const again = decodeModel(encodeModel(model));
    expect([...again.opsets]).toEqual([...model.opsets]);
    expect([...again.metadata]).toEqual([...model.metadata]);
    expect(again.graph.inputs[0]).toMatchObject({ name: first.name, type: 'int64', shape: ['rows', 7] });
    expect(printGraph(again.graph)).toBe(printGraph(model.graph));
    expect(printGraph(again.graph).split('\n').slice(1)).toEqual(text.split('\n').slice(1));
  });

  test('nothing is left behind when saving fails', async () => {
    const target = await scratch();
    const model = await openModel(fixture('bert-optimum').path);
    model.graph.initializers.set('broken', {
      type: 'float32',
      shape: [1],
      byteLength: 4,
      tensor() {
        throw new InputError('unreadable');
      },
    });
    await expect(saveModel(model, join(target, 'model.onnx'))).rejects.toThrow('unreadable');
    expect(await readdir(target)).toEqual([]);
    await expect(saveModel(model, join(target, 'no/such/folder/model.onnx'))).rejects.toThrow(InputError);
  });
});
