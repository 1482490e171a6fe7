/**
 * What a verb works on, opened and checked: the model and its blocks, the machine, the data as batches.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Config, type NamedFile, namedFile } from '../config.ts';
import { type ModelFolder, openFolder, weightFiles } from '../data/folder.ts';
import { type SyntheticShape, syntheticFeeds } from '../data/synthetic.ts';
import { InputError } from '../errors.ts';
import { openModel } from '../onnx/load.ts';
import type { Model, ValueInfo } from '../onnx/model.ts';
import { externalRange } from '../onnx/stored.ts';
import { validateModel } from '../onnx/validate.ts';
import { storedTensors } from '../onnx/walk.ts';
import type { Progress } from '../progress.ts';
import { chooseProvider } from '../runtime/choose.ts';
import { type Conditions, currentConditions, fingerprint, type Hardware } from '../runtime/hardware.ts';
import type { Provider, SessionOptions } from '../runtime/session.ts';
import { type Analysis, analyse } from '../structure/analyse.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';
import { type ImageSize, imagesIn } from './sizes.ts';
import { taskOf } from './tasks/registry.ts';
import type { DataName, Dataset, TaskConfig } from './tasks/task.ts';
import { embeddingRows } from './tasks/text.ts';

/** The vocabulary that made-up inputs draw from where neither configuration nor graph tells the model's. */
const FALLBACK_VOCABULARY = 100;

export interface OpenedModel {
  readonly folder: ModelFolder;
  readonly title: string;
  readonly model: Model;
  readonly sha256: string;
  /** Of the model with its external data. */
  readonly bytes: number;
  /** Inputs that a caller feeds: those of the graph that are not initializers. */
  readonly inputs: readonly ValueInfo[];
  readonly vocabulary: number;
}

export interface Machine {
  readonly hardware: Hardware;
  /** Before anything of ours ran on it. */
  readonly conditions: Conditions;
  readonly session: SessionOptions & { readonly provider: Provider };
}

/**
 * Opens a model's file and checks that its graph is well formed, before anything is computed from it.
 * @throws InputError for anything that is not
 */
export async function openValidModel(file: string): Promise<Model> {
  const model = await openModel(file);
  try {
    validateModel(model);
  } catch (cause) {
    if (!(cause instanceof InputError)) throw cause;
    throw new InputError(`model: ${file}: ${cause.message} Export it again.`, { cause });
  }
  return model;
}

/** @throws InputError for anything that is not a well-formed model */
export async function openModelFolder(path: string): Promise<OpenedModel> {
  const folder = openFolder(path);
  const model = await openValidModel(folder.modelFile);
  const inputs = model.graph.inputs.filter(({ name }) => !model.graph.initializers.has(name));
  return {
    folder,
    title: basename(folder.modelFile) === 'model.onnx' ? basename(folder.folder) : basename(folder.modelFile),
    model,
    sha256: await sha256Of(folder.modelFile, ...externalFiles(model)),
    bytes: statSync(folder.modelFile).size + externalBytes(model),
    inputs,
    vocabulary: folder.config?.vocabularySize ?? embeddingRows(model) ?? FALLBACK_VOCABULARY,
  };
}

/**
 * The blocks of a model that is to be pruned.
 * @throws InputError when there is none, with the first reason
 */
export function prunableBlocks({ model, folder }: OpenedModel): Analysis {
  const analysis = analyse(model);
  if (analysis.blocks.length > 0) return analysis;
  const [first] = analysis.refused;
  throw new InputError(
    `structure: "${folder.modelFile}" has no block that can be pruned, expected attention heads or MLP neurons` +
      `${first === undefined ? '' : ` (${first.at}: ${first.reason})`}. \`ziplm inspect\` lists what was refused and why.`,
  );
}

/** @throws MachineError when the provider asked for is not there */
export async function openMachine(
  { provider: wanted, threads }: Pick<Config, 'provider' | 'threads'>,
  progress: Progress,
): Promise<Machine> {
  const conditions = await currentConditions();
  for (const sentence of conditions.noise) progress.warn(sentence);
  const { provider, why } = await chooseProvider(wanted);
  if (wanted === 'auto') progress.say(`Provider ${provider}: ${why}`);
  const hardware = await fingerprint(provider);
  return { hardware, conditions, session: { provider, ...(threads > 0 ? { threads } : {}) } };
}

/** One made-up batch of a shape; images of the size that the graph takes. */
export function timingFeeds(
  { inputs, vocabulary, model }: OpenedModel,
  { shape, search }: { readonly shape: TimingShape; readonly search: { readonly seed: number } },
): Record<string, Tensor> {
  const { image = imagesIn(model)[0], ...rest } = shape;
  return syntheticFeeds(inputs, { ...rest, ...(image && { image }) }, { vocabulary, seed: search.seed });
}

export type TimingShape = Omit<SyntheticShape, 'image'> & { readonly image?: ImageSize };

/**
 * Reads a data file as the task does, into batches.
 * @param limit the first so many rows; when left out all, or of evaluation those that the configuration asks for
 * @throws InputError for a missing or unsuitable file, row, label or tokenizer
 */
export async function openDataset(
  opened: OpenedModel,
  config: TaskConfig,
  which: DataName,
  progress: Progress,
  limit: number | undefined = which === 'evaluation' ? config.evaluationRows : undefined,
): Promise<Dataset> {
  const [file, another] = filesOf(config, which);
  if (another !== undefined) {
    throw new InputError(
      `config: data.${which} names no file, and data.calibration names several, expected one. Set data.${which} in ziplm.yml or with --data-${which}.`,
    );
  }
  return await readFile(opened, config, which, file.file, progress, limit);
}

/**
 * The files of a kind of rows; training's are the calibration's where none are named.
 * @returns at least one
 * @throws InputError where there is none
 */
export function filesOf(config: TaskConfig, which: DataName): NamedFile[] {
  const written = config.data[which] ?? (which === 'training' ? config.data.calibration : undefined);
  if (written !== undefined) return [written].flat().map(namedFile);
  throw new InputError(
    `config: data.${which} names no file, expected rows for ${config.task}. Set it in ziplm.yml or with --data-${which}.`,
  );
}

/** One file of a kind of rows, see `openDataset`. */
export async function readFile(
  opened: OpenedModel,
  config: TaskConfig,
  which: DataName,
  file: string,
  progress: Progress,
  limit?: number,
): Promise<Dataset> {
  const reading = { model: opened, which, config, progress, ...(limit !== undefined && { limit }) };
  return await taskOf(config).read(file, reading);
}

/** Size of the tensors that lie in other files. */
function externalBytes(model: Model): number {
  return [...storedTensors(model)].reduce(
    (sum, stored) => sum + Number(externalRange(stored)?.length ?? 0),
    0,
  );
}

/** Elements of all floating-point weights. */
export function parametersOf({ graph }: Model): number {
  return [...graph.initializers.values()]
    .filter(({ type }) => type.includes('float'))
    .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** The files of a model's external data, in the order of their names. */
function externalFiles(model: Model): string[] {
  const paths = [...storedTensors(model)].flatMap((stored) => externalRange(stored)?.file.path ?? []);
  return [...new Set(paths)].sort();
}

/** The same of a model that we wrote: whatever lies beside it under its name. */
export function weightsBeside(file: string): string[] {
  const own = basename(file);
  return readdirSync(dirname(file))
    .filter((name) => name !== own && name.startsWith(own) && weightFiles.test(name))
    .sort()
    .map((name) => join(dirname(file), name));
}

/** Of a file, or of several, one after the other: a model is another where only its external data is. */
export async function sha256Of(...files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
