/**
 * The `config.json` of a cut model.
 *
 * What generation libraries read of it (layers, heads, the width of a head) makes the empty caches, so it must fit the
 * inputs of the file: it stays where the caches stay, and follows where all of them were cut alike. What a
 * configuration has one number for though layers differ now is told per block under `ziplm`, and by `pruned_heads`, which
 * is how transformers records heads that are gone.
 *
 * Everything else stays as it was: unknown keys, their order, and how numbers are written.
 * @module
 */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isObject, readJsonObject } from '../data/folder.ts';
import type { Model } from '../onnx/model.ts';
import type { Analysis } from '../structure/analyse.ts';
import type { Block } from '../structure/block.ts';

/** A block after a cut, with the structures that stay, ascending. */
export interface KeptBlock extends Block {
  readonly kept: readonly number[];
}

/** A model file after a cut. */
export interface CutFile {
  /** The path of the file in its folder. */
  readonly name: string;
  readonly blocks: readonly KeptBlock[];
  /** How many heads each cache has in the file; left out where all have what they had. */
  readonly cacheHeads?: readonly number[];
}

const CONFIGURATION = 'config.json';

/** The number of heads that a cache counts, where it is not that of the queries. */
const cacheHeadKeys = ['num_key_value_heads', 'num_kv_heads'];
const headKeys = ['num_attention_heads', 'n_head', 'n_heads', 'num_heads'];
const layerKeys = ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'];

export function keptBlocks(blocks: readonly Block[], kept: readonly (readonly number[])[]): KeptBlock[] {
  return blocks.map((block, i) => ({ ...block, kept: kept[i] }));
}

/** The heads of each cache among the inputs of a cut model. */
export function cacheHeadsOf({ graph }: Model, { blocks, picks }: Analysis): number[] {
  const caches = [...blocks.flatMap((block) => block.caches ?? []), ...picks.flatMap((pick) => pick.caches)];
  return caches.flatMap(({ name, axis }) => {
    const size = graph.inputs.find((input) => input.name === name)?.shape?.[axis];
    return typeof size === 'number' ? [size] : [];
  });
}

/**
 * Puts a model's companions beside its cut file, the configuration rewritten. A configuration that another file of the
 * same model was cut into before is carried on.
 * @returns where the configuration is, where there is one
 */
export function copyCompanions(
  companions: readonly string[],
  folder: string,
  file: CutFile,
): string | undefined {
  let configuration: string | undefined;
  for (const companion of companions) {
    const target = join(folder, basename(companion));
    if (basename(companion) === CONFIGURATION && file.blocks.length > 0)
      configuration = rewriteInto(companion, target, file);
    else copyFileSync(companion, target);
  }
  return configuration;
}

/**
 * Puts the configuration beside a cut file that is written alone, unless the folder has one that we did not write.
 * @returns where it is, or undefined where nothing was written
 */
export function placeConfiguration(
  companions: readonly string[],
  folder: string,
  file: CutFile,
): string | undefined {
  const source = companions.find((companion) => basename(companion) === CONFIGURATION);
  const target = join(folder, CONFIGURATION);
  if (source === undefined || (existsSync(target) && !isOurs(target))) return undefined;
  return rewriteInto(source, target, file);
}

function isOurs(path: string): boolean {
  try {
    return isObject(readJsonObject(path).ziplm);
  } catch {
    return false; // something else by that name
  }
}

function rewriteInto(source: string, target: string, file: CutFile): string {
  const from = existsSync(target) && isOurs(target) ? target : source;
  writeFileSync(target, rewriteConfiguration(readFileSync(from, 'utf8'), file));
  return target;
}

/** The text of a configuration for a file that was cut. */
export function rewriteConfiguration(text: string, { name, blocks, cacheHeads = [] }: CutFile): string {
  const config = parseExactly(text);
  const plain = JSON.parse(text) as Record<string, unknown>;
  const attention = blocks.filter(({ kind }) => kind === 'attention');

  const [heads, ...others] = new Set(cacheHeads);
  if (heads !== undefined && others.length === 0)
    for (const key of cacheHeadKeys) if (Number.isInteger(plain[key])) config[key] = heads;

  const pruned = prunedHeads(plain, attention);
  if (pruned) config.pruned_heads = pruned;
  const entry = Object.fromEntries(
    blocks.map(({ id, kind, structures, kept, queryHeadsPerStructure = 1 }) => [
      id,
      kind === 'mlp'
        ? { of: structures, neurons: kept.length }
        : queryHeadsPerStructure === 1
          ? { of: structures, heads: kept }
          : { of: structures, groups: kept, queryHeadsPerGroup: queryHeadsPerStructure },
    ]),
  );
  config.ziplm = { ...(isObject(config.ziplm) ? config.ziplm : {}), [name]: entry };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/**
 * By layer, the heads that are gone, counted as the configuration counts them, those of an earlier cut included.
 * @returns undefined where the configuration has no such layers of such heads, or none is gone
 */
function prunedHeads(
  config: Readonly<Record<string, unknown>>,
  attention: readonly KeptBlock[],
): Record<string, number[]> | undefined {
  const count = (keys: readonly string[]) => keys.map((key) => config[key]).find(Number.isInteger) as number;
  const heads = count(headKeys);
  if (config.is_encoder_decoder === true || attention.length !== count(layerKeys)) return undefined;
  const before = isObject(config.pruned_heads) ? config.pruned_heads : {};
  const gone: [string, number[]][] = [];
  for (const [layer, { structures, kept, queryHeadsPerStructure = 1 }] of attention.entries()) {
    const earlier = new Set(Array.isArray(before[layer]) ? (before[layer] as number[]) : []);
    const there = Array.from({ length: heads }, (_, i) => i).filter((i) => !earlier.has(i));
    if (structures !== there.length || queryHeadsPerStructure !== 1) return undefined;
    const stay = new Set(kept.map((i) => there[i]));
    const all = Array.from({ length: heads }, (_, i) => i).filter((i) => !stay.has(i));
    if (all.length > 0) gone.push([String(layer), all]);
  }
  return gone.length > 0 ? Object.fromEntries(gone) : undefined;
}

/** What JavaScript has and TypeScript does not know yet: the text that a value was read from, and text as a value. */
const exactly = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

/** Numbers are written again as they were: 10000.0 is not 10000 to whoever reads types off a configuration. */
function parseExactly(text: string): Record<string, unknown> {
  return exactly.parse(text, (_, value, { source }) =>
    typeof value === 'number' ? exactly.rawJSON(source!) : value,
  ) as Record<string, unknown>;
}
