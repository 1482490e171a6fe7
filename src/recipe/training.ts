/**
 * Training as a run and the verb `train` do it: what the configuration asks for, which rows it learns from and which it is
 * judged by, and what is told of it afterwards.
 * @module
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { InputError } from '../errors.ts';
import { evaluateClassification } from '../evaluate/classification.ts';
import { crossEntropy, klDivergence } from '../evaluate/losses.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { type Progress, silent } from '../progress.ts';
import { openSession } from '../runtime/session.ts';
import { hiddenStates } from '../train/hidden.ts';
import type { Losses } from '../train/losses.ts';
import { type Trained, type Training, train } from '../train/train.ts';
import { defaultOptimiser, openTrainer, type StepReport } from '../train/trainer.ts';
import { type Dataset, datasetOf, type Machine, type OpenedModel, openDataset } from './job.ts';
import { digest } from './stages.ts';

/** What a training did, as the record tells it. Losses of the curve are means over the steps since the point before. */
export interface TrainingFacts {
  readonly steps: number;
  readonly epochs: number;
  /** Wall time of the process that finished it. */
  readonly seconds: number;
  readonly stopped: Trained['stopped'];
  readonly curve: readonly LossPoint[];
  /** On the validation rows, before the first step and after each epoch; empty where there were none. */
  readonly validation: readonly LossPoint[];
  /** The evaluation whose weights were kept; at step 0 those that were there before. */
  readonly best?: LossPoint;
}

export interface LossPoint {
  readonly step: number;
  readonly loss: number;
}

/** Rows to learn from, and rows that tell when to stop. */
export interface TrainingData {
  readonly training: Dataset;
  readonly validation?: Dataset;
}

/** Of training rows without a validation file, one in so many is set aside, and no more than so many in all. */
const HELD_OUT = { every: 10, most: 1000 };
/** Points of a curve that is kept. */
const CURVE_POINTS = 200;
/** What the teacher says is kept on disk up to this size. */
const STORE_BYTES = 4e9;

/**
 * The rows of `data.training` (of `data.calibration` where it names none) and of `data.validation`; without the latter, every
 * tenth training row is set aside.
 */
export async function openTrainingData(
  opened: OpenedModel,
  config: Config,
  progress: Progress,
): Promise<TrainingData> {
  const { sequence } = config.train;
  const own = sequence === undefined ? config : { ...config, maxLength: sequence };
  const all = await openDataset(opened, own, 'training', progress);
  if (config.data.validation !== undefined) {
    return { training: all, validation: await openDataset(opened, own, 'validation', progress) };
  }
  const stride = Math.max(HELD_OUT.every, Math.ceil(all.rows.length / HELD_OUT.most));
  const isHeldOut = (row: number) => row % stride === stride - 1;
  const part = (held: boolean) =>
    datasetOf(
      all.rows.filter((_, row) => isHeldOut(row) === held),
      opened.inputs,
      all.padId,
    );
  return { training: part(false), ...(all.rows.length >= stride && { validation: part(true) }) };
}

/** The λs of the configuration; without a teacher the labels alone teach. */
export function lossesOf({ train: settings }: Config, hasTeacher: boolean): Losses {
  const { lambdaTask, lambdaLogit, lambdaToken, temperature } = settings;
  if (!hasTeacher) return { task: 1, logit: 0, token: 0, temperature, relative: true };
  if (lambdaTask + lambdaLogit + lambdaToken > 0)
    return { task: lambdaTask, logit: lambdaLogit, token: lambdaToken, temperature, relative: true };
  throw new InputError(
    'config: train.lambda-task, train.lambda-logit and train.lambda-token are all 0, so that nothing would be learned. Set one of them above 0.',
  );
}

export interface Lesson {
  readonly student: Model;
  /** What it is distilled from. */
  readonly teacher?: Model;
  /** The initializers to train; all that are learned when left out. */
  readonly parameters?: readonly string[];
}

/**
 * Finds out whether a model can be trained, before anything is computed for it.
 * @throws InputError naming what stands against it
 */
export async function requireTrainable(
  { student, teacher }: Lesson,
  { config, machine }: { readonly config: Config; readonly machine: Machine },
): Promise<void> {
  await using _ = await openTrainer({
    ...machine.session,
    student,
    losses: lossesOf(config, teacher !== undefined),
    hidden: teacher === undefined ? [] : hiddenStates(teacher),
    optimiser: optimiserOf(config),
    schedule: { ...scheduleOf(config), steps: 1, warmup: 0 },
    accumulate: 1,
  });
}

const optimiserOf = ({ train: { weightDecay } }: Config) => ({ ...defaultOptimiser, decay: weightDecay });

const scheduleOf = ({ train: { schedule, learningRate, warmup } }: Config) => ({
  kind: schedule,
  peak: learningRate,
  warmup,
  final: 0,
});

/**
 * Trains as the configuration says; killed, it goes on from its last checkpoint under `root`. The best weights on the
 * validation rows are the result, and a plateau there ends it.
 * @param key what the training depends on
 * @param root the folder of the stages
 */
export async function teach(
  { student, teacher, parameters }: Lesson,
  { training, validation }: TrainingData,
  { config, machine, opened }: { config: Config; machine: Machine; opened: OpenedModel },
  key: unknown,
  root: string,
  progress: Progress,
  now: () => number = Date.now,
): Promise<{ readonly model: Model; readonly facts: TrainingFacts }> {
  const { epochs, batch, seed, patience, checkpointEvery } = config.train;
  const began = now();
  const evaluate = validation && judge(validation, teacher, machine, opened);
  const before = evaluate && { step: 0, loss: -(await evaluate(student)) };
  const given: Training = {
    ...machine.session,
    student,
    ...(teacher && { teacher }),
    ...(parameters && { parameters }),
    losses: lossesOf(config, teacher !== undefined),
    optimiser: optimiserOf(config),
    schedule: scheduleOf(config),
    rows: training.rows,
    padId: training.padId,
    epochs,
    batch,
    seed,
    store: { folder: root, limitBytes: STORE_BYTES },
    checkpoint: { file: checkpointOf(key, root), everySteps: checkpointEvery },
    ...(evaluate && { evaluate, patience }),
  };
  const { model, curve, evaluations, stopped } = await train(given, progress);
  const after = evaluations.map(({ step, metric }) => ({ step, loss: -metric }));
  const validated = before === undefined ? [] : [before, ...after];
  const best = validated.reduce<LossPoint | undefined>(
    (least, point) => (least === undefined || point.loss < least.loss ? point : least),
    undefined,
  );
  const facts: TrainingFacts = {
    steps: curve.length,
    epochs: Math.min(epochs, (curve.length * batch) / training.rows.length),
    seconds: (now() - began) / 1000,
    stopped,
    curve: thinned(curve),
    validation: validated,
    ...(best && { best }),
  };
  // A student that nothing could be added to stays what it was.
  return { model: best?.step === 0 ? student : model, facts };
}

const checkpointOf = (key: unknown, root: string) => join(root, `training-${digest(key)}.train`);

/** Removes what only an unfinished training needs. */
export function forgetTraining(key: unknown, root: string): void {
  rmSync(checkpointOf(key, root), { force: true });
}

/** Removes the teacher's answers: a training that starts after that asks again. */
export function forgetTeacher(root: string): void {
  const kept = readdirSync(root).filter((name) => /^teacher-\w+\.f32$/.test(name));
  for (const name of kept) rmSync(join(root, name), { force: true });
}

/**
 * The metric of a training: its loss on the validation rows, negative. With a teacher KL(teacher ‖ student), which moves with
 * every improvement where an accuracy of some hundred rows stands still; without, the cross-entropy with the labels.
 */
function judge(
  { batches, labels }: Dataset,
  teacher: Model | undefined,
  machine: Machine,
  { folder }: OpenedModel,
): (model: Model) => Promise<number> {
  const classify = async (model: Model) => {
    await using session = await openSession(encodeModel(model), machine.session);
    const classes = folder.config?.labels?.length;
    return await evaluateClassification(session, batches, { classes, progress: silent });
  };
  let answers: Promise<Float32Array> | undefined;
  return async (model) => {
    const { logits, classes } = await classify(model);
    if (teacher === undefined) return -crossEntropy(logits, labels);
    answers ??= classify(teacher).then((found) => found.logits);
    return -klDivergence(await answers, logits, classes);
  };
}

/** A curve of at most so many points: means of equal stretches. */
export function thinned(curve: readonly StepReport[], points = CURVE_POINTS): LossPoint[] {
  const count = Math.min(points, curve.length);
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [i, i + 1].map((at) => Math.round((at * curve.length) / count));
    const part = curve.slice(from, to);
    return {
      step: part.at(-1)!.step,
      loss: part.reduce((sum, { loss }) => sum + loss, 0) / part.length,
    };
  });
}
