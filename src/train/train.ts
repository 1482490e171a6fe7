/**
 * A whole training: epochs over rows, validation, checkpoints.
 *
 * ```ts
 * const { model, curve } = await train(
 *   {
 *     student: cutModel, teacher: denseModel, rows, padId, provider: 'cpu',
 *     losses: defaultLosses, optimiser: defaultOptimiser,
 *     schedule: { kind: 'linear', peak: 8e-5, warmup: 0.1, final: 0 },
 *     epochs: 4, batch: 32, seed: 0,
 *     store: { folder: work, limitBytes: 8e9 },
 *     checkpoint: { file: join(work, 'recover-2x.train'), everySteps: 50 },
 *     evaluate: async (model) => accuracyOf(model), patience: 2,
 *   },
 *   progress,
 * );
 * ```
 *
 * Without a teacher and with `losses: { task: 1, logit: 0, token: 0, … }` it is plain fine-tuning, of a checkpoint or from
 * scratch. Called again with the same arguments, it goes on from the checkpoint, and on the CPU (with as many threads) ends
 * in the same weights, bit for bit, as a training that nothing stopped. A finished one is read from its checkpoint.
 * @module
 */
import { createHash } from 'node:crypto';
import type { Batch } from '../data/batch.ts';
import { meaningOf } from '../data/feeds.ts';
import type { EncodedRow } from '../data/tokenizer.ts';
import { InputError } from '../errors.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import type { Progress } from '../progress.ts';
import type { SessionOptions } from '../runtime/session.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { AdamW } from './adamw.ts';
import { type Evaluation, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { type HiddenState, hiddenStates } from './hidden.ts';
import { inputsOf, type Losses, logitsShape, nextTokens } from './losses.ts';
import { type Plan, planTraining } from './plan.ts';
import type { Schedule } from './schedule.ts';
import { openTeacher, type Targets } from './teacher.ts';
import { openTrainer, type StepReport, sessionOptions, type TrainingBatch, withWeights } from './trainer.ts';

export interface Training extends SessionOptions {
  /** What is trained: float32; the dense model, or one that was cut from the teacher (its values keep the teacher's names). */
  readonly student: Model;
  /** What it is distilled from: the dense model. Needed where λ₂ or λ₃ is not 0. */
  readonly teacher?: Model;
  readonly losses: Losses;
  readonly optimiser: AdamW;
  /** `warmup` is a share of all steps; how many those are follows from the rows. */
  readonly schedule: Omit<Schedule, 'steps'>;
  readonly rows: readonly EncodedRow[];
  readonly padId: number;
  readonly epochs: number;
  /** Rows of a batch. */
  readonly batch: number;
  /** Batches of a step; 1 when left out. */
  readonly accumulate?: number;
  /** Pad every batch to this length instead of its longest row. */
  readonly padTo?: number;
  /** Of the rows' order. */
  readonly seed: number;
  /**
   * The initializers to train; all that `learnedWeights` finds when left out. The word table takes more than half of the optimiser's
   * time and memory: a student that is small beside it trains faster without.
   */
  readonly parameters?: readonly string[];
  /** Where the teacher's answers are kept, and how much at most; computed beside each step when left out. */
  readonly store?: { readonly folder: string; readonly limitBytes: number };
  /** Where the training is kept, and how often. */
  readonly checkpoint?: { readonly file: string; readonly everySteps: number };
  /** A metric on validation rows, the greater the better. The result is then the model of the best evaluation. */
  readonly evaluate?: (model: Model) => Promise<number>;
  /** Evaluate after so many epochs; 1 when left out, and it may be a fraction. */
  readonly evaluateEvery?: number;
  /** Stop after so many evaluations in a row without a better one; never when left out. */
  readonly patience?: number;
  /** The most steps of one run of the graph; chosen by the state's size when left out. */
  readonly stepsPerRun?: number;
}

export interface Trained {
  /** The student with its new weights: after the best evaluation, or the last step where nothing was evaluated. */
  readonly model: Model;
  /** The loss curve: every step. */
  readonly curve: readonly StepReport[];
  readonly evaluations: readonly Evaluation[];
  readonly stopped: 'finished' | 'plateau';
}

/**
 * Trains.
 * @throws InputError for a model or losses that cannot be trained, and when the loss is no finite number
 * @throws MachineError when memory or disk runs out
 */
export async function train(training: Training, progress: Progress): Promise<Trained> {
  const { losses, accumulate = 1, checkpoint, evaluate, patience = Number.POSITIVE_INFINITY } = training;
  const plan = planTraining({ ...training, inputs: inputsOf(training.student), accumulate });
  const schedule: Schedule = {
    ...training.schedule,
    steps: plan.steps,
    warmup: Math.round(training.schedule.warmup * plan.steps),
  };
  const distils = losses.logit > 0 || losses.token > 0;
  if (distils && !training.teacher) {
    throw new InputError('train: distillation needs a teacher. Give the dense model, or set λ2 and λ3 to 0.');
  }
  const states = training.teacher && losses.token > 0 ? hiddenStates(training.teacher) : [];
  const { perToken } = logitsShape(training.student);
  await using trainer = await openTrainer({ ...training, schedule, accumulate, hidden: states });
  // A student that lost modules has fewer states than the teacher, whose answers serve the whole family.
  const hiddenAt = trainer.hidden.map((state) => states.indexOf(state));

  const key = keyOf(training, schedule, states);
  const found = checkpoint && readCheckpoint(checkpoint.file, key);
  const curve: StepReport[] = [...(found?.curve ?? [])];
  const evaluations: Evaluation[] = [...(found?.evaluations ?? [])];
  let best = found?.best;
  if (found) trainer.restore(found.state);
  const isPlateau = () => {
    const bestAt = evaluations.findIndex(({ metric }) => metric === best?.metric);
    return evaluations.length > 0 && evaluations.length - 1 - bestAt >= patience;
  };
  const save = async () => {
    if (!checkpoint) return;
    await writeCheckpoint(checkpoint.file, {
      key,
      state: trainer.state(),
      curve,
      evaluations,
      ...(best && { best }),
    });
  };

  let done = trainer.state().step;
  const isLeft = () => done < plan.steps && !isPlateau();
  await using teacher = distils && isLeft() ? await teacherOf(training, states, progress) : undefined;
  const task = progress.task('training', plan.steps);
  task.advance(done);
  while (isLeft()) {
    const next = nextStop(training, plan, done, trainer.stepsPerRun);
    const group: TrainingBatch[] = [];
    for (let at = done * accumulate; at < next * accumulate; at++) {
      const batch = plan.batch(at);
      group.push(trainingBatch(losses, perToken, batch, await teacher?.targets(batch), hiddenAt));
    }
    curve.push(...(await trainer.step(group)));
    const { loss, rate } = curve.at(-1)!;
    task.advance(next - done, `loss ${loss.toPrecision(3)}, rate ${rate.toExponential(1)}`);
    done = next;
    const isEvaluated = evaluate !== undefined && (plan.isEvaluated(done) || done === plan.steps);
    if (isEvaluated) {
      const metric = await evaluate(trainer.model());
      evaluations.push({ step: done, metric });
      if (best === undefined || metric > best.metric) best = { metric, weights: trainer.weights() };
      progress.say(`Step ${done}: metric ${metric.toPrecision(4)}, best ${best.metric.toPrecision(4)}`);
    }
    if (checkpoint && (done % checkpoint.everySteps === 0 || isEvaluated || !isLeft())) await save();
  }
  task.done();
  return {
    model: best ? withWeights(trainer.model(), best.weights) : trainer.model(),
    curve,
    evaluations,
    stopped: done < plan.steps ? 'plateau' : 'finished',
  };
}

/** Up to where the next run goes: checkpoints and evaluations fall between runs. */
function nextStop({ checkpoint, evaluate }: Training, plan: Plan, done: number, most: number): number {
  let next = done + 1;
  while (
    next < plan.steps &&
    next - done < most &&
    !(checkpoint && next % checkpoint.everySteps === 0) &&
    !(evaluate && plan.isEvaluated(next))
  ) {
    next++;
  }
  return next;
}

/** A batch with its targets: labels of rows, or the next tokens where each token has logits. */
function trainingBatch(
  losses: Losses,
  perToken: boolean,
  batch: Batch,
  targets: Targets | undefined,
  hiddenAt: readonly number[],
): TrainingBatch {
  const [b, s] = batch.shape;
  const mask = tensor('float32', [b, s], Float32Array.from(batch.mask));
  const hidden = hiddenAt.map((k) => targets!.hidden[k]);
  return {
    feeds: batch.feeds,
    ...(losses.task > 0 && { labels: perToken ? nextLabels(batch) : rowLabels(batch) }),
    ...(losses.logit > 0 && {
      counts: perToken
        ? mask
        : tensor(
            'float32',
            [b],
            Float32Array.from({ length: b }, (_, i) => Number(i < batch.rows.length)),
          ),
      logits: targets!.logits!,
    }),
    ...(losses.token > 0 && { mask, hidden }),
  };
}

/** The rows' labels; −1 for filler. */
function rowLabels({ shape: [b], labels }: Batch): Tensor<'int64'> {
  return tensor(
    'int64',
    [b],
    BigInt64Array.from({ length: b }, (_, i) => BigInt(labels[i] ?? -1)),
  );
}

function nextLabels({ feeds, mask, shape: [b, s] }: Batch): Tensor<'int64'> {
  const ids = Object.entries(feeds).find(([name]) => meaningOf(name) === 'ids')![1];
  return tensor('int64', [b, s], nextTokens(ids.data, mask, s));
}

function teacherOf(training: Training, hidden: readonly HiddenState[], progress: Progress) {
  const { teacher, losses, rows, padId, store } = training;
  return openTeacher(
    {
      model: teacher!,
      logits: losses.logit > 0,
      hidden,
      rows,
      padId,
      session: sessionOptions(training),
      ...(store && { store }),
    },
    progress,
  );
}

/** A digest of all that decides the weights. */
function keyOf(training: Training, schedule: Schedule, states: readonly HiddenState[]): string {
  const { student, teacher, losses, optimiser, rows, epochs, batch, accumulate, padTo, seed, parameters } =
    training;
  const { evaluateEvery, patience, evaluate } = training;
  const hash = createHash('sha256').update(encodeModel(student));
  if (teacher && (losses.logit > 0 || losses.token > 0)) hash.update(encodeModel(teacher));
  const settings = [losses, optimiser, schedule, states, epochs, batch, accumulate, padTo, seed, parameters];
  const judged = [evaluate !== undefined, evaluateEvery, patience];
  return hash
    .update(JSON.stringify([settings, judged, rows]))
    .digest('hex')
    .slice(0, 16);
}
