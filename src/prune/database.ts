/**
 * The database of one block: its weights and its error at every level, from one OBS pass.
 *
 * Where the consuming matrix has a bias, the bias takes part: W·x + b is refitted over Ŵ and b̂ together, which is
 * the same problem with the columns' means taken out, H = 2·Σ(x − x̄)(x − x̄)ᵀ/tokens, and then
 * b̂ = b + (W − Ŵ)·x̄. A removed module thus leaves its mean output behind. Without a bias H is 2·Σx·xᵀ/tokens.
 * @module
 */
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Block } from '../structure/block.ts';
import type { Moments } from './hessian.ts';
import type { Kernels } from './kernels.ts';
import { keptLevels } from './levels.ts';
import { obs } from './obs.ts';

export interface Level {
  readonly kept: number;
  /** The structures that stay, ascending. */
  readonly structures: readonly number[];
  /** ‖(Ŵ − W)·X‖² / ‖W·X‖² with the means taken out; 1 for a removed module. */
  readonly error: number;
}

/** Weights of a level: Ŵᵀ [kept columns, rows], and b̂ [rows] where the matrix has a bias. */
export interface LevelWeights {
  readonly wt: Float32Array;
  readonly bias?: Float32Array;
}

export interface BlockLevels {
  readonly levels: readonly Level[];
  /** Reads one level's weights from disk. */
  weights(level: number): LevelWeights;
}

interface Index {
  readonly rows: number;
  readonly hasBias: boolean;
  readonly levels: readonly (Level & { readonly offset: number; readonly columns: number })[];
}

const INDEX = 'levels.json';
const WEIGHTS = 'levels.bin';

/** Each retry of an inversion that fails multiplies the damping by this. */
const DAMPING_STEP = 10;
const DAMPING_TRIES = 4;

/**
 * Runs the pass and writes all levels into `folder`. Levels are those of the whole block that are not wider than what is left.
 * @param wt Wᵀ [cols, rows] of the consuming matrix
 * @param bias [rows], or undefined
 * @param damping λ as a fraction of the mean of H's diagonal; raised when H cannot be inverted
 * @param left the structures that earlier prunings left, ascending; the others' rows of Wᵀ are zero
 * @returns the damping that was used
 */
export async function buildLevels(
  block: PrunedBlock,
  wt: Float32Array,
  bias: Float32Array | undefined,
  moments: Moments,
  damping: number,
  kernels: Kernels,
  folder: string,
  left: readonly number[] = Array.from({ length: block.structures }, (_, s) => s),
): Promise<number> {
  const rows = wt.length / moments.sum.length;
  const levels = keptLevels(block).filter((kept) => kept <= left.length);
  const part = narrowed(block, wt, moments, left);
  const found =
    left.length === 0
      ? { index: [goneLevel], parts: bias === undefined ? [] : [bias], used: damping }
      : await passed(part, rows, bias, damping, kernels, levels);
  const index = found.index.map((level) => ({
    ...level,
    structures: level.structures.map((s) => left[s]),
  }));
  writeFileSync(join(folder, WEIGHTS), Buffer.concat(found.parts.map(bytesOf)));
  const stored: Index = { rows, hasBias: bias !== undefined, levels: index };
  writeFileSync(join(folder, INDEX), JSON.stringify(stored));
  return found.used;
}

type PrunedBlock = Pick<Block, 'id' | 'kind' | 'structures' | 'columns'>;

/** The only level of a module that is gone: its bias stays as it is. */
const goneLevel = { kept: 0, structures: [] as readonly number[], error: 0, offset: 0, columns: 0 };

/** A block as if it had never had more than what is left of it: its columns are numbered anew. */
interface Part {
  readonly block: PrunedBlock;
  readonly wt: Float32Array;
  readonly moments: Moments;
}

function narrowed(block: PrunedBlock, wt: Float32Array, moments: Moments, left: readonly number[]): Part {
  const all = moments.sum.length;
  const columns = left.flatMap((s) => block.columns[s]).sort((a, b) => a - b);
  if (columns.length === all) return { block, wt, moments };
  const rows = wt.length / all;
  const place = new Map(columns.map((column, at) => [column, at]));
  const own = new Float32Array(columns.length * rows);
  const product = new Float64Array(columns.length ** 2);
  for (const [at, column] of columns.entries()) {
    own.set(wt.subarray(column * rows, (column + 1) * rows), at * rows);
    for (const [to, other] of columns.entries()) {
      product[at * columns.length + to] = moments.product[column * all + other];
    }
  }
  return {
    block: {
      ...block,
      structures: left.length,
      columns: left.map((s) => block.columns[s].map((column) => place.get(column)!)),
    },
    wt: own,
    moments: {
      product,
      sum: Float64Array.from(columns, (column) => moments.sum[column]),
      tokens: moments.tokens,
    },
  };
}

/** The pass itself, over the levels wanted. */
async function passed(
  { block, wt, moments }: Part,
  rows: number,
  bias: Float32Array | undefined,
  damping: number,
  kernels: Kernels,
  wanted: readonly number[],
): Promise<{ index: Index['levels'][number][]; parts: Float32Array[]; used: number }> {
  const cols = moments.sum.length;
  const h = hessian(moments, bias !== undefined);
  const alive = wt.slice();
  for (let j = 0; j < cols; j++) {
    // A column that never varies carries nothing that the bias (or zero) does not.
    if (h[j * cols + j] > 0) continue;
    h[j * cols + j] = 1;
    alive.fill(0, j * rows, (j + 1) * rows);
  }
  const { hinv, lambda, used } = await invert(h, cols, damping, kernels, block.id);
  const { levels } = await obs({ wt: alive, hinv, rows, groups: block.columns, levels: wanted }, kernels);
  const total = energy(await kernels.gram(alive, cols, rows), h);
  const mean = moments.sum.map((sum) => sum / moments.tokens);

  const index: Index['levels'][number][] = [];
  const parts: Float32Array[] = [];
  let offset = 0;
  const removed = { kept: 0, structures: [] as number[], wt: new Float32Array(0), loss: Number.NaN };
  for (const level of [...levels, removed]) {
    const columns = level.structures.flatMap((s) => block.columns[s]).sort((a, b) => a - b);
    const dense = level.kept === block.structures;
    const weights = dense ? wt : level.wt;
    const shift = changeOf(wt, weights, columns, rows);
    const undamped = level.loss - lambda * changeOf(alive, weights, columns, rows).squared();
    const error = dense ? 0 : level.kept === 0 ? 1 : Math.min(1, Math.max(0, undamped / total));
    index.push({ kept: level.kept, structures: level.structures, error, offset, columns: columns.length });
    parts.push(weights);
    if (bias !== undefined) parts.push(dense ? bias : shift.applied(bias, mean));
    offset += weights.length + (bias === undefined ? 0 : rows);
  }
  return { index, parts, used };
}

/** Opens what `buildLevels` wrote. */
export function openLevels(folder: string): BlockLevels {
  const { rows, hasBias, levels } = JSON.parse(readFileSync(join(folder, INDEX), 'utf8')) as Index;
  return {
    levels,
    weights(level) {
      const { offset, columns } = levels[level];
      const all = readFloats(join(folder, WEIGHTS), offset, columns * rows + (hasBias ? rows : 0));
      const wt = all.subarray(0, columns * rows);
      return hasBias ? { wt, bias: all.subarray(columns * rows) } : { wt };
    },
  };
}

/** H [cols, cols] in float64. */
export function hessian({ product, sum, tokens }: Moments, centred: boolean): Float64Array {
  const cols = sum.length;
  const h = new Float64Array(cols * cols);
  for (let i = 0; i < cols; i++) {
    for (let j = 0; j < cols; j++) {
      const at = i * cols + j;
      h[at] = (2 / tokens) * (product[at] - (centred ? (sum[i] * sum[j]) / tokens : 0));
    }
  }
  // A constant column's variance is zero up to rounding: make it exactly that.
  for (let i = 0; i < cols; i++) {
    const at = i * cols + i;
    if (h[at] > 1e-10 * (2 / tokens) * product[at]) continue;
    for (let j = 0; j < cols; j++) h[i * cols + j] = h[j * cols + i] = 0;
  }
  return h;
}

async function invert(h: Float64Array, cols: number, damping: number, kernels: Kernels, id: string) {
  let mean = 0;
  for (let i = 0; i < cols; i++) mean += h[i * cols + i] / cols;
  for (let attempt = 0, used = damping; attempt < DAMPING_TRIES; attempt++, used *= DAMPING_STEP) {
    const lambda = used * mean;
    const damped = h.slice();
    for (let i = 0; i < cols; i++) damped[i * cols + i] += lambda;
    const hinv = await kernels.inverse(damped, cols);
    if (hinv !== undefined) return { hinv, lambda, used };
  }
  throw new Error(
    `obs: the Hessian of ${id} (${cols} columns) is not positive definite even with damping ` +
      `${damping * DAMPING_STEP ** (DAMPING_TRIES - 1)}; its activations hold NaN or infinities`,
  );
}

/** tr(W·H·Wᵀ) = Σ G∘H. */
function energy(gram: Float32Array, h: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < gram.length; i++) sum += gram[i] * h[i];
  return sum;
}

/** W − Ŵ, where Ŵᵀ holds the rows `columns` of Wᵀ. */
function changeOf(wt: Float32Array, kept: Float32Array, columns: readonly number[], rows: number) {
  const difference = wt.slice();
  for (const [at, column] of columns.entries()) {
    for (let r = 0; r < rows; r++) difference[column * rows + r] -= kept[at * rows + r];
  }
  return {
    squared: () => difference.reduce((sum, value) => sum + value * value, 0),
    /** b + (W − Ŵ)·x̄. */
    applied(bias: Float32Array, mean: Float64Array): Float32Array {
      const out = Float64Array.from(bias);
      for (const [column, value] of mean.entries()) {
        for (let r = 0; r < rows; r++) out[r] += difference[column * rows + r] * value;
      }
      return Float32Array.from(out);
    },
  };
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function readFloats(file: string, offset: number, length: number): Float32Array {
  const out = new Float32Array(length);
  const descriptor = openSync(file, 'r');
  try {
    const read = readSync(descriptor, bytesOf(out), 0, length * 4, offset * 4);
    if (read !== length * 4)
      throw new Error(`database: ${file} is short: ${read} of ${length * 4} bytes at ${offset * 4}`);
  } finally {
    closeSync(descriptor);
  }
  return out;
}
