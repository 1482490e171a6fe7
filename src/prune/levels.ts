/**
 * The level grids of ZipLM: how many structures of a block may stay.
 * @module
 */
import type { Block } from '../structure/block.ts';

/** MLP widths: round(0.9^i · width) for i = 0…43, duplicates dropped; ZipLM, section 4. */
const GRID_RATIO = 0.9;
const GRID_STEPS = 44;

/**
 * The structures kept at each level, dense first, 0 (the module removed) last.
 * Heads and KV groups: every count. Neurons: the geometric grid over the dense width.
 */
export function keptLevels(block: Pick<Block, 'kind' | 'structures'>): number[] {
  const { kind, structures } = block;
  const kept =
    kind === 'attention'
      ? Array.from({ length: structures }, (_, removed) => structures - removed)
      : Array.from({ length: GRID_STEPS }, (_, i) => Math.max(1, Math.round(GRID_RATIO ** i * structures)));
  return [...new Set(kept), 0];
}
