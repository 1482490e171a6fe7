/**
 * How a sentence encoder makes one vector of its tokens' states, as sentence-transformers writes it beside the model.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors.ts';
import { readJsonObject } from './folder.ts';

/**
 * The pooling of a folder: over all tokens or the first; over all where the folder says nothing.
 * @throws InputError for another one
 */
export function poolingOf(folder: string): 'mean' | 'first' {
  const file = join(folder, '1_Pooling', 'config.json');
  if (!existsSync(file)) return 'mean';
  const modes = Object.entries(readJsonObject(file))
    .filter(([key, value]) => key.startsWith('pooling_mode_') && value === true)
    .map(([key]) => key.slice('pooling_mode_'.length));
  if (modes.length === 1 && modes[0] === 'mean_tokens') return 'mean';
  if (modes.length === 1 && modes[0] === 'cls_token') return 'first';
  throw new InputError(
    `model: ${file} pools by ${modes.join(' and ') || 'nothing'}, expected mean_tokens or cls_token. Export the model with its pooling, as the output sentence_embedding, and remove the file.`,
  );
}
