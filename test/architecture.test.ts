import { globSync, readFileSync } from 'node:fs';
import { sep } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cycle, doors, floors, importsOf, localImports, packageOf, roomOf, violations } from './house.ts';

const root = new URL('../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const files = globSync('**/*.{ts,js}', { cwd: new URL('src/', root) }).map((file) =>
  file.replaceAll(sep, '/'),
);

describe('src obeys the law of the house', () => {
  test('there is something to check', () => {
    expect(files).toContain('errors.ts');
    expect(files.filter((file) => file.startsWith('tensor/'))).not.toEqual([]);
  });

  test.each(files)('%s', (file) => {
    expect(violations(file, read(`src/${file}`))).toEqual([]);
  });

  test('no file imports itself by way of others', () => {
    expect(
      cycle(new Map(files.map((file) => [file, localImports(file, read(`src/${file}`))]))),
    ).toBeUndefined();
  });

  test('every dependency has a door, and every door leads to a dependency', () => {
    // All but ONNX Runtime is bundled, and therefore needed by developers only.
    const { dependencies, devDependencies } = JSON.parse(read('package.json'));
    const all = Object.keys({ ...dependencies, ...devDependencies });
    for (const name of Object.keys(dependencies)) expect(Object.keys(doors)).toContain(name);
    for (const name of Object.keys(doors)) expect(all).toContain(name);
    const used = new Set(files.flatMap((file) => importsOf(read(`src/${file}`))).map(packageOf));
    for (const name of Object.keys(doors)) expect(used).toContain(name);
  });

  test('docs/architecture.md has every floor, in order, with its rooms', () => {
    const rows = read('docs/architecture.md')
      .split('\n')
      .filter((line) => /^\| \d+ \|/.test(line))
      .map((line) => [...line.split('|')[2].matchAll(/`([^`]+)`/g)].map(([, name]) => name));
    expect(rows).toEqual(floors);
  });

  test('every room that exists has a floor', () => {
    for (const room of new Set(files.map(roomOf))) expect(floors.flat()).toContain(room);
  });
});

describe('the law catches', () => {
  test.each([
    ['an import up', 'tensor/a.ts', "import { x } from '../onnx/b.ts';", 'tensor/a.ts imports onnx/b.ts: up'],
    [
      'an import sideways',
      'data/a.ts',
      "import { x } from '../runtime/b.ts';",
      'data/a.ts imports runtime/b.ts: sideways',
    ],
    [
      'a type from above',
      'record.ts',
      "import type { X } from './ziplm.ts';",
      'record.ts imports ziplm.ts: up',
    ],
    [
      'a re-export over several lines',
      'onnx/a.ts',
      "export {\n  x,\n  y,\n} from '../prune/b.ts';",
      'onnx/a.ts imports prune/b.ts: up',
    ],
    [
      'a dynamic import',
      'ziplm.ts',
      "const { x } = await import('./cli.ts');",
      'ziplm.ts imports cli.ts: up',
    ],
    [
      'an import type expression',
      'tensor/a.ts',
      "let x: import('../onnx/b.ts').X;",
      'tensor/a.ts imports onnx/b.ts: up',
    ],
    ['a side effect', 'prune/a.ts', "import '../train/b.ts';", 'prune/a.ts imports train/b.ts: sideways'],
    [
      'a package at the wrong door',
      'prune/a.ts',
      "import type { Tensor } from 'onnxruntime-node';",
      'prune/a.ts imports onnxruntime-node, whose door is runtime/',
    ],
    [
      'a subpath of a package',
      'report/a.ts',
      "import { create } from '@bufbuild/protobuf/wire';",
      'report/a.ts imports @bufbuild/protobuf, whose door is onnx/',
    ],
    [
      'a package that is required by hand',
      'data/a.ts',
      "const ort = createRequire(import.meta.url)('onnxruntime-node');",
      'data/a.ts imports onnxruntime-node, whose door is runtime/',
    ],
    [
      'a package without a door',
      'data/a.ts',
      "const _ = require('lodash');",
      'data/a.ts imports lodash, whose door is nowhere',
    ],
    [
      'a way out of src',
      'cli.ts',
      "import { x } from '../test/a.ts';",
      'cli.ts imports ../test/a.ts, which is outside src',
    ],
    [
      'a file in no room',
      'helpers.ts',
      '',
      'helpers.ts is in no room of the house: give "helpers.ts" a floor in test/house.ts',
    ],
    [
      'an import of no room',
      'cli.ts',
      "import { x } from './utils/a.ts';",
      'cli.ts imports utils/a.ts: into no room',
    ],
  ])('%s', (_, file, source, sentence) => {
    expect(violations(file, source)).toEqual([sentence]);
  });

  test('a cycle, and names it', () => {
    const imports = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', []],
      ['d', ['b']],
    ]);
    expect(cycle(imports)).toEqual(['b', 'd', 'b']);
    expect(
      cycle(
        new Map([
          ['a', ['b', 'c']],
          ['b', ['c']],
        ]),
      ),
    ).toBeUndefined();
  });
});

describe('the law lets pass', () => {
  test.each([
    ['own room', 'onnx/a.ts', "import { x } from './b.ts';"],
    ['a lower floor', 'prune/a.ts', "import { x } from '../tensor/b.ts';\nimport { y } from '../errors.ts';"],
    ['the platform', 'data/a.ts', "import { readFileSync } from 'node:fs';"],
    ['the door', 'config.ts', "import { z } from 'zod';"],
    ['the recipe its record', 'ziplm.ts', "import type { X } from './record.ts';"],
  ])('%s', (_, file, source) => {
    expect(importsOf(source)).not.toEqual([]);
    expect(violations(file, source)).toEqual([]);
  });
});
