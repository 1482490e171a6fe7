/**
 * Text classification: a model over batches, to logits and predictions in the rows' order.
 * @module
 */
import type { Batch } from '../data/batch.ts';
import { InputError } from '../errors.ts';
import { type Progress, silent } from '../progress.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** What evaluation needs of a session. */
export interface Runner {
  run(feeds: Batch['feeds'], fetches?: readonly string[]): Promise<Record<string, Tensor>>;
}

export interface Classified {
  /** [n]: the class of the greatest logit. */
  readonly predictions: Int32Array;
  /** [n, classes] */
  readonly logits: Float32Array;
  /** [n] */
  readonly labels: Int32Array;
  readonly classes: number;
}

export interface ClassificationOptions {
  /** How many classes the configuration names; checked against the model's output. */
  readonly classes?: number | undefined;
  /** The output that holds the logits: `logits`, or else the only output [b, classes], when left out. */
  readonly output?: string;
  readonly progress?: Progress;
}

/**
 * Runs every batch.
 * @param batches that together hold each of the rows 0 … n−1 once
 * @throws InputError when no output is [b, classes], when it holds fewer than two classes or other than the
 *   configuration names, when a label is beyond them, and when a logit is not a number.
 */
export async function evaluateClassification(
  session: Runner,
  batches: readonly Batch[],
  { classes: named, output, progress = silent }: ClassificationOptions = {},
): Promise<Classified> {
  const count = batches.reduce((sum, { rows }) => sum + rows.length, 0);
  if (count === 0) throw new RangeError('evaluate: there are no rows');
  const labels = new Int32Array(count);
  let logits = new Float32Array(0);
  let classes = 0;
  let source = output;
  const task = progress.task('evaluating', count);
  for (const batch of batches) {
    const results = await session.run(batch.feeds, source === undefined ? undefined : [source]);
    const [name, found] = findLogits(results, batch.shape[0], source);
    if (source === undefined || classes === 0) {
      source = name;
      classes = found.shape[1];
      checkClasses(classes, named, name);
      logits = new Float32Array(count * classes);
    }
    const values = toFloat(found);
    for (const [at, row] of batch.rows.entries()) {
      const label = batch.labels[at];
      if (label >= classes) {
        throw new InputError(
          `data: row ${row + 1}: label ${label} is none of the model's (0 to ${classes - 1}). Correct the row, or name another label column in data.`,
        );
      }
      labels[row] = label;
      logits.set(values.subarray(at * classes, (at + 1) * classes), row * classes);
    }
    task.advance(batch.rows.length);
  }
  task.done();
  return { predictions: argmax(logits, classes), logits, labels, classes };
}

function findLogits(
  results: Record<string, Tensor>,
  b: number,
  wanted: string | undefined,
): [string, Tensor] {
  const fits = ({ shape }: Tensor) => shape.length === 2 && shape[0] === b;
  const candidates = Object.entries(results).filter(([, value]) => fits(value));
  const chosen =
    candidates.find(([name]) => name === (wanted ?? 'logits')) ??
    (wanted === undefined && candidates.length === 1 ? candidates[0] : undefined);
  if (chosen) return chosen;
  const got = Object.entries(results).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
  throw new InputError(
    `evaluate: no output named ${wanted ?? 'logits'} is [${b}, classes]; the model's outputs are ${got.join(', ')}. Export the model for text classification.`,
  );
}

function checkClasses(classes: number, named: number | undefined, output: string): void {
  if (classes < 2) {
    throw new InputError(
      `evaluate: the output "${output}" holds ${classes} value a row, where a classifier gives at least two. Export the model for text classification with a logit per class.`,
    );
  }
  if (named !== undefined && named !== classes) {
    throw new InputError(
      `evaluate: the model tells ${classes} classes apart, but its config.json names ${named}. Correct id2label in config.json.`,
    );
  }
}

function toFloat({ type, data }: Tensor): Float32Array {
  if (type === 'float32') return data as Float32Array;
  if (type === 'float64') return Float32Array.from(data as Float64Array);
  // The 16-bit floats are held as bit patterns.
  if (type === 'float16') {
    const bits = data as Uint16Array<ArrayBuffer>;
    return Float32Array.from(new Float16Array(bits.buffer, bits.byteOffset, bits.length));
  }
  if (type === 'bfloat16') {
    return new Float32Array(Uint32Array.from(data as Uint16Array, (bits) => bits << 16).buffer);
  }
  throw new InputError(
    `evaluate: the logits are ${type}, where floats are expected. Export the model for text classification.`,
  );
}

/** @throws InputError naming the first row whose logits are not all numbers. */
function argmax(logits: Float32Array, classes: number): Int32Array {
  const best = new Int32Array(logits.length / classes);
  for (let row = 0; row < best.length; row++) {
    for (let k = 0; k < classes; k++) {
      const value = logits[row * classes + k];
      if (Number.isNaN(value)) {
        throw new InputError(
          `evaluate: the model answers NaN on row ${row + 1}. Check the model's weights and its precision.`,
        );
      }
      if (value > logits[row * classes + best[row]]) best[row] = k;
    }
  }
  return best;
}
