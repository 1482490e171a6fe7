/** The exported models of test/fixtures, with the inputs and outputs that PyTorch gave. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Feeds } from '../../src/runtime/feeds.ts';
import { arrayOf, type DataType, type Tensor } from '../../src/tensor/tensor.ts';

interface Written {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

const folderOf = (name: string) => join(import.meta.dirname, '../fixtures', name);

/** The path of a case's model file. */
export function fixture(name: string): string {
  return join(folderOf(name), 'model.onnx');
}

/** A case's sample: inputs, and the outputs to expect within `tolerance`. */
export function sampleOf(name: string, index = 0): { feeds: Feeds; expected: Feeds; tolerance: number } {
  const { samples, tolerance } = JSON.parse(readFileSync(join(folderOf(name), 'case.json'), 'utf8')) as {
    samples: { inputs: Record<string, Written>; outputs: Record<string, Written> }[];
    tolerance: number;
  };
  const { inputs, outputs } = samples[index];
  return { feeds: tensorsOf(inputs), expected: tensorsOf(outputs), tolerance };
}

function tensorsOf(written: Record<string, Written>): Feeds {
  return Object.fromEntries(Object.entries(written).map(([name, value]) => [name, tensorOf(value)]));
}

function tensorOf({ dtype, shape, data }: Written): Tensor {
  const elements =
    dtype === 'int64' ? BigInt64Array.from(data, BigInt) : new arrayOf[dtype as 'float32'](data);
  return { type: dtype, shape, data: elements as Tensor['data'] };
}
