/**
 * A trainer: a student, its optimiser's state, and a session that does steps.
 *
 * ```ts
 * await using trainer = await openTrainer({ student, hidden, losses, optimiser, schedule, accumulate: 1, provider: 'cpu' });
 * for (const batches of groups) reports.push(...(await trainer.step(batches)));
 * const smaller = trainer.model();
 * ```
 *
 * The state lives in JavaScript between runs and in the runtime within one: give `step` as many steps' batches at a time as it takes. On the CPU a
 * step is a function of its state and its batches, bit for bit, however many steps a run does (with as many threads).
 * On CUDA, ONNX Runtime multiplies float32 matrices in TF32 on GPUs that have it (ten bits of mantissa, relative error about
 * 10⁻³): enough for training, whose master weights, moments and sums stay in float32, so that no loss scaling is
 * needed; `NVIDIA_TF32_OVERRIDE=0` in the environment of the process gives full float32 at a lower speed.
 * @module
 */
import { differentiate } from '../autodiff/differentiate.ts';
import { InputError } from '../errors.ts';
import { cloneModel } from '../onnx/edit.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { openSession, type SessionOptions } from '../runtime/session.ts';
import {
  type ArrayOf,
  arrayOf,
  type DataType,
  sizeOf,
  type Tensor,
  tensor,
  zeros,
} from '../tensor/tensor.ts';
import type { AdamW } from './adamw.ts';
import { commonStates, type HiddenState } from './hidden.ts';
import { feed, type Losses, logitsOf, withLoss } from './losses.ts';
import { learnedWeights, prepared } from './parameters.ts';
import type { Schedule } from './schedule.ts';
import { port, stateOf, stepModel } from './step.ts';

export interface TrainerOptions extends SessionOptions {
  /** What is trained: float32. Dropout is left out. */
  readonly student: Model;
  readonly losses: Losses;
  /** The teacher's states that token distillation compares, `hiddenStates(teacher)`; those that the student lacks are left out. */
  readonly hidden?: readonly HiddenState[];
  readonly optimiser: AdamW;
  readonly schedule: Schedule;
  /** Batches of a step; their gradients' mean is the step's. */
  readonly accumulate: number;
  /** The initializers to train; those that `learnedWeights` finds when left out. */
  readonly parameters?: readonly string[];
  /** The most steps of one run, after which the state crosses between runtime and JavaScript; chosen by its size when left out. */
  readonly stepsPerRun?: number;
}

/**
 * On the CPU nothing is copied where a run is one step, and a Loop copies the state at its end, which for the 270 MB of
 * MiniLM is a twentieth of a step, and holds it once more. A small state goes through a Loop, since its steps are short; so does any on a
 * device, where crossing is what takes the time.
 */
const LARGE_STATE_BYTES = 2 ** 27;
const [ONE_STEP, MANY_STEPS] = [1, 8];

/**
 * The threads of an operator take its work in blocks that get smaller towards its end, so that none waits long for another: a twentieth of a
 * step on two processors that others use as well.
 */
const SMALL_BLOCKS = { 'session.dynamic_block_base': '4' };

/** Defaults: the method's loss weights for text classification, and the optimiser's that all libraries have. */
export const defaultLosses: Losses = { task: 0, logit: 0.5, token: 0.5, temperature: 2, relative: true };
export const defaultOptimiser: AdamW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.03, clip: 1 };

/** One batch: the model's inputs, and what its losses compare with (`losses.ts` says of what types and shapes). */
export interface TrainingBatch {
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly labels?: Tensor<'int64'>;
  readonly counts?: Tensor<'float32'>;
  readonly mask?: Tensor<'float32'>;
  /** The teacher's logits, and its hidden states in the order of `Trainer.hidden`. */
  readonly logits?: Tensor<'float32'>;
  readonly hidden?: readonly Tensor<'float32'>[];
}

export interface StepReport {
  /** Steps done, this one included. */
  readonly step: number;
  /** The weighted sum of the parts, a mean over the step's batches. */
  readonly loss: number;
  /** Each loss that has a weight, unweighted. */
  readonly parts: Readonly<Partial<Record<'task' | 'logit' | 'token', number>>>;
  /** Of the gradient over all weights, before clipping. */
  readonly norm: number;
  /** The learning rate of this step. */
  readonly rate: number;
}

/** All that a trainer needs to go on from. Not changed by later steps. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number;
  /** Weights and moments by the step graph's names. */
  readonly tensors: Readonly<Record<string, Tensor>>;
}

export interface Trainer extends AsyncDisposable {
  /** The states that the batches' `hidden` must hold; empty when tokens are not distilled. */
  readonly hidden: readonly HiddenState[];
  /** The initializers that are trained. */
  readonly parameters: readonly string[];
  /** How many steps one run should do: 1 where the graph takes no more. */
  readonly stepsPerRun: number;
  /**
   * Does `batches.length / accumulate` optimiser steps in one run.
   * @throws RangeError when that is no whole number, or more than one where `stepsPerRun` is 1
   * @throws InputError when a loss or a gradient is no finite number; the state is then as it was before
   */
  step(batches: readonly TrainingBatch[]): Promise<StepReport[]>;
  state(): Snapshot;
  /** @throws Error when the snapshot is of another model */
  restore(snapshot: Snapshot): void;
  /** The trained initializers' values now, by name. */
  weights(): Map<string, Tensor>;
  /** The student with its weights as they are now. Its graph is the student's but for dropout and untied vectors. */
  model(): Model;
}

/**
 * Builds the training step of a student and opens a session of it.
 * @throws InputError for a weight that is not float32, for an operator without a gradient, for losses that have nothing to
 *   compare
 */
export async function openTrainer(options: TrainerOptions): Promise<Trainer> {
  const { losses, optimiser, schedule, accumulate, hidden = [], stepsPerRun: asked, ...session } = options;
  checkOpset(options.student);
  const student = prepared(options.student);
  const wanted = options.parameters ?? learnedWeights(student);
  for (const name of wanted) checkType(student, name);
  const states = losses.token > 0 ? commonStates(hidden, student) : [];
  const loss = withLoss(student, { losses, logits: logitsOf(student), hidden: states, parameters: wanted });
  const { model, gradients } = differentiate(loss.model, loss.loss, [...loss.parameters.values()]);
  const learned = [...loss.parameters].flatMap(([initializer, name]) => {
    const gradient = gradients.get(name);
    const { shape } = student.graph.initializers.get(initializer)!;
    return gradient === undefined ? [] : [{ initializer, name, shape, gradient }];
  });
  if (learned.length === 0) {
    throw new InputError('train: the loss depends on no weight of the model. Check which outputs it has.');
  }
  const stateBytes = learned.reduce((sum, { shape }) => sum + 12 * sizeOf(shape), 0);
  const isLarge = (session.provider ?? 'cpu') === 'cpu' && stateBytes > LARGE_STATE_BYTES;
  const stepsPerRun = asked ?? (isLarge ? ONE_STEP : MANY_STEPS);
  const loop = stepsPerRun > 1;
  const graph = stepModel({
    graph: model.graph,
    opsets: model.opsets,
    learned,
    reports: new Map([['loss', loss.loss], ...loss.parts]),
    optimiser,
    schedule,
    accumulate,
    loop,
  });
  const { extra, ...rest } = sessionOptions(session);
  const run = await openSession(encodeModel(graph), {
    memoryPattern: false,
    ...rest,
    extra: { ...SMALL_BLOCKS, ...extra },
  });

  const feeds = model.graph.inputs.map(({ name, type }) => ({ name, type: type as DataType }));
  const initialOf = (name: string) => student.graph.initializers.get(name)!.tensor();
  let step = 0;
  // Whether nobody else holds the state, so that it can be let go of at once: it is as large as three models, and the
  // collector, which sees only small objects, comes late.
  let owned = false;
  let tensors: Readonly<Record<string, Tensor>> = Object.fromEntries(
    learned.flatMap(({ initializer, name, shape }) => [
      [port.weight(name), initialOf(initializer)],
      [port.first(name), zeros('float32', shape)],
      [port.second(name), zeros('float32', shape)],
    ]),
  );

  const trainer: Trainer = {
    hidden: states,
    parameters: learned.map(({ initializer }) => initializer),
    stepsPerRun,
    async step(batches) {
      const count = batches.length / accumulate;
      if (!Number.isInteger(count) || count === 0 || (!loop && count > 1)) {
        throw new RangeError(
          `train: ${batches.length} batches are not ${loop ? 'steps' : 'one step'} of ${accumulate}`,
        );
      }
      const flat = batches.map(flatten);
      const found = await run.run({
        ...tensors,
        ...Object.assign({}, ...feeds.map(({ name, type }) => stacked(name, type, flat))),
        ...(loop && { [port.count]: tensor('int64', [], BigInt64Array.of(BigInt(count))) }),
        [port.done]: tensor('int64', [], BigInt64Array.of(BigInt(step))),
      });
      const reports = reportsOf(found, [...loss.parts.keys()], step, count);
      const before = tensors;
      tensors = Object.fromEntries(
        learned.flatMap(({ name }) => stateOf(name).map((state) => [state, found[port.next(state)]])),
      );
      if (owned) release(Object.values(before));
      owned = true;
      step += count;
      return reports;
    },
    state() {
      owned = false;
      return { step, tensors };
    },
    restore(snapshot) {
      for (const [name, { shape }] of Object.entries(tensors)) {
        const other = snapshot.tensors[name];
        if (other?.shape.join() !== shape.join()) {
          throw new Error(
            `train: the snapshot's "${name}" is [${other?.shape}], expected [${shape}]: it is another model's`,
          );
        }
      }
      owned = false;
      ({ step, tensors } = snapshot);
    },
    weights() {
      owned = false;
      return new Map(learned.map(({ initializer, name }) => [initializer, tensors[port.weight(name)]]));
    },
    model: () => withWeights(student, trainer.weights()),
    [Symbol.asyncDispose]: () => run[Symbol.asyncDispose](),
  };
  return trainer;
}

/** A model with other values of some initializers. */
export function withWeights(model: Model, weights: ReadonlyMap<string, Tensor>): Model {
  const result = cloneModel(model);
  for (const [name, value] of weights) result.graph.initializers.set(name, storedTensor(value));
  return result;
}

/** Gives the memory of tensors back; they are empty afterwards. */
function release(tensors: readonly Tensor[]): void {
  for (const { data } of tensors) (data.buffer as ArrayBuffer).transfer(0);
}

/** The step's own nodes are written as they have been since this version. */
const FIRST_OPSET = 11;

function checkOpset({ opsets }: Model): void {
  const opset = opsets.get('') ?? 1;
  if (opset >= FIRST_OPSET) return;
  throw new InputError(
    `train: the model is of opset ${opset}, expected ${FIRST_OPSET} or later. Export it again, with a newer opset.`,
  );
}

function checkType({ graph }: Model, name: string): void {
  const type = graph.initializers.get(name)?.type;
  if (type === 'float32') return;
  throw new InputError(
    type === undefined
      ? `train: the model has no weight "${name}".`
      : `train: the weight "${name}" is ${type}, expected float32. Export the model in float32 to train it.`,
  );
}

/** Of the trainer's options, those that a session takes. */
export function sessionOptions(options: SessionOptions): SessionOptions {
  const { provider, threads, optimization, arena, memoryPattern, extra, optimizedModelFile } = options;
  return {
    ...(provider && { provider }),
    ...(threads !== undefined && { threads }),
    ...(optimization && { optimization }),
    ...(arena !== undefined && { arena }),
    ...(memoryPattern !== undefined && { memoryPattern }),
    ...(extra && { extra }),
    ...(optimizedModelFile !== undefined && { optimizedModelFile }),
  };
}

function flatten({
  feeds,
  labels,
  counts,
  mask,
  logits,
  hidden = [],
}: TrainingBatch): Record<string, Tensor> {
  return {
    ...feeds,
    ...(labels && { [feed.labels]: labels }),
    ...(counts && { [feed.counts]: counts }),
    ...(mask && { [feed.mask]: mask }),
    ...(logits && { [feed.logits]: logits }),
    ...Object.fromEntries(hidden.map((state, k) => [feed.hidden(k), state])),
  };
}

/** The batches' tensors of one feed, as the step graph takes them. */
function stacked(
  name: string,
  type: DataType,
  batches: readonly Readonly<Record<string, Tensor>>[],
): Record<string, Tensor> {
  const parts = batches.map((batch, i) => {
    const part = batch[name];
    if (part?.type === type) return part;
    throw new Error(`train: batch ${i} has ${part?.type ?? 'no'} "${name}", expected ${type}`);
  });
  const starts = [0];
  for (const { data } of parts) starts.push(starts.at(-1)! + data.length);
  const [{ shape }] = parts;
  let data = parts[0].data;
  if (parts.length > 1) {
    data = new arrayOf[type](starts.at(-1)!) as ArrayOf[DataType];
    parts.forEach((part, i) => {
      data.set(part.data as never, starts[i]);
    });
  }
  const ints = (values: readonly number[]) => BigInt64Array.from(values, BigInt);
  return {
    [port.data(name)]: tensor(type, [data.length], data),
    [port.starts(name)]: tensor('int64', [starts.length], ints(starts)),
    [port.shapes(name)]: tensor(
      'int64',
      [parts.length, shape.length],
      ints(parts.flatMap((part) => [...part.shape])),
    ),
  };
}

function reportsOf(
  found: Readonly<Record<string, Tensor>>,
  parts: readonly (keyof Losses)[],
  before: number,
  count: number,
): StepReport[] {
  const at = (name: string, i: number) => Number(found[port.report(name)].data[i]);
  return Array.from({ length: count }, (_, i) => {
    const report = {
      step: before + i + 1,
      loss: at('loss', i),
      parts: Object.fromEntries(parts.map((part) => [part, at(part, i)])),
      norm: at('norm', i),
      rate: at('rate', i),
    };
    if (Number.isFinite(report.loss) && Number.isFinite(report.norm)) return report;
    throw new InputError(
      `train: at step ${report.step} the loss is ${report.loss} and the gradient's norm ${report.norm}. Lower the learning rate (it was ${report.rate.toExponential(1)}), or clip the gradient.`,
    );
  });
}
