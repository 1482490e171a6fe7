/**
 * Resizing as Pillow does it, to the bit: each pixel of the result is a weighted sum over the pixels that it
 * covers, along rows first and along columns after, in fixed point, rounded to eight bits in between.
 *
 * Notation (Pillow, `Resample.c`):
 *   scale     pixels of the source per pixel of the result
 *   support   the filter's reach, widened by the scale when the picture becomes smaller (that is the antialiasing)
 * @module
 */
import type { Picture } from './picture.ts';

/** Filters by Pillow's numbers, which `preprocessor_config.json` holds. */
const filters: Readonly<Record<number, { readonly support: number; weight(x: number): number }>> = {
  1: { support: 3, weight: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
  2: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  3: { support: 2, weight: (x) => cubic(Math.abs(x)) },
  4: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  5: {
    support: 1,
    weight: (x) => (x === 0 ? 1 : Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0),
  },
};

/** Pillow's number → its name, for those that are known here. */
export const filterNames: Readonly<Record<number, string>> = {
  0: 'nearest',
  1: 'lanczos',
  2: 'bilinear',
  3: 'bicubic',
  4: 'box',
  5: 'hamming',
};

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** Keys' kernel with a = −½. */
function cubic(x: number): number {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** Bits after the point: eight are the value's, two are room for what negative weights overshoot. */
const PRECISION = 22;

/** @param filter one of `filterNames`' numbers */
export function resize(picture: Picture, width: number, height: number, filter: number): Picture {
  if (filter === 0) return nearest(picture, width, height);
  const wide = width === picture.width ? picture : alongRows(picture, width, filter);
  return height === wide.height ? wide : alongColumns(wide, height, filter);
}

interface Window {
  readonly from: number;
  /** In fixed point; they add up to one. */
  readonly weights: Int32Array;
}

function windows(has: number, wanted: number, number: number): Window[] {
  const { support, weight } = filters[number];
  const scale = has / wanted;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  return Array.from({ length: wanted }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - reach + 0.5));
    const to = Math.min(has, Math.trunc(centre + reach + 0.5));
    const raw = Float64Array.from({ length: to - from }, (_, k) =>
      weight((k + from - centre + 0.5) * (1 / stretch)),
    );
    const sum = raw.reduce((a, b) => a + b, 0);
    const weights = Int32Array.from(raw, (value) => {
      const fixed = (sum === 0 ? value : value / sum) * 2 ** PRECISION;
      return Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    });
    return { from, weights };
  });
}

const HALF = 1 << (PRECISION - 1);

function alongRows({ width: has, height, channels, data }: Picture, width: number, filter: number): Picture {
  const out = new Uint8ClampedArray(width * height * channels);
  const spans = windows(has, width, filter);
  for (let y = 0; y < height; y++) {
    for (const [x, { from, weights }] of spans.entries()) {
      for (let c = 0; c < channels; c++) {
        let sum = HALF;
        let at = (y * has + from) * channels + c;
        for (let k = 0; k < weights.length; k++, at += channels) sum += data[at] * weights[k];
        out[(y * width + x) * channels + c] = sum >> PRECISION;
      }
    }
  }
  return { width, height, channels, data: new Uint8Array(out.buffer) };
}

function alongColumns(
  { width, height: has, channels, data }: Picture,
  height: number,
  filter: number,
): Picture {
  const row = width * channels;
  const out = new Uint8ClampedArray(row * height);
  for (const [y, { from, weights }] of windows(has, height, filter).entries()) {
    for (let i = 0; i < row; i++) {
      let sum = HALF;
      let at = from * row + i;
      for (let k = 0; k < weights.length; k++, at += row) sum += data[at] * weights[k];
      out[y * row + i] = sum >> PRECISION;
    }
  }
  return { width, height, channels, data: new Uint8Array(out.buffer) };
}

function nearest(
  { width: hasWidth, height: hasHeight, channels, data }: Picture,
  width: number,
  height: number,
): Picture {
  const out = new Uint8Array(width * height * channels);
  const columns = centres(hasWidth, width);
  let to = 0;
  for (const y of centres(hasHeight, height)) {
    for (const x of columns) {
      const from = (y * hasWidth + x) * channels;
      for (let c = 0; c < channels; c++) out[to++] = data[from + c];
    }
  }
  return { width, height, channels, data: out };
}

/** The pixels below the middles of the result's: added up and not multiplied, as Pillow does, to fall on the same side. */
function centres(has: number, wanted: number): number[] {
  const scale = has / wanted;
  let at = scale * 0.5;
  return Array.from({ length: wanted }, () => {
    const pixel = Math.min(has - 1, Math.floor(at));
    at += scale;
    return pixel;
  });
}
