/**
 * The verb `cut`: the named structures removed as they are, checked, and written as a file or as a loadable folder.
 * @module
 */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { InputError } from '../errors.ts';
import type { Model } from '../onnx/model.ts';
import { saveModel } from '../onnx/save.ts';
import type { Analysis } from '../structure/analyse.ts';
import type { Removal } from '../structure/block.ts';
import { type CacheForm, cutCaches } from '../structure/caches.ts';
import {
  type CutFile,
  cacheHeadsOf,
  copyCompanions,
  keptBlocks,
  placeConfiguration,
} from './configuration.ts';
import { openModelFolder, prunableBlocks } from './job.ts';
import { blockOf } from './verbs.ts';
import { checkedCut, feedsToCheck } from './verify.ts';

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
  /** Where the configuration was written that fits the file. */
  readonly configuration?: string;
  /** Only with compact caches: what whoever drives the model must know. */
  readonly caches?: readonly Resized[];
}

/**
 * Removes the named structures as they are, checks the result against the masked model, and writes it: as a file, with
 * its configuration beside it where the folder has none of its own, or as a folder with all that the dense folder had.
 * @param removal block id → indices along the consuming matrix; all of them remove the module
 * @param output the file; or a folder, which is there or ends in a separator
 * @param cache whether inputs and outputs that count heads keep all of them (`keep`), or only those that stay (`compact`)
 */
export async function cutModel(
  path: string,
  removal: Readonly<Record<string, readonly number[]>>,
  output: string,
  cache: CacheForm = 'keep',
): Promise<CutReport> {
  const opened = await openModelFolder(path);
  const analysis = prunableBlocks(opened);
  for (const [id, indices] of Object.entries(removal)) requireStructures(analysis, id, indices);
  const { companions, folder: home, modelFile } = opened.folder;
  const { file, folder, isFolder } = placeOf(output, relative(home, modelFile));
  if (isFolder && [home, dirname(modelFile)].includes(folder)) {
    throw new InputError(
      `cut: --output ${output} is the folder of the model itself, which would be lost. Name another folder, or a file.`,
    );
  }
  const feeds = await feedsToCheck(opened);
  const wanted = new Map(Object.entries(removal).filter(([, indices]) => indices.length > 0));
  const { model, maxAbsDiff } = await checkedCut(opened.model, analysis, wanted, feeds, {}, { cache });
  if (isFolder) mkdirSync(dirname(file), { recursive: true });
  await saveModel(model, file);
  const cut = describe(relative(folder, resolve(file)), model, analysis, wanted);
  let configuration: string | undefined;
  if (isFolder) configuration = copyCompanions(companions, folder, cut);
  else configuration = placeConfiguration(companions, folder, cut);
  return {
    file: isFolder ? file : output,
    maxAbsDiff,
    removed: Object.fromEntries(Object.entries(removal).map(([id, indices]) => [id, indices.length])),
    ...(configuration !== undefined && { configuration }),
    ...(cache === 'compact' && { caches: resized(analysis, wanted) }),
  };
}

/** @throws InputError for a block that is not there, and for an index that it does not have, or has been given */
function requireStructures(analysis: Analysis, id: string, indices: readonly number[]): void {
  const block = blockOf('cut', analysis, id);
  const wrong = indices.find(
    (index, at) => !(index >= 0 && index < block.structures) || indices.indexOf(index) < at,
  );
  if (wrong === undefined) return;
  const isTwice = indices.filter((index) => index === wrong).length > 1;
  throw new InputError(
    `cut: ${id} holds ${block.structures} structures, expected distinct indices 0 to ${block.structures - 1}, got ${wrong}` +
      `${isTwice ? ' twice' : ''}. Correct the file given to --remove.`,
  );
}

/** @throws InputError when the folder of the file, or around the folder, is not there */
function placeOf(output: string, name: string) {
  const path = resolve(output);
  const isFolder = /[/\\]$/.test(output) || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const around = dirname(path);
  if (!existsSync(around)) {
    throw new InputError(
      `cut: --output ${output}: there is no folder ${around}. Make it, or choose another place.`,
    );
  }
  return isFolder
    ? { isFolder, folder: path, file: join(path, name) }
    : { isFolder, folder: around, file: output };
}

function describe(name: string, model: Model, analysis: Analysis, removal: Removal): CutFile {
  const { blocks } = analysis;
  const stays = ({ id, structures }: { id: string; structures: number }) => {
    const gone = new Set(removal.get(id));
    return Array.from({ length: structures }, (_, i) => i).filter((i) => !gone.has(i));
  };
  return { name, blocks: keptBlocks(blocks, blocks.map(stays)), cacheHeads: cacheHeadsOf(model, analysis) };
}

function resized(analysis: Analysis, removal: Removal): Resized[] {
  return cutCaches(analysis, removal).map(({ name, axis, of, kept }) => ({
    name,
    axis,
    from: of,
    to: kept.length,
  }));
}
