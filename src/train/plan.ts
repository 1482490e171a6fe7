/**
 * Which rows each batch of a training holds. An epoch is drawn from the seed and its number alone, so that a training that was
 * stopped goes on with the batches that it would have had.
 *
 * Rows of like length share a batch: shuffled rows are sorted by length within windows of many batches, and the
 * batches are shuffled again.
 * @module
 */
import { type Batch, batches } from '../data/batch.ts';
import type { EncodedRow } from '../data/tokenizer.ts';
import { InputError } from '../errors.ts';
import type { ValueInfo } from '../onnx/model.ts';
import { integer, type Random, random } from '../tensor/random.ts';

/** Batches whose rows are sorted together: enough for little padding, few enough that batches differ between epochs. */
const WINDOW = 50;

export interface PlanOptions {
  readonly rows: readonly EncodedRow[];
  readonly padId: number;
  /** The model's inputs. */
  readonly inputs: readonly ValueInfo[];
  readonly epochs: number;
  /** Rows of a batch, and batches of a step. */
  readonly batch: number;
  readonly accumulate: number;
  readonly padTo?: number;
  readonly seed: number;
  /** Epochs between evaluations; 1 when left out. */
  readonly evaluateEvery?: number;
}

export interface Plan {
  readonly steps: number;
  /** The batch number `at` of the whole training: batches of an epoch that make no whole step go to the next one's first. */
  batch(at: number): Batch;
  isEvaluated(step: number): boolean;
}

/** @throws InputError when the rows do not make one step, or the graph fixes another batch */
export function planTraining(options: PlanOptions): Plan {
  const { rows, padId, inputs, epochs, batch: size, accumulate, padTo, seed, evaluateEvery = 1 } = options;
  const lengths = rows.map(({ ids }) => ids.length);
  let current = { epoch: -1, members: [] as number[][] };
  const drawn = (epoch: number) => {
    if (current.epoch !== epoch) current = { epoch, members: epochBatches(lengths, { size, seed, epoch }) };
    return current.members;
  };
  const perEpoch = drawn(0).length;
  const assembled = (members: readonly number[]): Batch => {
    const own = members.map((row) => rows[row]);
    const fixed = padTo === undefined ? {} : { padTo };
    const [batch, ...more] = batches(own, { inputs, padId, batchSize: size, sort: false, ...fixed });
    if (more.length === 0) return batch;
    const [b] = batch.shape;
    throw new InputError(
      `train: the model takes batches of ${b} only, but the batch is ${size}. Set it to ${b}.`,
    );
  };
  const steps = Math.floor((epochs * perEpoch) / accumulate);
  if (steps === 0) {
    throw new InputError(
      `train: ${rows.length} rows in batches of ${size} for ${epochs} epochs make no step of ${accumulate} batches. Give more rows or epochs.`,
    );
  }
  assembled(drawn(0).toSorted((a, b) => b.length - a.length)[0]); // a batch that does not fit is said before work begins
  const between = Math.max(1, Math.round((evaluateEvery * perEpoch) / accumulate));
  return {
    steps,
    batch(at) {
      const members = drawn(Math.floor(at / perEpoch))[at % perEpoch];
      return { ...assembled(members), rows: members };
    },
    isEvaluated: (step) => step % between === 0,
  };
}

/**
 * The batches of one epoch.
 * @param lengths tokens of each row
 * @returns each row once; the last batch of a window may be smaller than `size`
 */
export function epochBatches(
  lengths: readonly number[],
  { size, seed, epoch }: { readonly size: number; readonly seed: number; readonly epoch: number },
): number[][] {
  // Odd multipliers: neighbouring seeds and epochs give unrelated generators.
  const next = random(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b));
  const order = shuffled([...lengths.keys()], next);
  const out: number[][] = [];
  for (let from = 0; from < order.length; from += size * WINDOW) {
    const window = order.slice(from, from + size * WINDOW).toSorted((a, b) => lengths[a] - lengths[b]);
    for (let at = 0; at < window.length; at += size) out.push(window.slice(at, at + size));
  }
  return shuffled(out, next);
}

/** A copy in random order (Fisher and Yates). */
function shuffled<T>(items: readonly T[], next: Random): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = integer(next, i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
