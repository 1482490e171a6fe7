import { expect, test } from 'vitest';
import { type Config, loadConfig } from '../../src/config.ts';
import { InputError } from '../../src/errors.ts';
import { openModelFolder } from '../../src/recipe/job.ts';
import { recordedShape, regimesOf, timedRegimes } from '../../src/recipe/regimes.ts';
import { fixture } from '../onnx/fixtures.ts';

const shapeOf = (flags: Record<string, string>): Config['shape'] =>
  loadConfig(null, { model: 'm', ...flags }).shape;
const search = { seed: 0 } as Config['search'];

test('without regimes there is one: the shape itself, with an empty cache', () => {
  expect(regimesOf(shapeOf({ 'shape-batch': '8' }))).toEqual([
    { name: 'prompt', weight: 1, batch: 8, sequence: 128, past: 0 },
  ]);
  expect(recordedShape(shapeOf({}))).toEqual({ batch: 32, sequence: 128 });
});

test('a step is one token of one row against the cache that a prompt left, unless it is said otherwise', () => {
  const step = { name: 'decode', weight: 1, batch: 1, sequence: 1, past: 128 };
  expect(regimesOf(shapeOf({ 'shape-decode-sequence': '1' }))).toEqual([step]);
  expect(regimesOf(shapeOf({ 'shape-decode-past': '512', 'shape-batch': '4' }))).toEqual([
    { ...step, past: 512, batch: 4 },
  ]);
  expect(
    regimesOf(shapeOf({ 'shape-decode-weight': '200', 'shape-prompt-sequence': '64', 'shape-source': '9' })),
  ).toEqual([
    { name: 'prompt', weight: 1, batch: 32, sequence: 64, past: 0, source: 9 },
    { ...step, weight: 200, past: 64, source: 9 },
  ]);
});

test('a weight of 0 leaves a regime out; the one that is left is all that a request runs', () => {
  const shape = shapeOf({ 'shape-prompt-weight': '0', 'shape-decode-weight': '7' });
  expect(regimesOf(shape)).toMatchObject([{ name: 'decode', weight: 1 }]);
  expect(recordedShape(shape)).toEqual({ decode: { batch: 1, sequence: 1, past: 128, weight: 1 } });
  const none = shapeOf({ 'shape-prompt-weight': '0', 'shape-decode-weight': '0' });
  expect(() => regimesOf(none)).toThrow(InputError);
  expect(() => regimesOf(none)).toThrow(/shape\.prompt and shape\.decode have the weight 0/);
});

test.each(['llama-gqa-optimum', 'gpt2-optimum', 't5-optimum-merged'])(
  '%s: a step is fed a cache, a prompt an empty one',
  async (name) => {
    const opened = await openModelFolder(fixture(name).path);
    const shape = shapeOf({
      'shape-prompt-sequence': '6',
      'shape-prompt-batch': '3',
      'shape-decode-past': '11',
    });
    const [prompt, decode] = timedRegimes(opened, { shape, search });
    const cache = Object.keys(prompt.feeds).find((input) =>
      /past_key_values\.0\.(decoder\.)?key/.test(input),
    )!;
    expect([prompt, decode].map(({ feeds }) => feeds[cache].shape[2])).toEqual([0, 11]);
    expect([prompt, decode].map(({ feeds }) => feeds.input_ids.shape)).toEqual([
      [3, 6],
      [1, 1],
    ]);
    const whole = Object.values(decode.feeds).filter(({ shape: [, length] }) => length === 12);
    const positions = decode.feeds.position_ids;
    if (name === 't5-optimum-merged') {
      expect([prompt, decode].map(({ feeds }) => [...feeds.use_cache_branch.data])).toEqual([[0], [1]]);
      expect(decode.feeds['past_key_values.0.encoder.key'].shape[2]).toBe(11);
      expect([...new Set(decode.feeds.encoder_attention_mask.data as BigInt64Array)]).toEqual([1n]);
    } else {
      expect(whole).toEqual([decode.feeds.attention_mask]);
      expect([...positions.data]).toEqual([11n]);
    }
  },
);

test('a step against a cache is refused where the model has none, by its inputs', async () => {
  const opened = await openModelFolder(fixture('bert-optimum').path);
  const shape = shapeOf({ 'shape-decode-past': '11' });
  expect(() => timedRegimes(opened, { shape, search })).toThrow(InputError);
  expect(() => timedRegimes(opened, { shape, search })).toThrow(/no input with past keys.*input_ids/);
});
