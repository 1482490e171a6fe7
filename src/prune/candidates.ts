/**
 * Candidates: one level for each block. All of them run in one session, whose block weights are inputs of free
 * width, so that a candidate costs its own pruned time and no graph is ever cut or loaded for it.
 * @module
 */
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { openSession, type SessionOptions } from '../runtime/session.ts';
import type { Analysis } from '../structure/analyse.ts';
import type { Block, Removal } from '../structure/block.ts';
import { parametrise } from '../structure/parametrise.ts';
import { take } from '../tensor/slice.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { BlockLevels } from './database.ts';
import type { Assignment } from './spdy.ts';

export interface Candidates extends AsyncDisposable {
  /** Runs the model with the levels of `assignment`. */
  run(assignment: Assignment, feeds: Readonly<Record<string, Tensor>>, output: string): Promise<Tensor>;
}

/** How many bytes of sliced weights are kept between candidates. */
const CACHE_BYTES = 512 * 2 ** 20;

/**
 * Opens the session of all candidates.
 * @param databases in the order of `analysis.blocks`
 */
export async function openCandidates(
  model: Model,
  analysis: Analysis,
  databases: readonly BlockLevels[],
  options: SessionOptions,
): Promise<Candidates> {
  const parametric = parametrise(model, analysis);
  const session = await openSession(encodeModel(parametric.model), options);
  const cache = new Map<string, Record<string, Tensor>>();
  let cached = 0;

  /** The parameters of one block at one level. */
  function weightsOf(b: number, level: number): Record<string, Tensor> {
    const key = `${b}/${level}`;
    const known = cache.get(key);
    if (known !== undefined) {
      cache.delete(key); // the most recently used go last
      cache.set(key, known);
      return known;
    }
    const block = analysis.blocks[b];
    const at = databases[b].levels[level];
    const weights = consumerWeights(block, databases[b], level);
    // A removed module still runs, on one structure whose weights are zero.
    const kept = at.kept === 0 ? [0] : at.structures;
    const feeds: Record<string, Tensor> = {};
    for (const { name, block: owner, initializer, stored, axis, indices } of parametric.parameters) {
      if (owner !== block.id) continue;
      if (initializer === block.consumer.weight)
        feeds[name] = axis === -1 ? fullWeight(block, databases[b], level) : weights.weight;
      else if (axis === -1) feeds[name] = weights.bias ?? stored.tensor();
      else feeds[name] = take(stored.tensor(), axis, indices(kept));
    }
    cache.set(key, feeds);
    cached += sizeOfFeeds(feeds);
    for (const [oldest, feeds] of cache) {
      if (cached <= CACHE_BYTES || oldest === key) break;
      cache.delete(oldest);
      cached -= sizeOfFeeds(feeds);
    }
    return feeds;
  }

  return {
    async run(assignment, feeds, output) {
      const weights = assignment.map((level, b) => weightsOf(b, level));
      const found = await session.run(Object.assign({}, feeds, ...weights), [output]);
      return found[output];
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}

/** The consuming matrix of a level as the graph stores it, cut to the columns that stay (one of zeros for none), and its bias. */
function consumerWeights(
  block: Block,
  database: BlockLevels,
  level: number,
): { weight: Tensor; bias?: Tensor } {
  const { rows, axis } = block.consumer;
  const { wt, bias } = database.weights(level);
  const kept = database.levels[level].kept === 0 ? new Float32Array(block.columns[0].length * rows) : wt;
  const columns = kept.length / rows;
  const weight =
    axis === 0
      ? tensor('float32', [columns, rows], kept)
      : tensor('float32', [rows, columns], transpose(kept, columns, rows));
  return bias === undefined ? { weight } : { weight, bias: tensor('float32', [rows], bias) };
}

/**
 * What an assignment means for the model: the consuming matrices at full size with the refitted columns (zeros
 * where they are gone), in the orientation of the graph, and the structures to remove.
 */
export function solution(
  analysis: Analysis,
  databases: readonly BlockLevels[],
  assignment: Assignment,
): { weights: Map<string, { weight: Tensor; bias?: Tensor }>; removal: Removal } {
  const weights = new Map<string, { weight: Tensor; bias?: Tensor }>();
  const removal = new Map<string, readonly number[]>();
  for (const [b, block] of analysis.blocks.entries()) {
    const { kept, structures } = databases[b].levels[assignment[b]];
    if (kept === block.structures) continue;
    const { bias } = databases[b].weights(assignment[b]);
    const weight = fullWeight(block, databases[b], assignment[b]);
    weights.set(
      block.id,
      bias === undefined ? { weight } : { weight, bias: tensor('float32', [block.consumer.rows], bias) },
    );
    const stays = new Set(structures);
    removal.set(
      block.id,
      block.columns.map((_, s) => s).filter((s) => !stays.has(s)),
    );
  }
  return { weights, removal };
}

/** The consuming matrix of a level at full size, as the graph stores it: zeros where structures are gone. */
function fullWeight(block: Block, database: BlockLevels, level: number): Tensor {
  const { rows, cols, axis } = block.consumer;
  const { wt } = database.weights(level);
  const full = new Float32Array(cols * rows);
  const columns = database.levels[level].structures.flatMap((s) => block.columns[s]).sort((a, c) => a - c);
  for (const [from, to] of columns.entries()) {
    full.set(wt.subarray(from * rows, (from + 1) * rows), to * rows);
  }
  return axis === 0
    ? tensor('float32', [cols, rows], full)
    : tensor('float32', [rows, cols], transpose(full, cols, rows));
}

/** [rows, cols] → [cols, rows]. */
export function transpose(values: Float32Array, rows: number, cols: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) out[c * rows + r] = values[r * cols + c];
  return out;
}

function sizeOfFeeds(feeds: Record<string, Tensor>): number {
  return Object.values(feeds).reduce((sum, { data }) => sum + data.byteLength, 0);
}
