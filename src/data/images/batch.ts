/**
 * Pictures to batches of the model's input.
 *
 * A batch holds bytes, and makes the input's elements of them when it is asked: a quarter of the memory, or half, and the
 * conversion is a look in a table.
 * @module
 */
import { createHash } from 'node:crypto';
import { InputError } from '../../errors.ts';
import type { ValueInfo } from '../../onnx/model.ts';
import type { Progress } from '../../progress.ts';
import { arrayOf, type Tensor } from '../../tensor/tensor.ts';
import { filled } from '../feeds.ts';
import type { Decoder } from './decode.ts';
import type { LabelledPicture } from './labelled.ts';
import type { Picture } from './picture.ts';
import { type Processor, prepare } from './processor.ts';

export interface ImageBatch {
  /** The model's one input [b, channels, height, width], made anew at each access. */
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly shape: readonly [b: number, s: 1];
  /** Indices of the pictures. Fewer than b only where the graph fixes b: the rest repeats the last. */
  readonly rows: readonly number[];
  /** [rows.length] */
  readonly labels: Int32Array;
  /** [b, 1]: 0 for the filler. */
  readonly mask: Uint8Array;
}

/** A batch holds about so many pixels: twenty pictures of 224 × 224. */
const BATCH_PIXELS = 2 ** 20;
const MOST_ROWS = 64;

/**
 * The input that pictures go into.
 * @throws InputError when the model has another, or when the processor's channels are not the model's
 */
export function imageInput(inputs: readonly ValueInfo[], processor: Processor): ValueInfo {
  const [input, ...others] = inputs;
  const takesImages =
    input !== undefined &&
    others.length === 0 &&
    input.type?.includes('float') === true &&
    (input.shape === undefined || input.shape.length === 4);
  if (!takesImages) {
    const shown = inputs.map(
      ({ name, shape }) => `${name} [${shape?.map((dim) => dim ?? '?').join(', ') ?? '?'}]`,
    );
    throw new InputError(
      `model: its inputs are ${shown.join(', ') || 'none'}, where one of pictures [batch, channels, height, width] is expected. Export the model for image classification.`,
    );
  }
  const channels = input.shape?.[1];
  if (typeof channels === 'number' && channels !== processor.channels) {
    throw new InputError(
      `image: the model's input "${input.name}" has ${channels} channels, but ${processor.file} has means for ${processor.channels}. Save the model's own image processor there.`,
    );
  }
  return input;
}

/** Pictures as the model sees them, still as bytes: [channels, height, width] each. */
export interface Prepared {
  readonly pictures: readonly Picture[];
  readonly labels: Int32Array;
  readonly processor: Processor;
}

/** Decodes, resizes and crops. @throws InputError as the decoder does */
export async function preparePictures(
  listed: readonly LabelledPicture[],
  decoder: Decoder,
  processor: Processor,
  progress: Progress,
): Promise<Prepared> {
  const task = progress.task('reading pictures', listed.length);
  const pictures: Picture[] = [];
  for (const { file } of listed) {
    pictures.push(prepare(await decoder.decode(file), processor));
    const [first, last] = [pictures[0], pictures.at(-1)!];
    if (first.width !== last.width || first.height !== last.height) {
      throw new InputError(
        `image: "${file}" is ${last.width} × ${last.height} after ${processor.file}, and those before it are ${first.width} × ${first.height}, so that no batch holds both. Set size to a height and a width there, or do_center_crop.`,
      );
    }
    task.advance();
  }
  task.done();
  return { pictures, labels: Int32Array.from(listed, ({ label }) => label), processor };
}

/**
 * Batches of prepared pictures, in order.
 * @throws InputError when the graph fixes another size
 */
export function imageBatches({ pictures, labels, processor }: Prepared, input: ValueInfo): ImageBatch[] {
  const [{ width, height, channels }] = pictures;
  const [fixedRows, , ...sides] = input.shape ?? [];
  if ([height, width].some((side, axis) => typeof sides[axis] === 'number' && sides[axis] !== side)) {
    throw new InputError(
      `image: the model's input "${input.name}" is ${sides.join(' × ')}, but ${processor.file} makes pictures ${height} × ${width} (height × width). Save the model's own image processor there.`,
    );
  }
  const fixed = typeof fixedRows === 'number' ? fixedRows : undefined;
  const size = fixed ?? Math.min(MOST_ROWS, Math.max(1, Math.floor(BATCH_PIXELS / (width * height))));
  const plane = width * height;
  const elements = processor.values.map((values) => filled(input, [256], (byte) => values[byte]).data);
  const batches: ImageBatch[] = [];
  for (let from = 0; from < pictures.length; from += size) {
    const rows = Array.from({ length: Math.min(size, pictures.length - from) }, (_, i) => from + i);
    const b = fixed ?? rows.length;
    batches.push({
      get feeds() {
        const type = input.type as Tensor['type'];
        const data = new arrayOf[type](b * channels * plane);
        for (let row = 0, to = 0; row < b; row++) {
          const { data: bytes } = pictures[rows[Math.min(row, rows.length - 1)]];
          for (let c = 0, at = 0; c < channels; c++) {
            const table = elements[c];
            for (const end = at + plane; at < end; ) data[to++] = table[bytes[at++]] as never;
          }
        }
        return { [input.name]: { type, shape: [b, channels, height, width], data } as Tensor };
      },
      shape: [b, 1],
      rows,
      labels: Int32Array.from(rows, (row) => labels[row]),
      mask: Uint8Array.from({ length: b }, (_, row) => Number(row < rows.length)),
    });
  }
  return batches;
}

/** A digest of everything that batches of these pictures hold. */
export function digestOf({ pictures, labels, processor }: Prepared): string {
  const hash = createHash('sha256').update(JSON.stringify([...labels]));
  for (const values of processor.values) hash.update(values);
  for (const { width, height, data } of pictures) hash.update(`${width}x${height}`).update(data);
  return hash.digest('hex');
}
