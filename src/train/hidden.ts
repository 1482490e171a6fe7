/**
 * The hidden states that token distillation compares: the residual stream after each layer.
 *
 * They are found from the blocks. What a module makes joins the stream at an addition, whose other side is the stream as the
 * modules before left it: after its normalisation in a post-norm model, before any in a pre-norm one. After the last module
 * it is the last value with the stream's axes, so that a final normalisation counts.
 *
 * A student that was cut from the teacher has the teacher's values under the teacher's names, except around modules
 * that are gone: a layer whose value is gone is not compared.
 * @module
 */
import type { Graph, Model } from '../onnx/model.ts';
import { definedIn, type GraphIndex, indexGraph } from '../onnx/walk.ts';
import { type Analysis, analyse } from '../structure/analyse.ts';
import { type Axes, sameAxis, sizeOfAxis } from '../structure/axes.ts';

export interface HiddenState {
  readonly value: string;
  /** The size of the last axis. */
  readonly width: number;
  /** The order of the two axes before it. */
  readonly layout: 'batch-sequence' | 'sequence-batch';
}

/** Operators that a module's result passes on its way to the stream. */
const passed = new Set([
  'Add',
  'Reshape',
  'Transpose',
  'Identity',
  'Dropout',
  'Cast',
  'Squeeze',
  'Unsqueeze',
]);
const fusedJoins = new Set(['SkipLayerNormalization', 'SkipSimplifiedLayerNormalization']);

/**
 * The stream after each layer of the dense model, in forward order; after each module where no block is an MLP.
 * Values that are not [batch, sequence, width], or with the first two exchanged, are left out.
 */
export function hiddenStates(model: Model, analysis: Analysis = analyse(model)): HiddenState[] {
  const { graph } = model;
  const index = indexGraph(graph);
  const position = new Map(graph.nodes.flatMap(({ outputs }, i) => outputs.map((output) => [output, i])));
  const joins = analysis.blocks
    .flatMap(({ id, kind }) =>
      analysis.sites.get(id)!.consumers.map(({ node }) => ({ kind, output: node.outputs[0] })),
    )
    .toSorted((a, b) => position.get(a.output)! - position.get(b.output)!)
    .flatMap(({ kind, output }) => {
      const stream = joined(index, analysis, output);
      return stream === undefined ? [] : [{ kind, stream }];
    });
  if (joins.length === 0) return [];
  const isLayered = joins.some(({ kind }) => kind === 'mlp');
  const streams = joins.flatMap(({ kind }, i) => {
    if (isLayered && kind !== 'mlp') return [];
    return [joins[i + 1]?.stream ?? lastLike(graph, analysis, joins[i].stream)];
  });
  return [...new Set(streams)].flatMap((value) => described(analysis, value));
}

/** Those that a cut student still has. */
export function commonStates(states: readonly HiddenState[], student: Model): HiddenState[] {
  const defined = definedIn(student.graph);
  return states.filter(({ value }) => defined.has(value));
}

/** The other side of the addition that takes a module's result into the stream. */
function joined(index: GraphIndex, { values }: Analysis, output: string): string | undefined {
  for (let value = output; ; ) {
    const [use, ...others] = index.uses(value);
    if (!use || others.length > 0 || use.owner !== use.node || use.position < 0) return undefined;
    const { opType, inputs, outputs } = use.node;
    if ((opType === 'Add' || fusedJoins.has(opType)) && use.position < 2) {
      const other = inputs[1 - use.position];
      if (sameAxes(values.get(other), values.get(value))) return other;
    }
    if (!passed.has(opType)) return undefined;
    value = outputs[0];
  }
}

function lastLike(graph: Graph, { values }: Analysis, stream: string): string {
  const outputs = graph.nodes.flatMap((node) => node.outputs);
  return outputs.findLast((value) => sameAxes(values.get(value), values.get(stream)))!;
}

function sameAxes(a: Axes | undefined, b: Axes | undefined): boolean {
  return (
    a !== undefined && b !== undefined && a.length === b.length && a.every((one, i) => sameAxis(one, b[i]))
  );
}

function described({ values, tokenInputs }: Analysis, value: string): HiddenState[] {
  const axes = values.get(value)!;
  const width = axes.length === 3 ? sizeOfAxis(axes[2]) : undefined;
  if (width === undefined) return [];
  const lies = (first: number, second: number) =>
    tokenInputs.some((tokens) => sameAxis(axes[0], tokens[first]) && sameAxis(axes[1], tokens[second]));
  if (lies(0, 1)) return [{ value, width, layout: 'batch-sequence' }];
  return lies(1, 0) ? [{ value, width, layout: 'sequence-batch' }] : [];
}
