/**
 * The verbs beside `run`: each opens what it needs, does one thing, and returns what the command line prints.
 * @module
 */
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { openFolder } from '../data/folder.ts';
import { InputError } from '../errors.ts';
import type { Score } from '../evaluate/score.ts';
import { nearest } from '../nearest.ts';
import type { Progress } from '../progress.ts';
import type { LatencyTable } from '../prune/latency.ts';
import type { RunRecord } from '../record.ts';
import { type Comparison, compareModels } from '../runtime/compare.ts';
import type { Hardware } from '../runtime/hardware.ts';
import { openSession } from '../runtime/session.ts';
import { type Analysis, analyse } from '../structure/analyse.ts';
import type { Block, Refusal } from '../structure/block.ts';
import { draw, type Lane } from '../structure/explain.ts';
import { claim } from './claim.ts';
import { openDataset, openMachine, openModelFolder, openValidModel, prunableBlocks } from './job.ts';
import { profileStep } from './profile.ts';
import { type RegimeShape, recordedShape, timedRegimes } from './regimes.ts';
import { openStages } from './stages.ts';
import { settled, taskOf } from './tasks/registry.ts';

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
export function blockOf(verb: string, { blocks }: Analysis, id: string): Block {
  const block = blocks.find((known) => known.id === id);
  if (block) return block;
  const ids = blocks.map((known) => known.id);
  const meant = nearest(id, ids);
  throw new InputError(
    `${verb}: the model has no block "${id}", expected one of ${ids.join(', ') || 'none'}. ` +
      (meant ? `Did you mean ${meant}?` : 'Name blocks as `ziplm inspect` lists them.'),
  );
}

/** Times models against the first one by rounds of fresh processes, on made-up inputs of the configured shape or regimes. */
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
    regimes: timedRegimes(opened, config),
    rounds: config.rounds,
    progress,
  });
}

/** The task's metric on the evaluation rows, with its interval. */
export async function evaluate(
  path: string,
  given: Config,
  progress: Progress,
): Promise<{ readonly metric: Score; readonly rows: number }> {
  const opened = await openModelFolder(path);
  const config = settled(given, opened);
  const task = taskOf(config);
  const data = await openDataset(opened, config, 'evaluation', progress);
  const { session: options } = await openMachine(config, progress);
  await using session = await openSession(opened.folder.modelFile, options);
  const answers = await task.answer(session, data, { model: opened, session: options, progress });
  const metric = task.score(answers, data, { metric: config.metric, seed: config.search.seed });
  return { metric, rows: data.scored ?? data.count };
}

/** The latency table of one regime, or of their mix. */
interface Table {
  readonly latencyTable: LatencyTable['entries'];
  readonly fixedMs: number;
  readonly modelMs: number;
}

/** The hardware's fingerprint and the latency table; of a mix of regimes, each one's table too. */
export async function profile(
  config: Config,
  output: string,
  progress: Progress,
): Promise<
  Table & {
    readonly hardware: Hardware;
    readonly provider: string;
    readonly shape: RunRecord['shape'];
    readonly regimes?: readonly (RegimeShape & Table)[];
  }
> {
  const opened = await openModelFolder(config.model);
  const analysis = prunableBlocks(opened);
  const machine = await openMachine(config, progress);
  using _claim = claim(output);
  const stages = openStages(join(output, '.work'), progress);
  const profile = await profileStep({ opened, analysis, machine, config, stages, progress });
  const told = ({ entries, fixedMs, modelMs }: LatencyTable) => ({ latencyTable: entries, fixedMs, modelMs });
  return {
    hardware: machine.hardware,
    provider: machine.session.provider,
    shape: recordedShape(config.shape),
    ...told(profile),
    ...(profile.regimes.length > 1 && {
      regimes: profile.regimes.map(({ regime, table }) => ({ ...regime, ...told(table) })),
    }),
  };
}
