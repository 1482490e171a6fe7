/**
 * Embeddings of texts: an output that holds them, or the mean of the states of a text's tokens, or the state of its first.
 *
 * Only their directions are compared. So in a graph the sum stands for the mean, and what is handed out is [b, width] instead of
 * [b, s, width].
 * @module
 */
import { InputError } from '../../errors.ts';
import { graphExtension } from '../../onnx/build.ts';
import { inferShapes } from '../../onnx/infer.ts';
import type { Model } from '../../onnx/model.ts';

export type Pooling = 'mean' | 'first';

export interface EmbeddingOutput {
  readonly name: string;
  /** Whether it holds a state for each token, [b, s, width], instead of one for each text. */
  readonly perToken: boolean;
}

/** Names that exporters give to the states of all tokens. */
const STATES = ['last_hidden_state', 'token_embeddings', 'hidden_states'];

/**
 * The output that embeddings are made from: `sentence_embedding`, else the states of the tokens by their usual names, else
 * the only output of three axes.
 * @throws InputError where there is none
 */
export function embeddingOutput(model: Model): EmbeddingOutput {
  const { outputs } = model.graph;
  const named = (name: string) => outputs.some((output) => output.name === name);
  if (named('sentence_embedding')) return { name: 'sentence_embedding', perToken: false };
  const states = STATES.find(named);
  if (states !== undefined) return { name: states, perToken: true };
  const shapes = inferShapes(model);
  const rankOf = (name: string) => shapes.get(name)?.shape?.length;
  const ofTokens = outputs.filter(({ name }) => rankOf(name) === 3);
  if (ofTokens.length === 1) return { name: ofTokens[0].name, perToken: true };
  throw new InputError(
    `evaluate: no output is sentence_embedding or last_hidden_state; the model's outputs are ${outputs.map(({ name }) => name).join(', ')}. Export the model for feature extraction.`,
  );
}

/** The input and the output that a model with pooling has beside its own. */
export const pooled = {
  /** float32 [b, s, 1]: how much of each token's state is taken. */
  mask: 'ziplm.pooling/mask',
  /** float32 [b, width], the sum over the tokens. */
  embedding: 'ziplm.pooling/embedding',
} as const;

const FLOAT = 1;

/** Appends the pooling of the states [b, s, width]. */
export function appendPooling(model: Model, states: string): void {
  const opset = model.opsets.get('') ?? 1;
  const g = graphExtension(model.graph, 'ziplm.pooling/');
  const mask = g.input('mask', 'float32', ['b', 's', 1]);
  const taken = g.op('Mul', [g.op('Cast', [states], { to: FLOAT }), mask]);
  const sum =
    opset >= 13
      ? g.op('ReduceSum', [taken, g.ints(1)], { keepdims: 0 })
      : g.op('ReduceSum', [taken], { axes: [1], keepdims: 0 });
  g.output('embedding', sum, 'float32');
  const { nodes, initializers, inputs, outputs } = g.graph();
  const { graph } = model;
  graph.nodes.push(...nodes);
  for (const [name, stored] of initializers) graph.initializers.set(name, stored);
  graph.inputs.push(...inputs);
  graph.outputs.push(...outputs);
}

/** The weights of a batch's tokens: [b, s], 1 for those that the pooling takes. */
export function poolingMask(mask: Uint8Array, [b, s]: readonly [number, number], pooling: Pooling): Float32Array {
  if (pooling === 'mean') return Float32Array.from(mask);
  return Float32Array.from({ length: b * s }, (_, at) => (at % s === 0 ? 1 : 0));
}

/**
 * The embeddings [b, width] of states [b, s, width], as sums.
 * @param weights [b, s]
 */
export function pool(
  states: Float32Array,
  weights: Float32Array,
  [b, s, width]: readonly [number, number, number],
): Float32Array {
  const sums = new Float32Array(b * width);
  for (let row = 0; row < b; row++) {
    for (let token = 0; token < s; token++) {
      const weight = weights[row * s + token];
      if (weight === 0) continue;
      const from = (row * s + token) * width;
      for (let k = 0; k < width; k++) sums[row * width + k] += weight * states[from + k];
    }
  }
  return sums;
}
