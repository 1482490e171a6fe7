/**
 * Encoded rows to batches of the model's inputs.
 *
 * Rows are sorted by length, so that a batch holds rows of like length and little padding: on sentences this is
 * two to three times less work than padding all to the longest. Each batch says which rows it holds.
 * @module
 */
import { InputError } from '../errors.ts';
import type { Dim, ValueInfo } from '../onnx/model.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { filled, type Meaning, meaningOf } from './feeds.ts';
import type { ModelConfig } from './folder.ts';
import type { EncodedRow, Tokenizer } from './tokenizer.ts';

export interface Batch {
  /** The model's inputs, each [b, s] and of the type that the graph declares. */
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly shape: readonly [b: number, s: number];
  /** Indices of the rows, in the batch's order. Fewer than b only where the graph fixes b: the rest is filler. */
  readonly rows: readonly number[];
  /** [rows.length] */
  readonly labels: Int32Array;
  /** [b, s], row-major: 1 where a row's token stands, 0 at padding and in filler rows. */
  readonly mask: Uint8Array;
  /** Number of ones in `mask`. */
  readonly tokens: number;
}

export interface BatchOptions {
  /** The graph's inputs (those that are not initializers). */
  readonly inputs: readonly ValueInfo[];
  readonly padId: number;
  /** Rows a batch. Give this, or `batchTokens`. */
  readonly batchSize?: number;
  /** At most so many ids a batch, padding included; one row at least. */
  readonly batchTokens?: number;
  /** Sort by length (default), or keep the rows' order. */
  readonly sort?: boolean;
  /** Pad every batch to this length instead of its longest row. */
  readonly padTo?: number;
}

/**
 * @throws InputError for an input that no row can fill, and for a row longer than the fixed length.
 */
export function batches(rows: readonly EncodedRow[], options: BatchOptions): Batch[] {
  const { inputs, padId, sort = true, batchTokens = Number.POSITIVE_INFINITY } = options;
  const axes = textAxes(inputs);
  const padTo = axes.sequence ?? options.padTo;
  const size = axes.batch ?? options.batchSize ?? (Number.isFinite(batchTokens) ? rows.length : 32);
  const order = [...rows.keys()];
  if (sort) order.sort((a, b) => rows[a].ids.length - rows[b].ids.length || a - b);

  const out: Batch[] = [];
  for (let from = 0; from < order.length; ) {
    let longest = padTo ?? 1;
    let to = from;
    while (to < order.length && to - from < size) {
      const length = rows[order[to]].ids.length;
      if (padTo !== undefined && length > padTo) {
        throw new InputError(
          `data: row ${order[to] + 1} is ${length} tokens long, but the batch is padded to ${padTo}. Set shape.sequence to ${padTo} or less.`,
        );
      }
      const width = Math.max(longest, length);
      if (to > from && axes.batch === undefined && width * (to - from + 1) > batchTokens) break;
      longest = width;
      to++;
    }
    out.push(assemble(rows, order.slice(from, to), [axes.batch ?? to - from, longest], inputs, padId));
    from = to;
  }
  return out;
}

/** Which lengths the graph fixes, and that every input has a meaning. */
function textAxes(inputs: readonly ValueInfo[]): { batch: number | undefined; sequence: number | undefined } {
  for (const { name, shape } of inputs) {
    if (meaningOf(name) === undefined || (shape !== undefined && shape.length !== 2)) {
      throw new InputError(
        `model: the input "${name}" ${shape ? `[${shape.map((dim) => dim ?? '?').join(', ')}] ` : ''}cannot be filled from text; known are input_ids, attention_mask, token_type_ids and position_ids, each [batch, sequence]. Export the model for text classification.`,
      );
    }
  }
  if (!inputs.some(({ name }) => meaningOf(name) === 'ids')) {
    throw new InputError(
      `model: no input is named input_ids, so text cannot be fed. Export the model for text classification.`,
    );
  }
  const fixed = (axis: 0 | 1) => {
    const dims = inputs
      .map(({ shape }) => shape?.[axis])
      .filter((dim): dim is Dim & number => typeof dim === 'number');
    // position_ids may be declared [1, sequence]: it broadcasts over the batch.
    return dims.find((dim) => dim > 1) ?? (dims.length === inputs.length ? dims[0] : undefined);
  };
  return { batch: fixed(0), sequence: fixed(1) };
}

function assemble(
  rows: readonly EncodedRow[],
  members: readonly number[],
  [b, s]: readonly [number, number],
  inputs: readonly ValueInfo[],
  padId: number,
): Batch {
  // Filler repeats the last row: an all-masked row would divide by nothing in some graphs.
  const at = (index: number) => rows[members[Math.min(Math.floor(index / s), members.length - 1)]];
  const value: Record<Meaning, (index: number) => number> = {
    ids: (index) => at(index).ids[index % s] ?? padId,
    mask: (index) => (index % s < at(index).ids.length ? 1 : 0),
    types: (index) => at(index).typeIds[index % s] ?? 0,
    positions: (index) => index % s,
  };
  const feeds: Record<string, Tensor> = {};
  for (const input of inputs) {
    const meaning = meaningOf(input.name) as Meaning;
    const broadcast = input.shape?.[0] === 1 && meaning === 'positions';
    feeds[input.name] = filled(input, [broadcast ? 1 : b, s], value[meaning]);
  }
  const mask = new Uint8Array(b * s);
  let tokens = 0;
  for (const [row, member] of members.entries()) {
    const length = rows[member].ids.length;
    mask.fill(1, row * s, row * s + length);
    tokens += length;
  }
  return {
    feeds,
    shape: [b, s],
    rows: members,
    labels: Int32Array.from(members, (m) => rows[m].label),
    mask,
    tokens,
  };
}

/** How long an input may be: the least of what is asked for, and what model, tokenizer and graph can take. */
export function usableLength(
  sequence: number,
  {
    config,
    tokenizer,
    inputs,
  }: { config?: ModelConfig | undefined; tokenizer?: Tokenizer; inputs?: readonly ValueInfo[] },
): number {
  const fixed = inputs?.map(({ shape }) => shape?.[1]).filter((dim) => typeof dim === 'number' && dim > 0) as
    | number[]
    | undefined;
  return Math.min(
    sequence,
    config?.maxPositions ?? sequence,
    tokenizer?.maxLength ?? sequence,
    ...(fixed ?? []),
  );
}
