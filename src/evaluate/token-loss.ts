/**
 * What each token's logits are worth: −log softmax(logits)[label], as nodes of a graph, so that of logits [b, s, vocabulary] only
 * [b, s] is ever handed out. The greatest logit is taken off first, in float32 whatever the logits are.
 * @module
 */
import { InputError } from '../errors.ts';
import { type GraphBuilder, graphBuilder, graphExtension } from '../onnx/build.ts';
import type { Model } from '../onnx/model.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** The input and the outputs that a model with the loss has beside its own. */
export const tokenLoss = {
  /** int64 [b, s], each below the vocabulary: whatever where nothing is asked. */
  labels: 'ziplm.tokens/labels',
  /** float32 [b, s] */
  loss: 'ziplm.tokens/loss',
  /** int64 [b, s]: the class of the greatest logit. */
  best: 'ziplm.tokens/best',
} as const;

const PREFIX = 'ziplm.tokens/';
const FLOAT = 1;
/** GatherElements came with it. */
const OLDEST = 11;

/**
 * Appends the loss to a model.
 * @param logits its output [b, s, vocabulary]
 * @param best whether the likeliest token is wanted too
 * @throws InputError for a model of an operator set before 11
 */
export function appendTokenLoss(model: Model, logits: string, best = false): void {
  const opset = model.opsets.get('') ?? 0;
  if (opset < OLDEST) {
    throw new InputError(
      `model: its operator set is ${opset}, expected ${OLDEST} or later for the loss of its tokens. Export the model again.`,
    );
  }
  const g = graphExtension(model.graph, PREFIX);
  write(g, logits, opset, best);
  const { nodes, initializers, inputs, outputs } = g.graph();
  const { graph } = model;
  graph.nodes.push(...nodes);
  for (const [name, stored] of initializers) graph.initializers.set(name, stored);
  graph.inputs.push(...inputs);
  graph.outputs.push(...outputs);
}

/** A model of the loss alone, for logits that another model gave. Its logits are the input `logits`. */
export function tokenLossModel(type: Tensor['type']): Model {
  const g = graphBuilder('token-loss');
  const logits = g.input('logits', type, ['b', 's', 'vocabulary']);
  const model = g.model({ opset: 18 });
  appendTokenLoss(model, logits, true);
  return model;
}

function write(g: GraphBuilder, logits: string, opset: number, best: boolean): void {
  const labels = g.input('labels', 'int64', ['b', 's']);
  const single = g.op('Cast', [logits], { to: FLOAT });
  const reduce = (opType: string, value: string) =>
    opset >= 18
      ? g.op(opType, [value, g.ints(2)], { keepdims: 1 })
      : g.op(opType, [value], { axes: [2], keepdims: 1 });
  const at = (opType: string, value: string) =>
    opset >= 13 ? g.op(opType, [value, g.ints(2)]) : g.op(opType, [value], { axes: [2] });
  const below = g.op('Sub', [single, reduce('ReduceMax', single)]);
  const picked = g.op('GatherElements', [below, at('Unsqueeze', labels)], { axis: 2 });
  g.output('loss', at('Squeeze', g.op('Sub', [reduce('ReduceLogSumExp', below), picked])), 'float32');
  if (best) g.output('best', g.op('ArgMax', [single], { axis: 2, keepdims: 0 }), 'int64');
}
