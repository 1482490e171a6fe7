/**
 * Recovery: the cut student is distilled from the dense model, and is where the next target starts from.
 * @module
 */
import { openModel } from '../onnx/load.ts';
import type { BlockLevels } from '../prune/database.ts';
import { type Pruned, readModel, writeModel } from './family.ts';
import type { Field } from './field.ts';
import { type Ground, nextGround, refitted, sharedWeights, trainableGround } from './ground.ts';
import type { Found, Work } from './steps.ts';
import {
  forgetTeacher,
  forgetTraining,
  openTrainingData,
  requireTrainable,
  type TrainingData,
  teach,
} from './training.ts';

interface Cut {
  readonly pruned: Pruned;
  readonly found: Pick<Found, 'assignment'>;
}

export interface Recovery {
  /** What the first target is pruned from. */
  readonly ground: Ground;
  /** Distils a cut model from the dense one. */
  recover(field: Field, cut: Cut): Promise<Pruned>;
  /**
   * What the target after is pruned from, made anew at each call: a model of the dense size for each target would be
   * too much to hold.
   */
  next(
    before: () => Promise<Ground>,
    databases: readonly BlockLevels[],
    recovered: Cut,
  ): () => Promise<Ground>;
  /** Removes what only recoveries of this run needed. */
  finish(): void;
}

/**
 * Opens the training rows and makes sure that the model can be trained.
 * @throws InputError otherwise
 */
export async function openRecovery(work: Work): Promise<Recovery> {
  const { opened, config, stages, progress, machine } = work;
  const data: TrainingData = await openTrainingData(opened, config, progress);
  const ground = trainableGround(opened);
  const teacher = ground.model;
  const settings = [config.train, machine.session.provider];
  await stages.json('trainable', [opened.sha256, settings], async () => {
    await requireTrainable({ student: teacher, teacher }, work);
    return true;
  });
  const rows = [data.training.sha256, data.validation?.sha256];
  return {
    ground,
    async recover({ ground: from, databases }, { pruned, found }) {
      const key = [pruned.sha256, opened.sha256, rows, settings];
      const folder = await stages.folder('recover', key, async (partial) => {
        const student = await openModel(pruned.file);
        const { model: whole } = refitted(from, databases, found.assignment);
        const parameters = sharedWeights(student, whole);
        const lesson = { student, teacher, parameters };
        const { model, facts } = await teach(lesson, data, work, key, stages.root, progress);
        await writeModel(model, { maxAbsDiff: pruned.maxAbsDiff, training: facts }, partial);
      });
      forgetTraining(key, stages.root);
      return readModel(folder);
    },
    next:
      (before, databases, { pruned, found }) =>
      async () =>
        nextGround(await before(), databases, found.assignment, pruned),
    finish: () => forgetTeacher(stages.root),
  };
}
