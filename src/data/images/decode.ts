/**
 * A picture's file to pixels, by libjpeg, libwebp and Rust's `png`, each compiled to WebAssembly: the same decoders that
 * Pillow has, so that values agree to the bit, in a sandbox that a hostile file cannot leave.
 * @module
 */
import { readFileSync, statSync } from 'node:fs';
import { InputError } from '../../errors.ts';
import { codec } from './codecs.ts';
import { type Format, type Header, readHeader } from './header.ts';
import { type Picture, upright, withoutAlpha } from './picture.ts';

/** What a file may unpack to, in pixels: 256 MiB while it is decoded. */
export const MOST_PIXELS = 2 ** 26;
const MOST_BYTES = 64 * 2 ** 20;
/** No format here says more than this of a side; beyond it, a row alone would be large. */
const LONGEST_SIDE = 2 ** 16;

export interface Decoder {
  /**
   * The picture in a file, upright, in red, green and blue.
   * @throws InputError for a file that is missing, of no known format, too large, damaged, or cut off
   */
  decode(file: string): Promise<Picture>;
}

interface Rgba {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}

/** Loads the decoders. */
export async function openDecoder(): Promise<Decoder> {
  // Rust's decoder gives what browsers have and Node lacks.
  const scope = globalThis as { ImageData?: unknown };
  scope.ImageData ??= class {
    readonly data: Uint8ClampedArray;
    readonly width: number;
    readonly height: number;
    constructor(data: Uint8ClampedArray, width: number, height: number) {
      this.data = data;
      this.width = width;
      this.height = height;
    }
  };
  const [jpeg, png, webp] = await Promise.all([
    import('@jsquash/jpeg/decode.js'),
    import('@jsquash/png/decode.js'),
    import('@jsquash/webp/decode.js'),
  ]);
  // The types of Node know its modules, and not where they come from.
  const { WebAssembly: wasm } = globalThis as unknown as {
    WebAssembly: { Module: new (bytes: Uint8Array) => WebAssembly.Module };
  };
  const module = (format: Format) => new wasm.Module(codec(format));
  // What libjpeg has to say about the picture at hand.
  const said: string[] = [];
  const listen = { print: (line: string) => said.push(line), printErr: (line: string) => said.push(line) };
  // Declared for browsers: the one parameter that their types know is either of the two.
  await (jpeg.init as (wasm: WebAssembly.Module, options: object) => Promise<void>)(module('jpeg'), listen);
  await png.init(module('png'));
  await (webp.init as (wasm: WebAssembly.Module, options: object) => Promise<void>)(module('webp'), listen);
  const decoders: Readonly<Record<Format, (bytes: ArrayBuffer) => Promise<unknown>>> = {
    jpeg: jpeg.default,
    png: png.default,
    webp: webp.default,
  };

  return {
    async decode(file) {
      const bytes = readPicture(file);
      const header = readHeader(bytes);
      checkHeader(file, header);
      said.length = 0;
      let rgba: Rgba;
      try {
        rgba = (await decoders[header.format](bytes.buffer)) as Rgba;
      } catch {
        // The decoders throw numbers and "unwrap_throw failed"; what libjpeg says before is a sentence.
        throw damaged(file, header, said[0]);
      }
      // libjpeg paints what is missing grey.
      const cutOff = said.find((line) => line.startsWith('Premature end'));
      if (cutOff !== undefined) throw damaged(file, header, cutOff);
      if (rgba.width !== header.width || rgba.height !== header.height) {
        throw damaged(file, header, `it unpacks to ${rgba.width} × ${rgba.height}`);
      }
      return upright(withoutAlpha(rgba.width, rgba.height, rgba.data), header.orientation);
    },
  };
}

function readPicture(file: string): Uint8Array<ArrayBuffer> {
  const entry = statSync(file, { throwIfNoEntry: false });
  if (!entry?.isFile()) {
    throw new InputError(
      `data: there is no picture "${file}". Correct the path; it is relative to the file that names it.`,
    );
  }
  if (entry.size > MOST_BYTES) {
    throw new InputError(
      `data: "${file}" has ${entry.size} bytes, where a picture may have ${MOST_BYTES}. Make it smaller; the model sees a small copy in any case.`,
    );
  }
  return new Uint8Array(readFileSync(file));
}

function checkHeader(file: string, header: Header | undefined): asserts header is Header {
  if (header === undefined) {
    throw new InputError(
      `data: "${file}" is no JPEG, PNG or WebP picture, or ends before it says its size. Convert it, or take it out of the data.`,
    );
  }
  const { width, height } = header;
  if (width * height > MOST_PIXELS || Math.max(width, height) > LONGEST_SIDE) {
    throw new InputError(
      `data: "${file}" unpacks to ${width} × ${height} pixels, where a picture may have ${MOST_PIXELS}. Make it smaller; the model sees a small copy in any case.`,
    );
  }
  if (width === 0 || height === 0) throw damaged(file, header, 'it has no pixels');
}

function damaged(file: string, { format }: Header, reason: string | undefined): InputError {
  const name = { jpeg: 'JPEG', png: 'PNG', webp: 'WebP' }[format];
  return new InputError(
    `data: "${file}" cannot be decoded as ${name}${reason === undefined ? '' : `: ${reason.replace(/\.$/, '')}`}. It is damaged, cut off, or of a kind that is not read (CMYK, animations); save it again.`,
  );
}
