/**
 * What a picture's file says of itself, read before anything is decoded: format, size and orientation.
 *
 * Sizes come from where the decoders take them (PNG's first chunk, JPEG's first frame, WebP's first chunk), so that a file
 * cannot show a small one here and unpack to a large one there.
 * @module
 */

export type Format = 'jpeg' | 'png' | 'webp';

export interface Header {
  readonly format: Format;
  readonly width: number;
  readonly height: number;
  /** As EXIF counts: 1 is upright, 2 … 8 are turned or mirrored. */
  readonly orientation: number;
}

/** @returns undefined for bytes of no format that is known, or that end before they say their size */
export function readHeader(bytes: Uint8Array): Header | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (view.getUint32(0) === 0x89504e47 && view.getUint32(4) === 0x0d0a1a0a) return readPng(view);
    if (view.getUint16(0) === 0xffd8) return readJpeg(view);
    if (textAt(view, 0) === 'RIFF' && textAt(view, 8) === 'WEBP') return readWebp(view);
  } catch (error) {
    // DataView's word for a read beyond the end.
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}

const textAt = (view: DataView, at: number): string =>
  String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));

/** Chunks of a big-endian length, a name of four letters, the content, and a checksum. */
function readPng(view: DataView): Header | undefined {
  if (textAt(view, 12) !== 'IHDR') return undefined;
  const size = { width: view.getUint32(16), height: view.getUint32(20) };
  let orientation = 1;
  for (let at = 8; at + 12 <= view.byteLength; at += 12 + view.getUint32(at)) {
    if (textAt(view, at + 4) === 'eXIf') orientation = orientationIn(view, at + 8, view.getUint32(at));
  }
  return { format: 'png', ...size, orientation };
}

/** Segments of a marker (FF and a code, after any filling) and a big-endian length that counts itself. */
function readJpeg(view: DataView): Header | undefined {
  let orientation = 1;
  for (let at = 2; ; ) {
    while (view.getUint8(at) !== 0xff) at++;
    while (view.getUint8(at) === 0xff) at++;
    const code = view.getUint8(at++);
    // 00 is an escaped FF among garbage; these stand alone.
    if (code === 0 || code === 1 || (code >= 0xd0 && code <= 0xd8)) continue;
    if (code === 0xd9 || code === 0xda) return undefined;
    const length = view.getUint16(at);
    const isFrame = code >= 0xc0 && code <= 0xcf && code !== 0xc4 && code !== 0xc8 && code !== 0xcc;
    if (isFrame) {
      const [height, width] = [view.getUint16(at + 3), view.getUint16(at + 5)];
      return { format: 'jpeg', width, height, orientation };
    }
    if (code === 0xe1 && textAt(view, at + 2) === 'Exif')
      orientation = orientationIn(view, at + 8, length - 8);
    at += length;
  }
}

/** Chunks of a name of four letters, a little-endian length, and the content, padded to an even length. */
function readWebp(view: DataView): Header | undefined {
  const kind = textAt(view, 12);
  if (kind === 'VP8 ') {
    const [width, height] = [26, 28].map((at) => view.getUint16(at, true) & 0x3fff);
    return { format: 'webp', width, height, orientation: 1 };
  }
  if (kind === 'VP8L') {
    const bits = view.getUint32(21, true);
    return {
      format: 'webp',
      width: 1 + (bits & 0x3fff),
      height: 1 + ((bits >>> 14) & 0x3fff),
      orientation: 1,
    };
  }
  if (kind !== 'VP8X') return undefined;
  const [width, height] = [24, 27].map(
    (at) => 1 + (view.getUint16(at, true) | (view.getUint8(at + 2) << 16)),
  );
  let orientation = 1;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const length = view.getUint32(at + 4, true);
    if (textAt(view, at) === 'EXIF') orientation = orientationIn(view, at + 8, length);
    at += 8 + length + (length % 2);
  }
  return { format: 'webp', width, height, orientation };
}

const ORIENTATION = 0x0112;
const SHORT = 3;

/** The tag in the first directory of a TIFF structure, which is what EXIF is; 1 where it is absent or damaged. */
function orientationIn(whole: DataView, from: number, length: number): number {
  try {
    let view = new DataView(whole.buffer, whole.byteOffset + from, length);
    // Some writers keep JPEG's prefix in other containers.
    if (textAt(view, 0) === 'Exif') view = new DataView(view.buffer, view.byteOffset + 6, length - 6);
    const little = view.getUint16(0) === 0x4949;
    if (!little && view.getUint16(0) !== 0x4d4d) return 1;
    const directory = view.getUint32(4, little);
    const entries = view.getUint16(directory, little);
    for (let i = 0; i < entries; i++) {
      const at = directory + 2 + 12 * i;
      if (view.getUint16(at, little) !== ORIENTATION) continue;
      const value = view.getUint16(at + 8, little);
      return view.getUint16(at + 2, little) === SHORT && value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}
