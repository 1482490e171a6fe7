/**
 * NumPy's `.npy` files of float32 and int32 arrays in C order: what the benches hand to Python and take back.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';

const MAGIC = '\x93NUMPY';
/** Magic, two bytes of version, two of the header's length. */
const PREAMBLE = 10;

const descriptors = { '<f4': Float32Array, '<i4': Int32Array, '<i8': BigInt64Array } as const;
type Descriptor = keyof typeof descriptors;

export interface NpyArray {
  readonly shape: readonly number[];
  readonly data: InstanceType<(typeof descriptors)[Descriptor]>;
}

/** @throws Error when the file is not an array of float32, int32 or int64 in C order */
export function readNpy(file: string): NpyArray {
  const bytes = readFileSync(file);
  if (bytes.toString('latin1', 0, 6) !== MAGIC || bytes[6] !== 1) {
    throw new Error(`npy: ${file} does not begin as version 1 of NumPy's format does`);
  }
  const begin = PREAMBLE + bytes.readUInt16LE(8);
  const header = bytes.toString('latin1', PREAMBLE, begin);
  const [, descriptor] = /'descr': '([^']+)'/.exec(header) ?? [];
  const [, dims] = /'shape': \(([^)]*)\)/.exec(header) ?? [];
  if (!(descriptor in descriptors) || dims === undefined || !header.includes("'fortran_order': False")) {
    throw new Error(
      `npy: ${file} holds ${header.trim()}, expected ${Object.keys(descriptors).join(' or ')} in C order`,
    );
  }
  // Copied: the elements must lie at a multiple of their size.
  const body = new Uint8Array(bytes.subarray(begin)).buffer;
  return {
    shape: dims
      .split(',')
      .filter((dim) => dim.trim() !== '')
      .map(Number),
    data: new descriptors[descriptor as Descriptor](body),
  };
}

export function readFloats(file: string): { readonly shape: readonly number[]; readonly data: Float32Array } {
  const { shape, data } = readNpy(file);
  if (!(data instanceof Float32Array)) throw new Error(`npy: ${file} does not hold float32`);
  return { shape, data };
}

export function writeNpy(file: string, shape: readonly number[], data: Float32Array | Int32Array): void {
  const descriptor: Descriptor = data instanceof Float32Array ? '<f4' : '<i4';
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descriptor}', 'fortran_order': False, 'shape': (${dims}), }`;
  // The format wants the data to begin at a multiple of 64 bytes, and a line feed before it.
  const length = Math.ceil((PREAMBLE + text.length + 1) / 64) * 64 - PREAMBLE;
  const preamble = Buffer.from(`${MAGIC}\x01\x00\x00\x00`, 'latin1');
  preamble.writeUInt16LE(length, 8);
  const header = `${text.padEnd(length - 1)}\n`;
  const body = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  writeFileSync(file, Buffer.concat([preamble, Buffer.from(header, 'latin1'), body]));
}
