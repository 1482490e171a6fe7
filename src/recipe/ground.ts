/**
 * What a target is pruned from: the dense model, or in a gradual run the student that the target before left, in the dense
 * model's shape, with zeros where structures are gone. Blocks, indices and levels thus stay the dense model's, and
 * one latency table serves all targets.
 * @module
 */
import { InputError } from '../errors.ts';
import { openModel } from '../onnx/load.ts';
import type { Model } from '../onnx/model.ts';
import { solution } from '../prune/candidates.ts';
import type { BlockLevels } from '../prune/database.ts';
import type { Assignment } from '../prune/spdy.ts';
import { type Analysis, analyse } from '../structure/analyse.ts';
import type { Removal } from '../structure/block.ts';
import { replaceConsumers } from '../structure/mask.ts';
import { restore } from '../structure/restore.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { learnedWeights, prepared } from '../train/parameters.ts';
import type { OpenedModel } from './job.ts';

export interface Ground {
  readonly model: Model;
  readonly analysis: Analysis;
  /** Of the file that it stands for. */
  readonly sha256: string;
  /** The structures of each block that are still there, in the order of `analysis.blocks`; all of the dense model's when left out. */
  readonly left?: readonly (readonly number[])[];
}

/** The dense model as it is. */
export function denseGround({ model, sha256 }: OpenedModel, analysis: Analysis): Ground {
  return { model, analysis, sha256 };
}

/**
 * The dense model as training takes it: without dropout, equal vectors untied.
 * @throws InputError when it is not of float32
 */
export function trainableGround({ model, sha256, folder }: OpenedModel): Ground {
  const ready = prepared(model);
  for (const name of learnedWeights(ready)) {
    const { type } = ready.graph.initializers.get(name)!;
    if (type === 'float32') continue;
    throw new InputError(
      `train: the weight "${name}" of "${folder.modelFile}" is ${type}, expected float32. Export the model in float32, or use method: one-shot.`,
    );
  }
  return { model: ready, analysis: analyse(ready), sha256 };
}

/** The ground with the weights that an assignment gives it, before anything is cut, and what is to be cut. */
export function refitted(
  { model, analysis }: Ground,
  databases: readonly BlockLevels[],
  assignment: Assignment,
): { model: Model; removal: Removal } {
  const { weights, removal } = solution(analysis, databases, assignment);
  return { model: replaceConsumers(model, analysis, weights), removal };
}

/** The ground that a recovered student makes for the next target. */
export async function nextGround(
  ground: Ground,
  databases: readonly BlockLevels[],
  assignment: Assignment,
  recovered: { readonly file: string; readonly sha256: string },
): Promise<Ground> {
  const { model, removal } = refitted(ground, databases, assignment);
  const student = await openModel(recovered.file);
  const learned = sharedWeights(student, model).map((name) => {
    return [name, student.graph.initializers.get(name)!.tensor() as Tensor<'float32'>] as const;
  });
  const whole = restore(model, ground.analysis, removal, new Map(learned));
  return {
    model: whole,
    analysis: analyse(whole),
    sha256: recovered.sha256,
    left: databases.map(({ levels }, b) => levels[assignment[b]].structures),
  };
}

/** The weights that training changes in a student and that the uncut model has under the same names. */
export function sharedWeights(student: Model, uncut: Model): string[] {
  return learnedWeights(student).filter((name) => uncut.graph.initializers.has(name));
}
