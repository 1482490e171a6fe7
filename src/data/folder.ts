/**
 * A dense model's folder, as exporters write it: the model, its configuration, its tokenizer, and what goes with them.
 * @module
 */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, resolve, sep } from 'node:path';
import { InputError } from '../errors.ts';

/** Names of the classes, by id. */
export type LabelNames = readonly string[];

/** What we read of `config.json`; whatever is absent or not of the expected type is undefined. */
export interface ModelConfig {
  readonly modelType?: string;
  /** `id2label`, when its ids are 0, 1, … without a gap. */
  readonly labels?: LabelNames;
  readonly vocabularySize?: number;
  readonly padTokenId?: number;
  readonly maxPositions?: number;
}

export interface ModelFolder {
  readonly modelFile: string;
  /** Where configuration and tokenizer lie: the model's folder, or the one above a folder named `onnx`. */
  readonly folder: string;
  readonly config?: ModelConfig;
  readonly tokenizerFile?: string;
  /**
   * Paths of the files to copy beside a pruned model: every regular file of `folder` but weights of any framework,
   * rows of data, our own configuration, hidden files, and links that lead out of the folder.
   */
  readonly companions: readonly string[];
}

const weightFiles = /\.(onnx|onnx[._-]?data|data|safetensors|bin|pt|pth|h5|msgpack|gguf|npz|ot)(\.\d+)?$/i;
const dataFiles = /\.(jsonl|ndjson|csv|tsv|parquet|arrow)(\.(gz|zst))?$/i;
const ownFiles = /^ziplm.*\.ya?ml$/i;

/**
 * Opens a model's folder, or the folder that a lone `.onnx` file lies in. Reads no weights.
 * @throws InputError when there is no such path, no `.onnx` file, or several and none is named `model.onnx`; when
 *   `config.json` is not JSON.
 */
export function openFolder(path: string): ModelFolder {
  const modelFile = findModel(path);
  const beside = dirname(modelFile);
  const above = dirname(beside);
  const inOnnxFolder = basename(beside) === 'onnx' && !existsSync(join(beside, 'config.json'));
  const folder = inOnnxFolder && existsSync(join(above, 'config.json')) ? above : beside;
  const configFile = join(folder, 'config.json');
  const tokenizerFile = join(folder, 'tokenizer.json');
  return {
    modelFile,
    folder,
    ...(existsSync(configFile) && { config: parseConfig(configFile) }),
    ...(existsSync(tokenizerFile) && { tokenizerFile }),
    companions: findCompanions(folder),
  };
}

function findModel(path: string): string {
  const full = resolve(path);
  if (!existsSync(full)) {
    throw new InputError(
      `model: there is no file or folder "${path}". Name a folder with model.onnx, or an .onnx file.`,
    );
  }
  if (!statSync(full).isDirectory()) return full;
  for (const usual of ['model.onnx', join('onnx', 'model.onnx')]) {
    if (existsSync(join(full, usual))) return join(full, usual);
  }
  const candidates = readdirSync(full).filter((name) => extname(name).toLowerCase() === '.onnx');
  if (candidates.length === 1) return join(full, candidates[0]);
  throw new InputError(
    candidates.length === 0
      ? `model: the folder "${path}" holds no .onnx file. Export the model to ONNX there, or name another folder.`
      : `model: the folder "${path}" holds ${candidates.length} .onnx files (${candidates.sort().join(', ')}) and none is model.onnx. Name the file.`,
  );
}

function findCompanions(folder: string): string[] {
  const home = realpathSync(folder) + sep;
  return readdirSync(folder)
    .filter(
      (name) =>
        !(name.startsWith('.') || weightFiles.test(name) || dataFiles.test(name) || ownFiles.test(name)),
    )
    .sort()
    .map((name) => join(folder, name))
    .filter((file) => {
      const entry = statSync(file, { throwIfNoEntry: false });
      return entry?.isFile() && realpathSync(file).startsWith(home);
    });
}

/**
 * A JSON file that must hold an object.
 * @throws InputError naming the file otherwise.
 */
export function readJsonObject(file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new InputError(`${file} is not JSON: ${(error as Error).message}. Export the model again.`);
  }
  if (!isObject(value)) throw new InputError(`${file} should hold a JSON object. Export the model again.`);
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseConfig(file: string): ModelConfig {
  const config = readJsonObject(file);
  // What carries text in a multimodal configuration is one level down.
  const text = isObject(config.text_config) ? config.text_config : {};
  const count = (...keys: readonly string[]) =>
    keys.flatMap((key) => [config[key], text[key]]).find((value) => Number.isInteger(value)) as
      | number
      | undefined;
  const labels = parseLabels(config);
  const vocabularySize = count('vocab_size');
  const padTokenId = count('pad_token_id');
  const maxPositions = count('max_position_embeddings', 'n_positions', 'max_seq_len');
  return {
    ...(typeof config.model_type === 'string' && { modelType: config.model_type }),
    ...(labels && { labels }),
    ...(vocabularySize !== undefined && { vocabularySize }),
    ...(padTokenId !== undefined && { padTokenId }),
    ...(maxPositions !== undefined && { maxPositions }),
  };
}

/** `id2label` as a list; `label2id` turned round where only that is given. */
function parseLabels(config: Record<string, unknown>): LabelNames | undefined {
  const byId = isObject(config.id2label)
    ? Object.entries(config.id2label).map(([id, name]) => [Number(id), String(name)] as const)
    : isObject(config.label2id)
      ? Object.entries(config.label2id).map(([name, id]) => [Number(id), name] as const)
      : [];
  const names = byId.sort(([a], [b]) => a - b);
  return names.length > 0 && names.every(([id], at) => id === at) ? names.map(([, name]) => name) : undefined;
}
