/**
 * Pictures as bytes, and the ways to lay them anew that lose nothing.
 * @module
 */

/** Eight bits a value, row by row, the channels of a pixel together: [height, width, channels]. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 3 for red, green, blue; 1 for grey. */
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** Takes the first three of four channels: what transparency hides is shown, as by Pillow's `convert('RGB')`. */
export function withoutAlpha(width: number, height: number, rgba: Uint8Array | Uint8ClampedArray): Picture {
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < data.length; from += 4) {
    data[to++] = rgba[from];
    data[to++] = rgba[from + 1];
    data[to++] = rgba[from + 2];
  }
  return { width, height, channels: 3, data };
}

/** Luminance by ITU-R 601-2, in the fixed point of Pillow's `convert('L')`. */
export function grey({ width, height, channels, data }: Picture): Picture {
  if (channels === 1) return { width, height, channels, data };
  const out = new Uint8Array(width * height);
  for (let i = 0; i < out.length; i++) {
    out[i] = (data[3 * i] * 19595 + data[3 * i + 1] * 38470 + data[3 * i + 2] * 7471 + 0x8000) >> 16;
  }
  return { width, height, channels: 1, data: out };
}

/** Turns and mirrors a picture as its EXIF orientation says, so that it stands upright. */
export function upright(picture: Picture, orientation: number): Picture {
  if (orientation === 1) return picture;
  const { width, height, channels, data } = picture;
  const isTurned = orientation >= 5;
  const [newWidth, newHeight] = isTurned ? [height, width] : [width, height];
  // Where a pixel of the result comes from: along x from the right, along y from the bottom.
  const fromRight = [2, 3, 7, 8].includes(orientation);
  const fromBottom = [3, 4, 6, 7].includes(orientation);
  const out = new Uint8Array(data.length);
  let to = 0;
  for (let y = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      const [alongX, alongY] = isTurned ? [y, x] : [x, y];
      const sourceX = fromRight ? width - 1 - alongX : alongX;
      const sourceY = fromBottom ? height - 1 - alongY : alongY;
      const from = (sourceY * width + sourceX) * channels;
      for (let c = 0; c < channels; c++) out[to++] = data[from + c];
    }
  }
  return { width: newWidth, height: newHeight, channels, data: out };
}

/** The middle of a picture; where it is smaller than asked for, with black around it. */
export function centreCrop(picture: Picture, width: number, height: number): Picture {
  const { channels, data } = picture;
  const out = new Uint8Array(width * height * channels);
  const left = offset(picture.width, width);
  const top = offset(picture.height, height);
  for (let y = 0; y < height; y++) {
    const sourceY = y + top;
    if (sourceY < 0 || sourceY >= picture.height) continue;
    const from = Math.max(0, left);
    const to = Math.min(picture.width, left + width);
    const source = data.subarray(
      (sourceY * picture.width + from) * channels,
      (sourceY * picture.width + to) * channels,
    );
    out.set(source, (y * width + from - left) * channels);
  }
  return { width, height, channels, data: out };
}

/** Rounded down when it cuts, and away from the picture when it adds, as `transformers` has it. */
function offset(has: number, wanted: number): number {
  return wanted <= has ? Math.floor((has - wanted) / 2) : -Math.ceil((wanted - has) / 2);
}

/** [height, width, channels] to [channels, height, width], the last channel first where they are flipped. */
export function planes({ width, height, channels, data }: Picture, isFlipped: boolean): Uint8Array {
  const size = width * height;
  const out = new Uint8Array(data.length);
  for (let c = 0; c < channels; c++) {
    const plane = out.subarray((isFlipped ? channels - 1 - c : c) * size);
    for (let i = 0; i < size; i++) plane[i] = data[i * channels + c];
  }
  return out;
}
