/**
 * What `preprocessor_config.json` says is done to a picture before the model sees it: resize, crop, rescale,
 * normalise. Values agree with those of the image processors of `transformers` that work by Pillow.
 *
 * All steps up to the rescaling keep eight bits. A picture is therefore held as bytes, and the rest is a table of 256
 * values a channel.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../../errors.ts';
import { isObject, readJsonObject } from '../folder.ts';
import { centreCrop, grey, type Picture, planes } from './picture.ts';
import { filterNames, resize } from './resample.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Processor {
  readonly file: string;
  /** 1 where the configuration has one mean, 3 where it has three, or none. */
  readonly channels: 1 | 3;
  readonly resize?: { readonly to: Size | { readonly shortestEdge: number }; readonly filter: number };
  readonly crop?: Size;
  /** Blue before green before red. */
  readonly isFlipped: boolean;
  /** Values of a channel: [channel][0 … 255], in the order that the model reads. */
  readonly values: readonly Float32Array[];
}

/** Where a lone number as `size` is the shorter edge's; in all others it is a square's. */
const byShortestEdge = /^(CLIP|ChineseCLIP|Bit|ConvNext|MobileNetV[12]|MobileViT)(Image|Feature)/;
/** Those that do more than their configuration says, or something else. */
const withOwnWays = /^(Levit|PoolFormer|EfficientNet|Perceiver)(Image|Feature)/;

/**
 * Reads a folder's `preprocessor_config.json`.
 * @throws InputError where it is missing, lacks something, or wants a step that is not taken here
 */
export function openProcessor(folder: string): Processor {
  const file = join(folder, 'preprocessor_config.json');
  if (!existsSync(file)) {
    throw new InputError(
      `image: "${folder}" holds no preprocessor_config.json, which says how the model wants its pictures. Save the model's image processor there.`,
    );
  }
  return parseProcessor(readJsonObject(file), file);
}

export function parseProcessor(config: Readonly<Record<string, unknown>>, file: string): Processor {
  const wrong = (key: string, expected: string) =>
    new InputError(
      `image: ${file}: ${key} should be ${expected}, got ${JSON.stringify(config[key]) ?? 'nothing'}. Save the model's image processor again.`,
    );
  const kind = [config.image_processor_type, config.feature_extractor_type].find(
    (value) => typeof value === 'string',
  );
  const isOn = (key: string, whenLeftOut: boolean) => {
    const value = config[key] ?? whenLeftOut;
    if (typeof value !== 'boolean') throw wrong(key, 'true or false');
    return value;
  };
  const unknown = [
    'do_pad',
    'do_reduce_labels',
    'rescale_offset',
    'include_top',
    'do_thumbnail',
    'do_align_long_axis',
  ];
  const asked = unknown.find((key) => config[key] === true);
  if (asked !== undefined || (kind !== undefined && withOwnWays.test(kind))) {
    throw new InputError(
      `image: ${file}: ${asked ?? kind} is a step that is not known here; known are resize, center crop, rescale, normalize and flipped channels. Use a model whose processor has no others.`,
    );
  }
  const size = isOn('do_resize', true) ? parseSize(config, kind, wrong) : undefined;
  const filter = config.resample ?? 2;
  if (typeof filter !== 'number' || !(filter in filterNames)) throw wrong('resample', 'a number from 0 to 5');
  const crop = isOn('do_center_crop', false) ? squareOr(config.crop_size) : undefined;
  if (config.do_center_crop === true && crop === undefined)
    throw wrong('crop_size', 'a number, or height and width');
  const values = valueTables(config, isOn, wrong);
  const isFlipped = isOn('do_flip_channel_order', false);
  const shared = {
    file,
    channels: values.length as 1 | 3,
    isFlipped,
    values: isFlipped ? values.toReversed() : values,
  };
  if (size === undefined) return { ...shared, ...(crop && { crop }) };
  // ConvNeXt's way: below 384 the middle of a larger picture, by its share; from there on the whole.
  if (kind?.startsWith('ConvNext') && 'shortestEdge' in size) {
    const side = size.shortestEdge;
    const square = { width: side, height: side };
    const share = config.crop_pct ?? 224 / 256;
    if (typeof share !== 'number' || !(share > 0 && share <= 1))
      throw wrong('crop_pct', 'a share between 0 and 1');
    if (side >= 384) return { ...shared, resize: { to: square, filter } };
    return { ...shared, resize: { to: { shortestEdge: Math.trunc(side / share) }, filter }, crop: square };
  }
  return { ...shared, resize: { to: size, filter }, ...(crop && { crop }) };
}

type Wrong = (key: string, expected: string) => InputError;

function parseSize(
  { size }: Readonly<Record<string, unknown>>,
  kind: string | undefined,
  wrong: Wrong,
): Size | { readonly shortestEdge: number } {
  if (isObject(size) && isSide(size.shortest_edge) && size.longest_edge === undefined) {
    return { shortestEdge: size.shortest_edge };
  }
  if (isSide(size) && kind !== undefined && byShortestEdge.test(kind)) return { shortestEdge: size };
  const square = squareOr(size);
  if (square === undefined) throw wrong('size', 'height and width, shortest_edge alone, or a number');
  return square;
}

const LONGEST_SIDE = 4096;

const isSide = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= LONGEST_SIDE;

function squareOr(size: unknown): Size | undefined {
  if (isSide(size)) return { width: size, height: size };
  if (!isObject(size) || !isSide(size.height) || !isSide(size.width)) return undefined;
  return { width: size.width, height: size.height };
}

/** The rest of the way for every byte and channel, each step rounded to float32 as NumPy rounds it. */
function valueTables(
  config: Readonly<Record<string, unknown>>,
  isOn: (key: string, whenLeftOut: boolean) => boolean,
  wrong: Wrong,
): Float32Array[] {
  const factor = isOn('do_rescale', true) ? (config.rescale_factor ?? 1 / 255) : 1;
  if (typeof factor !== 'number' || !Number.isFinite(factor)) throw wrong('rescale_factor', 'a number');
  // Processors that know no means are saved without any.
  const normalises = isOn('do_normalize', config.image_mean !== undefined);
  const perChannel = (key: string): readonly number[] => {
    const value = config[key];
    const list = Array.isArray(value) ? value : [value, value, value];
    if (
      (list.length === 1 || list.length === 3) &&
      list.every((v) => typeof v === 'number' && Number.isFinite(v))
    ) {
      return list;
    }
    throw wrong(key, 'one number, or one for each of three channels');
  };
  const means = normalises ? perChannel('image_mean') : [0, 0, 0];
  const deviations = normalises ? perChannel('image_std') : [1, 1, 1];
  if (deviations.length !== means.length || deviations.includes(0)) {
    throw wrong('image_std', `${means.length} numbers other than 0, as many as image_mean`);
  }
  return means.map((mean, c) =>
    Float32Array.from({ length: 256 }, (_, byte) => {
      const rescaled = Math.fround(byte * factor);
      if (!normalises) return rescaled;
      return Math.fround(Math.fround(rescaled - Math.fround(mean)) / Math.fround(deviations[c]));
    }),
  );
}

/** The picture's bytes as the model's input is laid out: [channels, height, width]. */
export function prepare(
  picture: Picture,
  { channels, resize: resizing, crop, isFlipped }: Processor,
): Picture {
  let now = channels === 1 ? grey(picture) : picture;
  if (resizing) {
    const { width, height } =
      'shortestEdge' in resizing.to ? fitted(now, resizing.to.shortestEdge) : resizing.to;
    now = resize(now, width, height, resizing.filter);
  }
  if (crop) now = centreCrop(now, crop.width, crop.height);
  return { ...now, data: planes(now, isFlipped) };
}

function fitted({ width, height }: Size, shortest: number): Size {
  const longest = Math.trunc((shortest * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? { width: shortest, height: longest } : { width: longest, height: shortest };
}
