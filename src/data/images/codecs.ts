/**
 * Where the decoders' WebAssembly lies: in their packages. `scripts/bundle.ts` puts the bytes themselves in this
 * module's place, because a bundle has no packages beside it.
 * @module
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** Format → the module's file. */
export const codecFiles = {
  jpeg: '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm',
  png: '@jsquash/png/codec/pkg/squoosh_png_bg.wasm',
  webp: '@jsquash/webp/codec/dec/webp_dec.wasm',
} as const;

export function codec(format: keyof typeof codecFiles): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(createRequire(import.meta.url).resolve(codecFiles[format])));
}
