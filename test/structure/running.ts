/** Running models in memory, and what fixtures say about them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeModel } from '../../src/onnx/encode.ts';
import type { Model } from '../../src/onnx/model.ts';
import { openSession } from '../../src/runtime/session.ts';
import { type DataType, type Tensor, zeros } from '../../src/tensor/tensor.ts';

export type Feeds = Readonly<Record<string, Tensor>>;

interface Written {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly data: readonly (number | boolean)[];
}
type Values = Readonly<Record<string, Written>>;

/** What a fixture's `case.json` says. */
export interface Case {
  readonly file: string;
  readonly tolerance: number;
  readonly architecture: string;
  readonly exporter: string;
  readonly opset: number;
  readonly notes: string;
  /** Parts of the sentences that refuse what cannot be pruned. */
  readonly refused?: readonly string[];
  readonly blocks: readonly {
    readonly kind: 'attention' | 'mlp';
    readonly heads: number;
    readonly kv_heads: number;
    readonly head_dim: number;
    readonly width: number;
    readonly gated: boolean;
    readonly uses?: number;
  }[];
  /** Inputs and outputs that count the heads of a block (by index), and where. */
  readonly cache?: Readonly<Record<string, { readonly block: number; readonly axis: number }>>;
  readonly samples: readonly {
    readonly inputs: Values;
    readonly outputs: Values;
    readonly removals: readonly {
      readonly blocks: Readonly<Record<string, readonly number[]>>;
      readonly outputs: Values;
    }[];
  }[];
}

export function readCase(folder: string): Case {
  return JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8'));
}

export function tensorsOf(values: Values): Feeds {
  return Object.fromEntries(Object.entries(values).map(([name, written]) => [name, tensorOf(written)]));
}

function tensorOf({ dtype, shape, data }: Written): Tensor {
  const out = zeros(dtype, shape);
  if (dtype === 'float16')
    (out.data as Uint16Array).set(new Uint16Array(new Float16Array(data as number[]).buffer));
  else
    data.forEach((value, i) => {
      out.data[i] = (typeof out.data[0] === 'bigint' ? BigInt(value) : Number(value)) as never;
    });
  return out;
}

/** Runs one model on several feeds. */
export async function run(model: Model, feeds: readonly Feeds[]): Promise<Feeds[]> {
  await using session = await openSession(encodeModel(model), { threads: 1 });
  const results: Feeds[] = [];
  for (const feed of feeds) results.push(await session.run(feed));
  return results;
}

/** The largest absolute difference of two runs, over the outputs of the first; NaN where shapes differ. */
export function difference(a: Feeds, b: Feeds): number {
  return Math.max(...Object.entries(a).map(([name, tensor]) => apart(tensor, b[name])));
}

function apart(a: Tensor, b: Tensor): number {
  if (a.shape.join() !== b.shape.join()) return Number.NaN;
  const [x, y] = [numbers(a), numbers(b)];
  return x.reduce(
    (most, value, i) => (Object.is(value, y[i]) ? most : Math.max(most, Math.abs(value - y[i]))),
    0,
  );
}

function numbers({ type, data }: Tensor): number[] {
  if (type !== 'float16') return Array.from(data as ArrayLike<number | bigint>, Number);
  const bits = data as Uint16Array<ArrayBuffer>;
  return [...new Float16Array(bits.buffer, bits.byteOffset, bits.length)];
}

export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
