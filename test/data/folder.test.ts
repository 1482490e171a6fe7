import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openFolder } from '../../src/data/folder.ts';
import { InputError } from '../../src/errors.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'folder-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const put = (name: string, content = '') => writeFileSync(join(folder, name), content);

test('the example opens whole, its data and our configuration left behind', () => {
  const opened = openFolder('examples/spam-filter');
  expect(opened.config).toEqual({
    modelType: 'bert',
    labels: ['ham', 'spam'],
    vocabularySize: 6000,
    padTokenId: 0,
    maxPositions: 128,
  });
  expect(basename(opened.modelFile)).toBe('model.onnx');
  expect(opened.tokenizerFile).toBe(join(opened.folder, 'tokenizer.json'));
  expect(opened.companions.map((file) => basename(file))).toEqual([
    'README.md',
    'config.json',
    'metrics.json',
    'special_tokens_map.json',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
});

describe('the model is', () => {
  test('model.onnx among others', () => {
    for (const name of ['model.onnx', 'model_quantized.onnx']) put(name);
    expect(openFolder(folder).modelFile).toBe(join(folder, 'model.onnx'));
  });

  test('the only .onnx file', () => {
    put('encoder.onnx');
    expect(openFolder(folder).modelFile).toBe(join(folder, 'encoder.onnx'));
  });

  test('the file that is named, with the configuration beside it', () => {
    for (const name of ['a.onnx', 'b.onnx', 'config.json']) put(name, '{"vocab_size": 7}');
    expect(openFolder(join(folder, 'b.onnx'))).toMatchObject({
      modelFile: join(folder, 'b.onnx'),
      config: { vocabularySize: 7 },
    });
  });

  test.each(['', 'onnx/model.onnx'])(
    'in a folder named onnx, with the configuration above it: %o',
    (path) => {
      mkdirSync(join(folder, 'onnx'));
      put('onnx/model.onnx');
      put('config.json', '{"vocab_size": 7}');
      expect(openFolder(join(folder, path))).toMatchObject({
        modelFile: join(folder, 'onnx', 'model.onnx'),
        folder,
        config: { vocabularySize: 7 },
      });
    },
  );

  test('alone, without configuration or tokenizer', () => {
    put('model.onnx');
    const opened = openFolder(join(folder, 'model.onnx'));
    expect(opened).toEqual({ modelFile: join(folder, 'model.onnx'), folder, companions: [] });
  });
});

test('companions are neither weights nor rows, nor anything from outside', () => {
  const kept = ['LICENSE', 'merges.txt', 'spiece.model', 'vocab.txt'];
  const left = [
    [
      'model.onnx',
      'model.onnx_data',
      'model.onnx.data',
      'weights.safetensors',
      'pytorch_model.bin',
      'flax_model.msgpack',
    ],
    ['train.jsonl', 'test.csv', 'test.tsv', 'all.parquet', 'ziplm.yml', 'ziplm-gpu.yaml', '.gitattributes'],
  ].flat();
  for (const name of [...kept, ...left]) put(name);
  mkdirSync(join(folder, 'runs'));
  symlinkSync('vocab.txt', join(folder, 'alias.txt'));
  symlinkSync('/etc/hostname', join(folder, 'secret.txt'));
  symlinkSync('nowhere', join(folder, 'dangling.txt'));
  expect(openFolder(folder).companions).toEqual(
    [...kept, 'alias.txt'].sort().map((name) => join(folder, name)),
  );
});

describe('config.json is read leniently', () => {
  const configOf = (config: unknown) => {
    put('model.onnx');
    put('config.json', JSON.stringify(config));
    return openFolder(folder).config;
  };

  test.each([
    ['ids in any order', { id2label: { 1: 'b', 0: 'a', 2: 'c' } }, { labels: ['a', 'b', 'c'] }],
    ['only names to ids', { label2id: { b: 1, a: 0 } }, { labels: ['a', 'b'] }],
    ['ids with a gap', { id2label: { 0: 'a', 2: 'c' } }, {}],
    ['nothing known', { vocab_size: '30', pad_token_id: null, id2label: null, model_type: 3 }, {}],
    ['other names for positions', { n_positions: 1024 }, { maxPositions: 1024 }],
    ['text inside a larger model', { text_config: { vocab_size: 9 } }, { vocabularySize: 9 }],
  ])('%s', (_, config, read) => {
    expect(configOf(config)).toEqual(read);
  });

  test.each([
    ['not JSON', '{', /config\.json is not JSON/],
    ['no object', '[1]', /config\.json should hold a JSON object/],
  ])('but not when it is %s', (_, text, message) => {
    put('model.onnx');
    put('config.json', text);
    expect(() => openFolder(folder)).toThrow(message);
    expect(() => openFolder(folder)).toThrow(InputError);
  });
});

describe('what is refused', () => {
  test.each([
    ['a path that is not there', () => join(folder, 'none'), /there is no file or folder ".*none"/],
    ['a folder without a model', () => folder, /holds no \.onnx file/],
    [
      'a folder of several models',
      () => {
        for (const name of ['b.onnx', 'a.onnx']) put(name);
        return folder;
      },
      /holds 2 \.onnx files \(a\.onnx, b\.onnx\) and none is model\.onnx/,
    ],
  ])('%s', (_, path, message) => {
    const name = path();
    expect(() => openFolder(name)).toThrow(message);
    expect(() => openFolder(name)).toThrow(InputError);
  });
});
