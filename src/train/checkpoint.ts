/**
 * A training on disk: one file, written beside its final name and renamed, so that it is always a whole one.
 * @module
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { readFeeds, writeFeeds } from '../runtime/feeds.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { Snapshot, StepReport } from './trainer.ts';

export interface Evaluation {
  /** Steps done. */
  readonly step: number;
  /** Greater is better. */
  readonly metric: number;
}

/** All that a training needs to go on as if it had not been stopped. */
export interface Checkpoint {
  /** What the training depends on: one under another key is not read. */
  readonly key: string;
  readonly state: Snapshot;
  readonly curve: readonly StepReport[];
  readonly evaluations: readonly Evaluation[];
  /** The weights of the best evaluation so far. */
  readonly best?: { readonly metric: number; readonly weights: ReadonlyMap<string, Tensor> };
}

interface Header extends Pick<Checkpoint, 'key' | 'curve' | 'evaluations'> {
  readonly step: number;
  readonly bestMetric?: number;
}

/** @throws MachineError when the disk is full */
export async function writeCheckpoint(file: string, checkpoint: Checkpoint): Promise<void> {
  const { key, state, curve, evaluations, best } = checkpoint;
  const header: Header = {
    key,
    curve,
    evaluations,
    step: state.step,
    ...(best && { bestMetric: best.metric }),
  };
  const bytes = new TextEncoder().encode(JSON.stringify(header));
  mkdirSync(dirname(file), { recursive: true });
  await writeFeeds(`${file}.partial`, {
    header: { header: tensor('uint8', [bytes.length], bytes) },
    state: state.tensors,
    ...(best && { best: Object.fromEntries(best.weights) }),
  });
  renameSync(`${file}.partial`, file);
}

/** The checkpoint in a file; undefined when there is none, or it is of something else. */
export function readCheckpoint(file: string, key: string): Checkpoint | undefined {
  if (!existsSync(file)) return undefined;
  const sets = readFeeds(file);
  const header = JSON.parse(new TextDecoder().decode(sets.header.header.data as Uint8Array)) as Header;
  if (header.key !== key) return undefined;
  return {
    key,
    state: { step: header.step, tensors: sets.state },
    curve: header.curve,
    evaluations: header.evaluations,
    ...(header.bestMetric !== undefined && {
      best: { metric: header.bestMetric, weights: new Map(Object.entries(sets.best)) },
    }),
  };
}
