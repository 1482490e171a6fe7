/**
 * The verb `train`: a model learns from labels, or from a teacher, and comes out as a folder like the one it came in.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { InputError } from '../errors.ts';
import { type Score, score } from '../evaluate/score.ts';
import type { Progress } from '../progress.ts';
import { claim } from './claim.ts';
import { predictStep, publish, readModel, writeModel } from './family.ts';
import { type Dataset, type OpenedModel, openDataset, openMachine, openModelFolder } from './job.ts';
import { openStages } from './stages.ts';
import { forgetTeacher, forgetTraining, openTrainingData, type TrainingFacts, teach } from './training.ts';

/** The folder of the result in the output. */
const FOLDER = 'trained';

export interface TrainReport extends TrainingFacts {
  /** A model folder: the trained model with all that the given folder had beside its model. */
  readonly folder: string;
  readonly sha256: string;
  readonly provider: string;
  /** On the evaluation rows, where there are any: the trained model, and the model as it was given. */
  readonly metric?: Score;
  readonly before?: Score;
}

/**
 * Trains `config.model` on the labels of its training rows, or distils it from `config.train.teacher`, into `output`. Killed, it
 * goes on from its last checkpoint.
 * @throws InputError for a model that cannot be trained, and for a teacher of another tokenizer
 */
export async function trainModel(config: Config, output: string, progress: Progress): Promise<TrainReport> {
  const opened = await openModelFolder(config.model);
  const teacher =
    config.train.teacher === undefined ? undefined : await openModelFolder(config.train.teacher);
  if (teacher !== undefined) requireSameTokenizer(opened, teacher);
  const machine = await openMachine(config, progress);
  const data = await openTrainingData(opened, config, progress);
  const evaluation =
    config.data.evaluation === undefined
      ? undefined
      : await openDataset(opened, config, 'evaluation', progress);
  using _claim = claim(output);
  const stages = openStages(join(output, '.work'), progress);
  const work = { opened, machine, config, stages, progress };
  const rows = [data.training.sha256, data.validation?.sha256];
  const key = [opened.sha256, teacher?.sha256, rows, config.train, machine.session.provider];
  const lesson = { student: opened.model, ...(teacher && { teacher: teacher.model }) };
  const folder = await stages.folder('train', key, async (partial) => {
    const { model, facts } = await teach(lesson, data, work, key, stages.root, progress);
    await writeModel(model, { maxAbsDiff: 0, training: facts }, partial);
  });
  forgetTraining(key, stages.root);
  forgetTeacher(stages.root);
  const trained = readModel(folder);
  const metricOf = async (file: string, sha256: string, { labels }: Dataset) => {
    const { predictions, classes } = await predictStep(work, file, sha256, evaluation!);
    return score(predictions, labels, config.metric, { classes, seed: config.search.seed });
  };
  const metrics = evaluation && {
    metric: await metricOf(trained.file, trained.sha256, evaluation),
    before: await metricOf(opened.folder.modelFile, opened.sha256, evaluation),
  };
  publish(trained, opened.folder.companions, output, FOLDER);
  return {
    folder: join(output, FOLDER),
    sha256: trained.sha256,
    provider: machine.session.provider,
    ...metrics,
    ...trained.training!,
  };
}

/** @throws InputError when the teacher would read other tokens in the same ids */
function requireSameTokenizer(student: OpenedModel, teacher: OpenedModel): void {
  const [own, other] = [student, teacher].map(({ folder }) => folder.tokenizerFile);
  if (own === undefined || other === undefined) return;
  if (own === other || readFileSync(own).equals(readFileSync(other))) return;
  throw new InputError(
    `train: "${other}" is not the tokenizer of the student, "${own}": the teacher would read other words. Name a teacher with the same tokenizer.json.`,
  );
}
