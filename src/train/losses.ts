/**
 * The loss of a training step, as nodes behind the student's:
 *
 *   L = λ₁·L_task + λ₂·L_logit + λ₃·L_token
 *
 *   L_task   cross-entropy with the labels, a mean over the positions that have one
 *   L_logit  T²·KL(softmax(teacher/T) ‖ softmax(student/T)), a mean over the positions that count
 *   L_token  mean squared difference of teacher's and student's hidden states, a mean over the tokens that are not padding,
 *            over the width, and over the layers; relative: each layer's over the mean square of the teacher's state
 *
 * A *position* is what the logits speak of: a row of a classification, a token of a language model. Labels of the latter
 * are the next tokens (`nextTokens`), so that both are one formula. What a λ of 0 leaves out is not in the graph.
 * @module
 */
import { InputError } from '../errors.ts';
import { type GraphBuilder, graphBuilder } from '../onnx/build.ts';
import { removeDeadNodes } from '../onnx/edit.ts';
import { inferShapes } from '../onnx/infer.ts';
import type { Dim, Model, ValueInfo } from '../onnx/model.ts';
import type { HiddenState } from './hidden.ts';
import { inline } from './inline.ts';

export interface Losses {
  /** λ₁. */
  readonly task: number;
  /** λ₂. */
  readonly logit: number;
  /** λ₃. */
  readonly token: number;
  /** T of the logit distillation. */
  readonly temperature: number;
  /** Divide each layer's L_token by the mean square of the teacher's state, which makes λ₃ mean the same for every model. */
  readonly relative: boolean;
}

/** The feeds that a loss adds to the model's. */
export const feed = {
  /** int64, the logits' shape less the last axis; negative where there is no label. */
  labels: 'target/labels',
  /** float32 of the same shape: 1 where a position counts, 0 at filler and padding. */
  counts: 'target/counts',
  /** float32 [batch, sequence]: 1 where a token is, 0 at padding. */
  mask: 'target/mask',
  /** float32, the logits' shape. */
  logits: 'target/logits',
  /** float32, the shape of the k-th hidden state. */
  hidden: (k: number) => `target/hidden.${k}`,
} as const;

export interface LossModel {
  /** Its inputs are the student's and the targets; its outputs the loss and its parts, scalars. */
  readonly model: Model;
  readonly loss: string;
  /** Name of the part → its value, unweighted. */
  readonly parts: ReadonlyMap<keyof Losses, string>;
  /** What is learned: the student's initializer → its name in this model. */
  readonly parameters: ReadonlyMap<string, string>;
}

export interface LossOptions {
  readonly losses: Losses;
  /** The output that holds the logits. */
  readonly logits: string;
  /** The states that L_token compares. */
  readonly hidden: readonly HiddenState[];
  /** The student's initializers that are learned. */
  readonly parameters: readonly string[];
}

/** The output with the logits: `logits`, or the first. */
export function logitsOf({ graph }: Model): string {
  const named = graph.outputs.find(({ name }) => name === 'logits') ?? graph.outputs[0];
  if (!named) throw new InputError('train: the model has no output. Export it for its task.');
  return named.name;
}

/**
 * What the logits speak of: how many classes, and whether each token has its own.
 * @throws InputError when their last axis has no number
 */
export function logitsShape(model: Model, logits = logitsOf(model)): { classes: number; perToken: boolean } {
  const shape = inferShapes(model).get(logits)?.shape;
  const classes = shape?.at(-1);
  if (shape && typeof classes === 'number') return { classes, perToken: shape.length > 2 };
  throw new InputError(
    `train: the last axis of "${logits}" [${shape?.map((dim) => dim ?? '?').join(', ') ?? '?'}] has no number, expected the number of classes. Export the model with its shapes.`,
  );
}

/** Inputs that a caller feeds. */
export function inputsOf({ graph }: Model): ValueInfo[] {
  return graph.inputs.filter(({ name }) => !graph.initializers.has(name));
}

/**
 * Appends the loss to a student.
 * @throws InputError when every λ is 0, the logits' last axis has no number, or λ₃ finds no state to compare
 */
export function withLoss(student: Model, { losses, logits, hidden, parameters }: LossOptions): LossModel {
  const inferred = inferShapes(student);
  const shapeOf = (value: string) => inferred.get(value)?.shape;
  const { classes } = logitsShape(student, logits);
  const g = graphBuilder('loss');
  const given = new Map(
    inputsOf(student).map(({ name, type, shape }) => [name, g.input(name, type!, shape)] as const),
  );
  const value = inline(g, student.graph, given);
  const opset = student.opsets.get('') ?? 1;
  const ops: Ops = { g, opset };
  const parts = new Map<keyof Losses, string>();
  const predicted = { value: rows(g, value(logits), classes), shape: shapeOf(logits)!, classes };
  if (losses.task > 0) parts.set('task', taskLoss(ops, predicted));
  if (losses.logit > 0) parts.set('logit', logitLoss(ops, predicted, losses.temperature));
  if (losses.token > 0) {
    if (hidden.length === 0) {
      throw new InputError(
        'train: no hidden state of the teacher is left in the student, so there is nothing for token distillation to compare. Set its λ to 0.',
      );
    }
    const states = hidden.map((state) => ({
      ...state,
      value: value(state.value),
      shape: shapeOf(state.value) ?? [undefined, undefined, state.width],
    }));
    parts.set('token', tokenLoss(ops, states, losses.relative));
  }
  if (parts.size === 0)
    throw new InputError('train: every λ is 0, so there is no loss. Give one of the losses a weight.');
  const weighted = [...parts].map(([part, loss]) =>
    g.op('Mul', [loss, g.scalar('float32', losses[part] as number)]),
  );
  const total = weighted.reduce((sum, one) => g.op('Add', [sum, one]));
  g.output('loss', total, 'float32', []);
  for (const [part, loss] of parts) g.output(`loss.${part}`, loss, 'float32', []);
  const domains = Object.fromEntries([...student.opsets].filter(([domain]) => domain !== ''));
  const names = new Map(parameters.map((name) => [name, value(name)] as const));
  const model = g.model({ opset, domains });
  removeDeadNodes(model.graph);
  return {
    model,
    loss: 'loss',
    parts: new Map([...parts.keys()].map((part) => [part, `loss.${part}`])),
    parameters: names,
  };
}

interface Ops {
  readonly g: GraphBuilder;
  readonly opset: number;
}

/** The student's logits as [positions, classes], and the shape that they came in. */
interface Predicted {
  readonly value: string;
  readonly shape: readonly Dim[];
  readonly classes: number;
}

/** Targets are declared in the shapes of what they are compared with, so that nothing needs to be broadcast. */
interface ComparedState extends HiddenState {
  readonly shape: readonly Dim[];
}

/** [positions, classes]. */
function rows(g: GraphBuilder, value: string, classes: number): string {
  return g.op('Reshape', [value, g.ints(-1, classes)]);
}

function flatten(g: GraphBuilder, value: string): string {
  return g.op('Reshape', [value, g.ints(-1)]);
}

/** The sum of all elements, a scalar. */
function total(g: GraphBuilder, value: string): string {
  return g.op('ReduceSum', [value], { keepdims: 0 });
}

/** Σ values·weights / max(1, Σ weights). */
function weightedMean({ g }: Ops, values: string, weights: string): string {
  const count = g.op('Max', [total(g, weights), g.scalar('float32', 1)]);
  return g.op('Div', [total(g, g.op('Mul', [values, weights])), count]);
}

/** The sum over the last of two axes: the axes are an attribute before opset 13, an input since. */
function rowSums({ g, opset }: Ops, value: string): string {
  return opset >= 13
    ? g.op('ReduceSum', [value, g.ints(1)], { keepdims: 0 })
    : g.op('ReduceSum', [value], { axes: [1], keepdims: 0 });
}

function taskLoss(ops: Ops, { value: logits, shape, classes }: Predicted): string {
  const { g } = ops;
  const labels = flatten(g, g.input(feed.labels, 'int64', shape.slice(0, -1)));
  const missing = g.op('Less', [labels, g.scalar('int64', 0)]);
  const weights = g.op('Cast', [g.op('Not', [missing])], { to: 1 });
  const logp = g.op('LogSoftmax', [logits], { axis: 1 });
  // The entry of each position's label, looked up in the flattened table.
  const count = g.op('Gather', [g.op('Shape', [labels]), g.scalar('int64', 0)]);
  const positions = g.op('Range', [g.scalar('int64', 0), count, g.scalar('int64', 1)]);
  const starts = g.op('Mul', [positions, g.scalar('int64', classes)]);
  const known = g.op('Where', [missing, g.scalar('int64', 0), labels]);
  const picked = g.op('Gather', [flatten(g, logp), g.op('Add', [starts, known])]);
  return g.op('Neg', [weightedMean(ops, picked, weights)]);
}

function logitLoss(ops: Ops, { value: logits, shape, classes }: Predicted, temperature: number): string {
  const { g } = ops;
  const t = g.scalar('float32', temperature);
  const counts = flatten(g, g.input(feed.counts, 'float32', shape.slice(0, -1)));
  const teacher = g.op('Div', [rows(g, g.input(feed.logits, 'float32', shape), classes), t]);
  const q = g.op('Softmax', [teacher], { axis: 1 });
  const logq = g.op('LogSoftmax', [teacher], { axis: 1 });
  const logp = g.op('LogSoftmax', [g.op('Div', [logits, t])], { axis: 1 });
  const divergence = rowSums(ops, g.op('Mul', [q, g.op('Sub', [logq, logp])]));
  return g.op('Mul', [weightedMean(ops, divergence, counts), g.scalar('float32', temperature ** 2)]);
}

function tokenLoss(ops: Ops, states: readonly ComparedState[], relative: boolean): string {
  const { g } = ops;
  const [{ shape: first, layout: order }] = states;
  const [b, s] = order === 'batch-sequence' ? first : [first[1], first[0]];
  const mask = g.input(feed.mask, 'float32', [b, s]);
  const tokens = g.op('Max', [total(g, mask), g.scalar('float32', 1)]);
  const column = {
    'batch-sequence': () => unsqueezed(ops, mask),
    'sequence-batch': () => unsqueezed(ops, g.op('Transpose', [mask], { perm: [1, 0] })),
  };
  const columns = new Map<HiddenState['layout'], string>();
  const layers = states.map(({ value, shape, width, layout }, k) => {
    const teacher = g.input(feed.hidden(k), 'float32', shape);
    const at = columns.get(layout) ?? column[layout]();
    columns.set(layout, at);
    const squares = (difference: string) => {
      const masked = g.op('Mul', [difference, at]);
      return total(g, g.op('Mul', [masked, masked]));
    };
    const error = squares(g.op('Sub', [value, teacher]));
    if (relative) return g.op('Div', [error, g.op('Max', [squares(teacher), g.scalar('float32', 1e-12)])]);
    return g.op('Div', [error, g.op('Mul', [tokens, g.scalar('float32', width)])]);
  });
  const sum = layers.reduce((a, b) => g.op('Add', [a, b]));
  return g.op('Mul', [sum, g.scalar('float32', 1 / layers.length)]);
}

/** [·, ·] → [·, ·, 1]. */
function unsqueezed({ g, opset }: Ops, value: string): string {
  return opset >= 13 ? g.op('Unsqueeze', [value, g.ints(2)]) : g.op('Unsqueeze', [value], { axes: [2] });
}

/** Labels of a language model: at each token the next one of its row, −1 at a row's last token and at padding. */
export function nextTokens(
  ids: ArrayLike<number | bigint>,
  mask: ArrayLike<number>,
  sequence: number,
): BigInt64Array {
  return BigInt64Array.from({ length: ids.length }, (_, at) => {
    const isLast = (at + 1) % sequence === 0 || mask[at + 1] === 0;
    return isLast || mask[at] === 0 ? -1n : BigInt(ids[at + 1]);
  });
}
