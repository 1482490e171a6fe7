/**
 * What tasks that read text share: the model's tokenizer, how long a row may be, and which ids the model knows.
 * @module
 */
import type { Config } from '../../config.ts';
import { type Batch, batches, usableLength } from '../../data/batch.ts';
import { emptyCache, readsTokens } from '../../data/decoder.ts';
import { meaningOf } from '../../data/feeds.ts';
import { checkTokens, type EncodedRow, type Encoding, openTokenizer, type Tokenizer } from '../../data/tokenizer.ts';
import type { Model } from '../../onnx/model.ts';
import type { TaskModel } from './task.ts';

/** A batch holds at most so many tokens: wide enough for full speed, small enough for memory. */
export const BATCH_TOKENS = 2048;

export interface TextReader {
  readonly tokenizer: Tokenizer;
  /** Tokens a row may have. */
  readonly longest: number;
  /** @throws InputError for an id that the model's embedding has no row for */
  check(rows: readonly Encoding[]): void;
}

/** @throws InputError when the folder has no tokenizer, or one that cannot be used */
export async function openText({ folder, inputs, model }: TaskModel, config: Config): Promise<TextReader> {
  const tokenizer = await openTokenizer(folder.folder);
  const asked = config.maxLength ?? Number.POSITIVE_INFINITY;
  const length = usableLength(asked, {
    config: folder.config,
    tokenizer,
    inputs: inputs.filter(readsTokens),
  });
  const known = embeddingRows(model) ?? folder.config?.vocabularySize ?? Number.POSITIVE_INFINITY;
  return {
    tokenizer,
    longest: Number.isFinite(length) ? length : config.shape.sequence,
    check: (rows) => checkTokens(rows, known),
  };
}

/** Encoded rows as batches, with an empty cache where the model reads one. */
export function textBatches(rows: readonly EncodedRow[], padId: number, { inputs }: TaskModel): Batch[] {
  const made = batches(rows, { inputs: inputs.filter(readsTokens), padId, batchTokens: BATCH_TOKENS });
  return made.map((batch) => ({ ...batch, feeds: { ...batch.feeds, ...emptyCache(inputs, batch.shape) } }));
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
export function embeddingRows({ graph }: Model): number | undefined {
  const ids = new Set(graph.inputs.map(({ name }) => name).filter((name) => meaningOf(name) === 'ids'));
  for (const { opType, inputs, outputs } of graph.nodes) {
    if (laysOut.has(opType) && ids.has(inputs[0])) ids.add(outputs[0]);
    if (opType !== 'Gather' || !ids.has(inputs[1])) continue;
    const table = graph.initializers.get(inputs[0]);
    if (table?.shape.length === 2) return table.shape[0];
  }
  return undefined;
}
