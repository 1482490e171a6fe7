/**
 * The verbs beside `run`: each opens what it needs, does one thing, and returns what the command line prints.
 * @module
 */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { openFolder } from '../data/folder.ts';
import { InputError } from '../errors.ts';
import { evaluateClassification } from '../evaluate/classification.ts';
import { type Score, score } from '../evaluate/score.ts';
import { nearest } from '../nearest.ts';
import { saveModel } from '../onnx/save.ts';
import type { Progress } from '../progress.ts';
import type { LatencyTable } from '../prune/latency.ts';
import { type Comparison, compareModels } from '../runtime/compare.ts';
import type { Hardware } from '../runtime/hardware.ts';
import { openSession } from '../runtime/session.ts';
import { type Analysis, analyse } from '../structure/analyse.ts';
import type { Block, Refusal } from '../structure/block.ts';
import { type CacheForm, cutCaches } from '../structure/caches.ts';
import { draw, type Lane } from '../structure/explain.ts';
import { claim } from './claim.ts';
import {
  openDataset,
  openMachine,
  openModelFolder,
  openValidModel,
  prunableBlocks,
  timingFeeds,
} from './job.ts';
import { openStages } from './stages.ts';
import { profileStep } from './steps.ts';
import { checkedCut, feedsToCheck } from './verify.ts';

/**
 * What can be removed, in forward order, and what is refused and why.
 * @param graph the block to draw, or 'all' of them
 */
export async function inspect(path: string, graph?: string): Promise<Inspection> {
  const model = await openValidModel(openFolder(path).modelFile);
  const analysis = analyse(model);
  const blocks = analysis.blocks.map(({ columns, ...block }) => block);
  const { refused } = analysis;
  if (graph === undefined) return { blocks, refused };
  const drawn = graph === 'all' ? blocks : [blockOf('inspect', analysis, graph)];
  const graphs = Object.fromEntries(drawn.map(({ id }) => [id, draw(model, analysis, id)]));
  return { blocks, refused, graphs };
}

export interface Inspection {
  readonly blocks: readonly Omit<Block, 'columns'>[];
  readonly refused: readonly Refusal[];
  /** Block id → the steps from its consuming matrix back to its producers. */
  readonly graphs?: Readonly<Record<string, Lane>>;
}

/** @throws InputError when the model has no such block */
function blockOf(verb: string, { blocks }: Analysis, id: string): Block {
  const block = blocks.find((known) => known.id === id);
  if (block) return block;
  const ids = blocks.map((known) => known.id);
  const meant = nearest(id, ids);
  throw new InputError(
    `${verb}: the model has no block "${id}", expected one of ${ids.join(', ') || 'none'}. ` +
      (meant ? `Did you mean ${meant}?` : 'Name blocks as `ziplm inspect` lists them.'),
  );
}

/** An input or output that a cut made smaller: its axis of heads had `from` slices and has `to`. */
export interface Resized {
  readonly name: string;
  readonly axis: number;
  readonly from: number;
  readonly to: number;
}

export interface CutReport {
  readonly file: string;
  readonly maxAbsDiff: number;
  readonly removed: Readonly<Record<string, number>>;
  /** Only with compact caches: what whoever drives the model must know. */
  readonly caches?: readonly Resized[];
}

/**
 * Removes the named structures as they are, checks the result against the masked model, and writes it.
 * @param removal block id → indices along the consuming matrix; all of them remove the module
 * @param cache whether inputs and outputs that count heads keep all of them (`keep`), or only those that stay (`compact`)
 */
export async function cutModel(
  path: string,
  removal: Readonly<Record<string, readonly number[]>>,
  outputFile: string,
  cache: CacheForm = 'keep',
): Promise<CutReport> {
  const opened = await openModelFolder(path);
  const analysis = prunableBlocks(opened);
  for (const [id, indices] of Object.entries(removal)) {
    const block = blockOf('cut', analysis, id);
    const wrong = indices.find(
      (index, at) => !(index >= 0 && index < block.structures) || indices.indexOf(index) < at,
    );
    if (wrong !== undefined) {
      throw new InputError(
        `cut: ${id} holds ${block.structures} structures, expected distinct indices 0 to ${block.structures - 1}, got ${wrong}` +
          `${indices.filter((index) => index === wrong).length > 1 ? ' twice' : ''}. Correct the file given to --remove.`,
      );
    }
  }
  const folder = dirname(resolve(outputFile));
  if (!existsSync(folder)) {
    throw new InputError(
      `cut: --output ${outputFile}: there is no folder ${folder}. Make it, or choose another place.`,
    );
  }
  const feeds = await feedsToCheck(opened);
  const wanted = new Map(Object.entries(removal).filter(([, indices]) => indices.length > 0));
  const { model, maxAbsDiff } = await checkedCut(opened.model, analysis, wanted, feeds, {}, { cache });
  await saveModel(model, outputFile);
  const removed = Object.fromEntries(Object.entries(removal).map(([id, indices]) => [id, indices.length]));
  const report = { file: outputFile, maxAbsDiff, removed };
  if (cache === 'keep') return report;
  const caches = cutCaches(analysis, wanted).map(({ name, axis, of, kept }) => ({
    name,
    axis,
    from: of,
    to: kept.length,
  }));
  return { ...report, caches };
}

/** Times models against the first one by rounds of fresh processes, on made-up inputs of the configured shape. */
export async function compare(
  dense: string,
  others: readonly string[],
  config: Config,
  progress: Progress,
): Promise<Comparison> {
  const opened = await openModelFolder(dense);
  const otherFiles = others.map((path) => openFolder(path).modelFile);
  for (const file of otherFiles) await openValidModel(file);
  const files = [opened.folder.modelFile, ...otherFiles];
  const { session } = await openMachine(config, progress);
  return compareModels(files, {
    ...session,
    feeds: timingFeeds(opened, config),
    rounds: config.rounds,
    progress,
  });
}

/** The task's metric on the evaluation rows, with its interval. */
export async function evaluate(
  path: string,
  config: Config,
  progress: Progress,
): Promise<{ readonly metric: Score; readonly rows: number }> {
  const opened = await openModelFolder(path);
  const data = await openDataset(opened, config, 'evaluation', progress);
  const { session: options } = await openMachine(config, progress);
  await using session = await openSession(opened.folder.modelFile, options);
  const classes = opened.folder.config?.labels?.length;
  const found = await evaluateClassification(session, data.batches, { classes, progress });
  const seed = config.search.seed;
  const metric = score(found.predictions, found.labels, config.metric, { classes: found.classes, seed });
  return { metric, rows: data.labels.length };
}

/** The hardware's fingerprint and the latency table. */
export async function profile(
  config: Config,
  output: string,
  progress: Progress,
): Promise<{
  readonly hardware: Hardware;
  readonly provider: string;
  readonly shape: Config['shape'];
  readonly latencyTable: LatencyTable['entries'];
  readonly fixedMs: number;
  readonly modelMs: number;
}> {
  const opened = await openModelFolder(config.model);
  const analysis = prunableBlocks(opened);
  const machine = await openMachine(config, progress);
  using _claim = claim(output);
  const stages = openStages(join(output, '.work'), progress);
  const { entries, ...whole } = await profileStep({ opened, analysis, machine, config, stages, progress });
  return {
    hardware: machine.hardware,
    provider: machine.session.provider,
    shape: config.shape,
    latencyTable: entries,
    ...whole,
  };
}
