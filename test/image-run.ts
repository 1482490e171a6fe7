/** Pictures made up for the vision fixture, with the labels that it gives them itself: by a session and arithmetic of the test's own. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';
import { loadRuntime } from '../src/runtime/ort.ts';
import { type Random, random } from '../src/tensor/random.ts';

export const fixture = fileURLToPath(new URL('fixtures/vit-optimum', import.meta.url));
/** Of the fixture: a picture's side and channels, and its classes. */
const SIDE = 16;
const CHANNELS = 3;
export const classNames = [0, 1, 2, 3, 4].map((id) => `LABEL_${id}`);

/** Lays the fixture into `folder` as a model folder that says how its pictures are made ready. */
export function modelFolder(folder: string): string {
  mkdirSync(folder);
  for (const name of ['model.onnx', 'config.json']) cpSync(join(fixture, name), join(folder, name));
  const processor = {
    image_processor_type: 'ViTImageProcessor',
    size: { height: SIDE, width: SIDE },
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
  };
  writeFileSync(join(folder, 'preprocessor_config.json'), JSON.stringify(processor));
  return folder;
}

/** Bytes [height, width, channels]: a coloured ground with a rectangle on it, and noise. */
export function drawn(next: Random): Uint8Array {
  const colour = () => Array.from({ length: CHANNELS }, () => 256 * next());
  const [ground, shape] = [colour(), colour()];
  const [left, top] = [next() * SIDE, next() * SIDE];
  return Uint8Array.from({ length: SIDE * SIDE * CHANNELS }, (_, at) => {
    const [c, x, y] = [at % CHANNELS, Math.floor(at / CHANNELS) % SIDE, Math.floor(at / CHANNELS / SIDE)];
    const clean = x >= left && y >= top && x < left + 8 && y < top + 8 ? shape[c] : ground[c];
    return Math.min(255, Math.max(0, Math.round(clean + 60 * (next() - 0.5))));
  });
}

/** A PNG file of 16 × 16 pixels, without filters. */
export function png(pixels: Uint8Array): Buffer {
  const row = SIDE * CHANNELS;
  const lines = Array.from({ length: SIDE }, (_, y) => [0, ...pixels.subarray(y * row, (y + 1) * row)]);
  const chunk = (name: string, content: Buffer) => {
    const named = Buffer.concat([Buffer.from(name), content]);
    const whole = Buffer.alloc(named.length + 8);
    whole.writeUInt32BE(content.length);
    named.copy(whole, 4);
    whole.writeUInt32BE(crc32(named), named.length + 4);
    return whole;
  };
  const header = Buffer.from([0, 0, 0, SIDE, 0, 0, 0, SIDE, 8, 2, 0, 0, 0]);
  const data = deflateSync(Buffer.from(lines.flat()));
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** What the fixture takes each picture for: v ↦ (v/255 − ½)/½, by channels, and the greatest logit. */
export async function labelsOf(pictures: readonly Uint8Array[]): Promise<number[]> {
  const { InferenceSession, Tensor } = loadRuntime();
  const session = await InferenceSession.create(join(fixture, 'model.onnx'));
  const plane = SIDE * SIDE;
  const values = pictures.flatMap((bytes) =>
    Array.from({ length: bytes.length }, (_, at) => {
      const [c, i] = [Math.floor(at / plane), at % plane];
      return (bytes[i * CHANNELS + c] / 255 - 0.5) / 0.5;
    }),
  );
  const shape = [pictures.length, CHANNELS, SIDE, SIDE];
  const { logits } = await session.run({ pixel_values: new Tensor('float32', values, shape) });
  const all = logits.data as Float32Array;
  await session.release();
  return pictures.map((_, row) => {
    const own = [...all.subarray(row * classNames.length, (row + 1) * classNames.length)];
    return own.indexOf(Math.max(...own));
  });
}

/** Writes pictures and a JSONL file of them beside each other. */
export function written(
  folder: string,
  name: string,
  pictures: readonly Uint8Array[],
  labels: readonly number[],
): string {
  mkdirSync(join(folder, name));
  const rows = pictures.map((pixels, at) => {
    writeFileSync(join(folder, name, `${at}.png`), png(pixels));
    return JSON.stringify({ image: `${name}/${at}.png`, label: classNames[labels[at]] });
  });
  const file = join(folder, `${name}.jsonl`);
  writeFileSync(file, rows.join('\n'));
  return file;
}

export function pictures(count: number, seed: number): Uint8Array[] {
  const next = random(seed);
  return Array.from({ length: count }, () => drawn(next));
}
