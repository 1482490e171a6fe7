import { cloneModel, freshName, newNode } from '../onnx/edit.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import type { Progress } from '../progress.ts';
import { timeEach } from '../runtime/profile.ts';
import { openSession, type SessionOptions } from '../runtime/session.ts';
import { type Analysis, analyse } from '../structure/analyse.ts';
import type { Block } from '../structure/block.ts';
import { flatten, nest } from '../structure/branches.ts';
import { cut } from '../structure/cut.ts';
import { type Extract, extract, signature } from '../structure/extract.ts';
import { median } from '../tensor/statistics.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { keptLevels } from './levels.ts';

export interface LatencyRow {
  readonly kept: number;
  readonly medianMs: number;
  readonly low: number;
  readonly high: number;
}

/** One row of the table: blocks that are the same to the hardware. */
export interface LatencyEntry {
  readonly signature: string;
  readonly kind: Block['kind'];
  readonly blocks: readonly string[];
  /** By falling width; the removed module takes 0. */
  readonly rows: readonly LatencyRow[];
}

export interface LatencyTable {
  readonly entries: readonly LatencyEntry[];
  /** The whole dense model, and what no block accounts for. */
  readonly modelMs: number;
  readonly fixedMs: number;
}

export interface ProfileOptions extends SessionOptions {
  readonly rounds?: number;
  readonly progress: Progress;
}

/** The key of the whole model among the timed levels. */
const WHOLE = 'model';

/**
 * Times every level of every distinct block, and the whole model among them, so that a machine that changes its
 * pace changes it for all alike.
 * @param feeds the model's inputs at the promised shape
 */
export async function latencyTable(
  model: Model,
  analysis: Analysis,
  feeds: Readonly<Record<string, Tensor>>,
  { rounds = 3, progress, ...session }: ProfileOptions,
): Promise<LatencyTable> {
  const groups = Map.groupBy(analysis.blocks, (block) => signature(model, analysis, block.id));
  const parts = [...groups].map(([key, blocks]) => ({
    key,
    blocks,
    ...extract(model, analysis, blocks[0].id),
  }));
  const values = await boundaryValues(model, parts, feeds, session);

  const jobs = parts.flatMap((part, row) => {
    const inputs = Object.fromEntries(part.inputs.map((name) => [name, values[name]]));
    const within = analyse(part.model);
    const [block] = within.blocks;
    const levels = keptLevels(block).filter((kept) => kept > 0);
    const idle = { key: `${row}/0`, feeds: inputs, bytes: () => encodeModel(idleModel(part)) };
    return [
      idle,
      ...levels.map((kept) => ({
        key: `${row}/${kept}`,
        feeds: inputs,
        bytes: () => {
          const gone = Array.from({ length: block.structures - kept }, (_, i) => kept + i);
          return encodeModel(sliced(cut(part.model, within, new Map([[block.id, gone]])), part.output));
        },
      })),
    ];
  });
  jobs.push({ key: WHOLE, feeds: { ...feeds }, bytes: () => encodeModel(model) });
  const { provider = 'cpu', threads } = session;
  const times = await timeEach(jobs, {
    provider,
    ...(threads === undefined ? {} : { threads }),
    rounds,
    progress,
  });

  const entries = parts.map(({ key, blocks }, row): LatencyEntry => {
    const idleMs = median(times.get(`${row}/0`)!);
    return {
      signature: key,
      kind: blocks[0].kind,
      blocks: blocks.map(({ id }) => id),
      rows: keptLevels(blocks[0]).map((kept) => {
        if (kept === 0) return { kept, medianMs: 0, low: 0, high: 0 };
        const own = times.get(`${row}/${kept}`)!.map((ms) => Math.max(0, ms - idleMs));
        return { kept, medianMs: median(own), low: Math.min(...own), high: Math.max(...own) };
      }),
    };
  });
  const modelMs = median(times.get(WHOLE)!);
  const blocksMs = analysis.blocks.reduce((sum, { id }) => sum + timesOf(entries, id)[0], 0);
  // Blocks alone are now and then slower than inside the model; then the model's time is all theirs, in proportion.
  const scale = Math.min(1, modelMs / blocksMs);
  const fixedMs = Math.max(0, modelMs - blocksMs);
  return { entries: entries.map((entry) => scaled(entry, scale)), modelMs, fixedMs };
}

function scaled(entry: LatencyEntry, by: number): LatencyEntry {
  const rows = entry.rows.map(({ kept, medianMs, low, high }) => ({
    kept,
    medianMs: medianMs * by,
    low: low * by,
    high: high * by,
  }));
  return { ...entry, rows };
}

/** What the table promises when each block keeps so many structures. */
export function predictedSpeedup(
  { entries, modelMs, fixedMs }: LatencyTable,
  blocks: readonly Pick<Block, 'id'>[],
  kept: readonly number[],
): number {
  const blocksMs = blocks.reduce((sum, { id }, b) => sum + timeAt(entries, id, kept[b]), 0);
  return modelMs / (fixedMs + blocksMs);
}

/** The time of one block that keeps so many structures, in milliseconds. */
export function timeAt(table: readonly LatencyEntry[], block: string, kept: number): number {
  const row = entryOf(table, block).rows.find((one) => one.kept === kept);
  if (row === undefined) throw new Error(`latency: the table has no row for ${block} at ${kept} structures`);
  return row.medianMs;
}

/** The times of one block's levels in the order of `keptLevels`, in milliseconds. */
export function timesOf(table: readonly LatencyEntry[], block: string): number[] {
  return entryOf(table, block).rows.map(({ medianMs }) => medianMs);
}

function entryOf(table: readonly LatencyEntry[], block: string): LatencyEntry {
  const entry = table.find(({ blocks }) => blocks.includes(block));
  if (entry === undefined) throw new Error(`latency: the table has no row for ${block}`);
  return entry;
}

/** What the dense model computes at the blocks' boundaries. */
async function boundaryValues(
  model: Model,
  parts: readonly Extract[],
  feeds: Readonly<Record<string, Tensor>>,
  options: SessionOptions,
): Promise<Record<string, Tensor>> {
  const names = new Set(parts.flatMap(({ inputs }) => inputs));
  const given = Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name)));
  const wanted = [...names].filter((name) => !(name in given));
  // What a branch computes is told outside of it: nesting puts a node where all its readers see it.
  const probed = flatten(cloneModel(model));
  const outputs = new Set(probed.graph.outputs.map(({ name }) => name));
  for (const name of wanted) if (!outputs.has(name)) probed.graph.outputs.push({ name });
  await using session = await openSession(encodeModel(nest(probed)), options);
  return { ...given, ...(await session.run(feeds, wanted)) };
}

/** A model of the same inputs that does nothing: what a run costs besides the block. */
function idleModel(part: Extract): Model {
  const model = cloneModel(part.model);
  model.graph.nodes = [];
  model.graph.initializers.clear();
  model.graph.valueInfo.clear();
  return sliced(model, part.inputs[0]);
}

/** The model with only the first slice of its output: index 0 of the first axis. */
function sliced(part: Model, output: string): Model {
  const model = cloneModel(part);
  const { graph } = model;
  const [zero, out] = [freshName(graph, 'first'), freshName(graph, 'slice')];
  graph.initializers.set(zero, storedTensor(tensor('int64', [1], BigInt64Array.of(0n))));
  graph.nodes.push(newNode('Gather', [output, zero], [out], [['axis', { kind: 'int', value: 0n }]]));
  graph.outputs = [{ name: out }];
  return model;
}
