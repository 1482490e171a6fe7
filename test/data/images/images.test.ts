import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Decoder, openDecoder } from '../../../src/data/images/decode.ts';
import { readHeader } from '../../../src/data/images/header.ts';
import type { Picture } from '../../../src/data/images/picture.ts';
import { parseProcessor, prepare } from '../../../src/data/images/processor.ts';
import { InputError } from '../../../src/errors.ts';

interface Stored {
  readonly name: string;
  readonly file: string;
  readonly width: number;
  readonly height: number;
  /** What Pillow decodes, upright. */
  readonly rgb: string;
}

interface Processed {
  readonly name: string;
  readonly config: Record<string, unknown>;
  readonly shape: readonly number[];
  /** Of `colour.png`, by transformers: float32. */
  readonly values: string;
}

const lines = <T>(name: string): T[] =>
  readFileSync(new URL(name, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, 'base64'));
const stored = lines<Stored>('pictures.jsonl');
const processed = lines<Processed>('processed.jsonl');
const fileOf = (wanted: string) => bytesOf(stored.find(({ name }) => name === wanted)!.file);

let folder: string;
let decoder: Decoder;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'images-'));
  decoder = await openDecoder();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Decodes bytes as they would lie in a file. */
function decode(bytes: Uint8Array, name = 'picture'): Promise<Picture> {
  const file = join(folder, name);
  writeFileSync(file, bytes);
  return decoder.decode(file);
}

describe('decoding gives the pixels that Pillow gives, to the bit', () => {
  test.each(stored)('$name', async ({ name, file, width, height, rgb }) => {
    expect(await decode(bytesOf(file), name)).toEqual({ width, height, channels: 3, data: bytesOf(rgb) });
  });
});

describe('processing gives the values that transformers gives, to the bit', () => {
  const [{ width, height, rgb }] = stored.filter(({ name }) => name === 'colour.png');
  const picture: Picture = { width, height, channels: 3, data: bytesOf(rgb) };

  test.each(processed)('$name', ({ config, shape, values }) => {
    const processor = parseProcessor(config, 'preprocessor_config.json');
    const { channels, height, width, data } = prepare(picture, processor);
    expect([channels, height, width]).toEqual(shape);
    const got = Float32Array.from(
      data,
      (byte, i) => processor.values[Math.floor(i / (width * height))][byte],
    );
    expect(got).toEqual(new Float32Array(bytesOf(values).buffer));
  });
});

describe('a hostile file ends in one sentence', () => {
  const sentence = async (bytes: Uint8Array) => {
    try {
      await decode(bytes);
      return undefined;
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      return (error as Error).message;
    }
  };

  test('a bomb: its size is read before anything is unpacked', async () => {
    const bomb = fileOf('colour.png').slice();
    new DataView(bomb.buffer).setUint32(16, 60_000);
    new DataView(bomb.buffer).setUint32(20, 60_000);
    expect(await sentence(bomb)).toMatch(
      /unpacks to 60000 × 60000 pixels, where a picture may have 67108864\. /,
    );
  });

  test('a picture whose header shows another size than its data have', async () => {
    const liar = fileOf('colour.png').slice();
    new DataView(liar.buffer).setUint32(16, 32);
    expect(await sentence(liar)).toMatch(/cannot be decoded as PNG/);
  });

  test('a text', async () => {
    expect(await sentence(new TextEncoder().encode('<svg/>'))).toMatch(/no JPEG, PNG or WebP picture/);
    expect(await sentence(new Uint8Array())).toMatch(/no JPEG, PNG or WebP picture/);
  });

  test.each(['colour.png', 'halved-colour.jpg', 'progressive.jpg', 'lossy.webp', 'lossless.webp'])(
    '%s, cut off anywhere',
    async (name) => {
      const whole = fileOf(name);
      for (let share = 0; share < 1; share += 0.09) {
        const cut = await sentence(whole.subarray(0, Math.floor(whole.length * share)));
        expect(cut, `${share} of ${name}`).toMatch(/no JPEG, PNG or WebP picture|cannot be decoded/);
      }
      // Nothing of the failures stays in the decoders.
      await expect(decode(whole)).resolves.toMatchObject({ width: 31, height: 23 });
    },
  );

  test('any bytes changed: pixels, or a sentence, and never another error', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('colour.png', 'turned.png', 'turned-6.jpg', 'lossy.webp', 'turned.webp'),
        fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        async (name, changes) => {
          const bytes = fileOf(name).slice();
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          await sentence(bytes);
        },
      ),
      { numRuns: 200 },
    );
  }, 20_000);
});

test('a header says format, size and orientation', () => {
  expect(readHeader(fileOf('turned-6.jpg'))).toEqual({
    format: 'jpeg',
    width: 31,
    height: 23,
    orientation: 6,
  });
  expect(readHeader(fileOf('turned.png'))).toEqual({ format: 'png', width: 31, height: 23, orientation: 8 });
  expect(readHeader(fileOf('turned.webp'))).toEqual({
    format: 'webp',
    width: 31,
    height: 23,
    orientation: 6,
  });
  expect(readHeader(fileOf('lossless.webp'))).toMatchObject({ format: 'webp', width: 31, height: 23 });
});

describe('a processor that does something else is refused', () => {
  const base = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5], size: { height: 8, width: 8 } };
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['padding', { do_pad: true }, /do_pad is a step that is not known here/],
    ['ways of its own', { image_processor_type: 'LevitImageProcessor' }, /LevitImageProcessor is a step/],
    ['a longest edge', { size: { shortest_edge: 8, longest_edge: 9 } }, /size should be height and width/],
    ['a size beyond reason', { size: 1e6 }, /size should be/],
    ['an unknown filter', { resample: 7 }, /resample should be a number from 0 to 5, got 7/],
    ['a division by zero', { image_std: [1, 0, 1] }, /image_std should be 3 numbers other than 0/],
    ['means of two channels', { image_mean: [1, 2] }, /image_mean should be one number, or/],
    ['a crop without a size', { do_center_crop: true }, /crop_size should be/],
    ['a switch that is none', { do_resize: 'yes' }, /do_resize should be true or false, got "yes"/],
  ])('%s', (_, change, sentence) => {
    expect(() => parseProcessor({ ...base, ...change }, 'p.json')).toThrow(sentence);
  });

  test('a lone number is a square, or the shorter edge where the processor has it so', () => {
    const size = (type: string) =>
      parseProcessor({ ...base, size: 8, image_processor_type: type }, 'p.json').resize?.to;
    expect(size('ViTImageProcessor')).toEqual({ width: 8, height: 8 });
    expect(size('CLIPImageProcessor')).toEqual({ shortestEdge: 8 });
  });

  test('one mean is a grey picture', () => {
    const processor = parseProcessor({ ...base, image_mean: [0.5], image_std: [0.5] }, 'p.json');
    expect(
      prepare({ width: 1, height: 1, channels: 3, data: Uint8Array.of(255, 0, 0) }, processor).data[0],
    ).toBe(76);
  });
});
