import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { InputError } from '../src/errors.ts';
import { parseRecord, type RunRecord, readRecord, recordJsonSchema, writeRecord } from '../src/record.ts';
import { recovered, sample } from './report/sample.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ziplm-record-'));
});
afterEach(() => rm(folder, { recursive: true }));

type Path = readonly (string | number)[];

/** The sample with one place of it set to another value. */
function bent(path: Path, value: unknown): unknown {
  const copy = structuredClone(sample) as unknown;
  const parent = path.slice(0, -1).reduce((at, key) => Object(at)[key], copy);
  Object(parent)[path[path.length - 1]] = value;
  return copy;
}

describe('parseRecord', () => {
  test('takes a record, and its text, as they are', () => {
    expect(parseRecord(structuredClone(sample))).toEqual(sample);
    expect(parseRecord(JSON.stringify(sample))).toEqual(sample);
    expect(parseRecord(recovered(sample))).toEqual(recovered(sample));
  });

  test('refuses a curve that goes back, or beyond the steps that were done', () => {
    const { train } = recovered(sample).targets[0];
    for (const curve of [
      [
        { step: 5, loss: 1 },
        { step: 5, loss: 1 },
      ],
      [{ step: 61, loss: 1 }],
    ]) {
      const record = bent(['targets', 0, 'train'], { ...train, curve });
      expect(() => parseRecord(record)).toThrow(/targets\[0\]\.train should be curves whose steps rise/);
    }
  });

  const target = (...rest: Path): Path => ['targets', 0, ...rest];
  const cases: readonly (readonly [what: string, at: Path, value: unknown, message: RegExp])[] = [
    ['another schema', ['schema'], 'ziplm/run/2', /schema should be "ziplm\/run\/1", got "ziplm\/run\/2"/],
    ['a missing field', ['dense', 'metric'], undefined, /dense\.metric should be an object, got nothing/],
    ['a wrong type', ['targets', 1, 'rounds'], '8', /targets\[1\]\.rounds should be a number, got "8"/],
    ['an unknown key', target('color'), 1, /targets\[0\] should be without the unknown key "color"/],
    [
      'a made-up status',
      target('status'),
      'great',
      /status should be "met" or "missed" or "incon.*, got "great"/,
    ],
    ['a target of 1', target('target'), 1, /targets\[0\]\.target should be more than 1, got 1/],
    ['NaN', ['fixedMs'], Number.NaN, /fixedMs should be a number, got NaN/],
    ['three groups', target('groups'), 3, /groups should be 1 or 2, got 3/],
    [
      'a point outside its interval',
      ['dense', 'latencyMs', 'low'],
      200,
      /dense\.latencyMs should be an interval/,
    ],
    [
      'met below the target',
      target('speedup', 'low'),
      1.2499,
      /speedup\.low should be a lower end .* got 1\.2499/,
    ],
    [
      'more kept than there were',
      target('blocks', 0, 'kept'),
      13,
      /targets\[0\]\.blocks\[0\] should be at most/,
    ],
    ['indices that do not match', target('blocks', 0, 'keptIndices'), [1], /as many indices as are kept/],
    [
      'a hash cut short',
      ['model', 'sha256'],
      'abc',
      /model\.sha256 should be 64 hexadecimal digits, got "abc"/,
    ],
    ['a time without a zone', ['createdAt'], 'yesterday', /createdAt should be a time in UTC/],
    [
      'a path that leaves',
      target('file'),
      '2x/../../etc/passwd',
      /targets\[0\]\.file should be a relative path/,
    ],
    [
      'an absolute path',
      target('file'),
      '/etc/passwd',
      /stays inside the output folder, got "\/etc\/passwd"/,
    ],
    ['a path with backslashes', target('file'), '..\\x', /stays inside the output folder/],
    ['a name without end', ['name'], 'x'.repeat(5000), /name should be at most 4096 characters/],
    [
      'a key with control characters',
      ['seconds'],
      { '\u001b[31m': -1 },
      /seconds\["\\u001b\[31m"\] should be at least 0/,
    ],
  ];
  test.each(cases)('refuses %s in one sentence', (_, at, value, message) => {
    expect(() => parseRecord(bent(at, value), 'ci/run.json')).toThrow(InputError);
    expect(() => parseRecord(bent(at, value), 'ci/run.json')).toThrow(message);
    expect(() => parseRecord(bent(at, value), 'ci/run.json')).toThrow(/^record: ci\/run\.json: /);
  });

  test('refuses whatever else JSON can hold, and never with another error', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => parseRecord(value)).toThrow(InputError);
        expect(() => parseRecord(JSON.stringify(value))).toThrow(InputError);
      }),
    );
  });

  test('refuses a record with any one leaf replaced by null', () => {
    for (const path of leaves(sample)) {
      if (path[0] === 'configuration') continue;
      const broken = bent(path, null);
      expect(() => parseRecord(broken), path.join('.')).toThrow(InputError);
    }
  });

  test('says that text is not JSON', () => {
    expect(() => parseRecord('{"schema":', 'a.json')).toThrow(
      /^record: a\.json should be JSON, got something else/,
    );
  });
});

describe('files', () => {
  test('reading gives back what was written, and nothing else is left in the folder', async () => {
    const file = join(folder, 'run.json');
    await writeRecord(file, sample);
    await writeRecord(file, { ...sample, name: 'again' });
    expect(await readRecord(file)).toEqual({ ...sample, name: 'again' });
    expect(await readdir(folder)).toEqual(['run.json']);
  });

  test('a record that the schema refuses is a bug of ours, and the old file stays', async () => {
    const file = join(folder, 'run.json');
    await writeRecord(file, sample);
    const before = await readFile(file, 'utf8');
    const wrong = { ...sample, fixedMs: Number.NaN } as RunRecord;
    const error = await writeRecord(file, wrong).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(InputError);
    expect((error as Error).cause).toBeInstanceOf(InputError);
    expect(await readFile(file, 'utf8')).toBe(before);
    expect(await readdir(folder)).toEqual(['run.json']);
  });

  test('no file, and a folder, each in one sentence', async () => {
    await expect(readRecord(join(folder, 'none.json'))).rejects.toThrow(
      /^record: there is no file .*none\.json/,
    );
    await expect(readRecord(folder)).rejects.toThrow(InputError);
    await writeFile(join(folder, 'x.json'), 'hello');
    await expect(readRecord(join(folder, 'x.json'))).rejects.toThrow(/x\.json should be JSON/);
  });
});

test('the JSON Schema names every field of the record, and demands the ones that are not optional', () => {
  const schema = recordJsonSchema() as {
    properties: object;
    required: string[];
    additionalProperties: boolean;
  };
  expect(Object.keys(schema.properties).sort()).toEqual(Object.keys(sample).sort());
  expect(schema.required.toSorted()).toEqual(Object.keys(sample).sort());
  expect(schema.additionalProperties).toBe(false);
  expect(() => JSON.stringify(schema)).not.toThrow();
});

/** The paths of all numbers and strings. */
function leaves(value: unknown, path: Path = []): Path[] {
  if (Array.isArray(value)) return value.flatMap((inner, i) => leaves(inner, [...path, i]));
  if (value === null || typeof value !== 'object') return [path];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}
