/**
 * What a verb works on, opened and checked: the model and its blocks, the machine, the data as batches.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Config } from '../config.ts';
import { type Batch, batches, usableLength } from '../data/batch.ts';
import { meaningOf } from '../data/feeds.ts';
import { type ModelFolder, openFolder } from '../data/folder.ts';
import { readRows } from '../data/rows.ts';
import { syntheticFeeds } from '../data/synthetic.ts';
import { checkTokens, type EncodedRow, encodeRows, openTokenizer } from '../data/tokenizer.ts';
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

/** A batch holds at most so many tokens: wide enough for full speed, small enough for memory. */
const BATCH_TOKENS = 2048;

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
    sha256: await sha256Of(folder.modelFile),
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

/** One batch at the shape that speed is promised for; images of the size that the graph takes. */
export function timingFeeds(
  { inputs, vocabulary, model }: OpenedModel,
  { shape, search }: { readonly shape: TimingShape; readonly search: { readonly seed: number } },
): Record<string, Tensor> {
  const { image = imagesIn(model)[0], ...rest } = shape;
  return syntheticFeeds(inputs, { ...rest, ...(image && { image }) }, { vocabulary, seed: search.seed });
}

export type TimingShape = Config['shape'] & { readonly past?: number; readonly image?: ImageSize };

export interface Dataset {
  readonly rows: readonly EncodedRow[];
  readonly batches: readonly Batch[];
  readonly labels: Int32Array;
  readonly padId: number;
  /** A digest of everything that the batches hold. */
  readonly sha256: string;
}

/** The data files of a configuration. */
export type DataName = 'calibration' | 'training' | 'validation' | 'evaluation';

/**
 * Reads, tokenizes and batches a data file.
 * @param limit the first so many rows; all when left out
 * @throws InputError for a missing or unsuitable file, row, label or tokenizer
 */
export async function openDataset(
  opened: OpenedModel,
  config: Config,
  which: DataName,
  progress: Progress,
  limit?: number,
): Promise<Dataset> {
  // Training rows are the calibration's where none are named.
  const file = config.data[which] ?? (which === 'training' ? config.data.calibration : undefined);
  if (file === undefined) {
    throw new InputError(
      `config: data.${which} names no file, expected labelled rows. Set it in ziplm.yml or with --data-${which}.`,
    );
  }
  const { folder, inputs } = opened;
  const { text, pair, label } = config.data;
  const columns = { text, label, ...(pair === undefined ? {} : { pair }) };
  const read = await readRows(
    file,
    { ...columns, ...(limit === undefined ? {} : { limit }) },
    folder.config?.labels,
  );
  const tokenizer = await openTokenizer(folder.folder);
  const length = usableLength(config.maxLength ?? Number.POSITIVE_INFINITY, {
    config: folder.config,
    tokenizer,
    inputs,
  });
  const longest = Number.isFinite(length) ? length : config.shape.sequence;
  const rows = encodeRows(read, tokenizer, longest, progress);
  checkTokens(rows, embeddingRows(opened.model) ?? folder.config?.vocabularySize ?? Number.POSITIVE_INFINITY);
  return datasetOf(rows, inputs, tokenizer.padId);
}

/** Rows as a data set, batched for a model with these inputs. */
export function datasetOf(rows: readonly EncodedRow[], inputs: readonly ValueInfo[], padId: number): Dataset {
  return {
    rows,
    batches: batches(rows, { inputs, padId, batchTokens: BATCH_TOKENS }),
    labels: Int32Array.from(rows, (row) => row.label),
    padId,
    sha256: createHash('sha256').update(JSON.stringify(rows)).digest('hex'),
  };
}

const laysOut: ReadonlySet<string> = new Set([
  'Identity',
  'Cast',
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
]);

/** Rows of the table that the token ids index: the first Gather of a stored matrix by them, however they are laid out. */
function embeddingRows({ graph }: Model): number | undefined {
  const ids = new Set(graph.inputs.map(({ name }) => name).filter((name) => meaningOf(name) === 'ids'));
  for (const { opType, inputs, outputs } of graph.nodes) {
    if (laysOut.has(opType) && ids.has(inputs[0])) ids.add(outputs[0]);
    if (opType !== 'Gather' || !ids.has(inputs[1])) continue;
    const table = graph.initializers.get(inputs[0]);
    if (table?.shape.length === 2) return table.shape[0];
  }
  return undefined;
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

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
