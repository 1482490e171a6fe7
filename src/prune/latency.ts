import { InputError, MachineError } from '../errors.ts';
import { cloneModel } from '../onnx/edit.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { saveModel } from '../onnx/save.ts';
import type { Progress } from '../progress.ts';
import { timeEach } from '../runtime/profile.ts';
import { openGraph } from '../runtime/graph.ts';
import type { SessionOptions } from '../runtime/session.ts';
import type { Analysis } from '../structure/analyse.ts';
import type { Block } from '../structure/block.ts';
import { conditionsOf, flatten, nest } from '../structure/branches.ts';
import { extract, signature } from '../structure/extract.ts';
import { median } from '../tensor/statistics.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { alone, weightBytes } from './alone.ts';
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
  /** How many tokens a run reads, over the batch; many when left out. */
  readonly tokens?: number;
}

/** The key of the whole model among the timed levels. */
const WHOLE = 'model';
/** Timed at each visit, at least: five runs of a small block are over before the machine has settled. */
const MIN_SECONDS = 0.02;

/**
 * Times every level of every distinct block, and the whole model among them, so that a machine that changes its
 * pace changes it for all alike.
 * @param feeds the model's inputs at the promised shape
 * @throws InputError when the model does not run on them
 */
export async function latencyTable(
  model: Model,
  analysis: Analysis,
  feeds: Readonly<Record<string, Tensor>>,
  { rounds = 3, progress, tokens = Number.POSITIVE_INFINITY, ...session }: ProfileOptions,
): Promise<LatencyTable> {
  const groups = Map.groupBy(analysis.blocks, (block) => signature(model, analysis, block.id));
  const conditions = await conditionsIn(model, feeds, session);
  const parts = [...groups].map(([key, blocks]) => ({
    key,
    blocks,
    extract: extract(model, analysis, blocks[0].id, { conditions, caches: true }),
  }));
  const boundary = new Set(parts.flatMap((part) => part.extract.inputs));
  const values = await valuesOf(model, [...boundary], feeds, session);
  const modelBytes = weightBytes(model);
  const benches = parts.map((part) => alone(part.extract, values, { tokens, modelBytes }));

  const jobs = benches.flatMap(({ feeds, level, idle }, row) => {
    const levels = keptLevels(parts[row].blocks[0]).filter((kept) => kept > 0);
    return [
      { key: `${row}/0`, feeds, bytes: () => encodeModel(idle()) },
      ...levels.map((kept) => ({ key: `${row}/${kept}`, feeds, bytes: () => encodeModel(level(kept)) })),
    ];
  });
  const whole = { key: WHOLE, feeds: { ...feeds }, save: (file: string) => saveModel(model, file) };
  const { provider = 'cpu', threads } = session;
  const times = await timeEach([...jobs, whole], {
    provider,
    ...(threads === undefined ? {} : { threads }),
    rounds,
    minSeconds: MIN_SECONDS,
    progress,
  });

  const entries = parts.map(({ key, blocks }, row): LatencyEntry => {
    const { copies } = benches[row];
    const idleMs = median(times.get(`${row}/0`)!);
    return {
      signature: key,
      kind: blocks[0].kind,
      blocks: blocks.map(({ id }) => id),
      rows: keptLevels(blocks[0]).map((kept) => {
        if (kept === 0) return { kept, medianMs: 0, low: 0, high: 0 };
        const own = times.get(`${row}/${kept}`)!.map((ms) => Math.max(0, ms - idleMs) / copies);
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

/**
 * The table of a mix: every time is the sum of the regimes' times by their weights, which is the time of a request.
 * Intervals are sums too, so that they hold whatever the regimes' errors have in common.
 * @param parts tables of one model, at least one
 */
export function mixTables(
  parts: readonly { readonly weight: number; readonly table: LatencyTable }[],
): LatencyTable {
  const [{ table: first }] = parts;
  const sum = (of: (table: LatencyTable) => number) =>
    parts.reduce((total, { weight, table }) => total + weight * of(table), 0);
  return {
    entries: first.entries.map((entry, e) => ({
      ...entry,
      rows: entry.rows.map(({ kept }, r) => {
        const row = (table: LatencyTable) => {
          const { signature, rows } = table.entries[e];
          if (signature !== entry.signature || rows[r].kept !== kept)
            throw new Error(`latency: the tables of ${entry.signature} at ${kept} are of different models`);
          return rows[r];
        };
        return {
          kept,
          medianMs: sum((table) => row(table).medianMs),
          low: sum((table) => row(table).low),
          high: sum((table) => row(table).high),
        };
      }),
    })),
    modelMs: sum(({ modelMs }) => modelMs),
    fixedMs: sum(({ fixedMs }) => fixedMs),
  };
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

/** How the conditions of the model's branches come out on these inputs. */
async function conditionsIn(
  model: Model,
  feeds: Readonly<Record<string, Tensor>>,
  options: SessionOptions,
): Promise<Map<string, boolean>> {
  const names = conditionsOf(flatten(model));
  if (names.length === 0) return new Map();
  const values = await valuesOf(model, names, feeds, options);
  return new Map(names.map((name) => [name, Boolean(values[name].data[0])]));
}

/** What a run computes, or is given, at these places. */
async function valuesOf(
  model: Model,
  names: readonly string[],
  feeds: Readonly<Record<string, Tensor>>,
  options: SessionOptions,
): Promise<Record<string, Tensor>> {
  const given = Object.fromEntries(names.flatMap((name) => (name in feeds ? [[name, feeds[name]]] : [])));
  const wanted = names.filter((name) => !(name in given));
  if (wanted.length === 0) return given;
  // What a branch computes is told outside of it: nesting puts a node where all its readers see it.
  const probed = flatten(cloneModel(model));
  const outputs = new Set(probed.graph.outputs.map(({ name }) => name));
  for (const name of wanted) if (!outputs.has(name)) probed.graph.outputs.push({ name });
  await using session = await openGraph(nest(probed), options);
  try {
    return { ...given, ...(await session.run(feeds, wanted)) };
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    const shapes = Object.entries(feeds).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
    throw new InputError(
      `latency: the model does not run on ${shapes.join(', ')}: ${(cause as Error).message} Set \`shape\` to sizes that it takes.`,
      { cause },
    );
  }
}
