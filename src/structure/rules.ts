/**
 * What each operator does to axes: one closed table. A rule pairs axes that must be the same (`unify`), forbids
 * removals where slices meet each other (`freeze`), and returns the axes of the outputs. An operator without a rule
 * freezes all that it touches: what is not understood is refused, never cut.
 * @module
 */
import type { Node } from '../onnx/model.ts';
import { attention, packedAttention, rotaryEmbedding } from './rules/attention.ts';
import * as compute from './rules/compute.ts';
import * as layout from './rules/layout.ts';
import type { Rule } from './rules/operation.ts';

const elementwiseNames =
  'Add Sub Mul Div Pow Mod Min Max Sum Mean Where Equal Less Greater LessOrEqual GreaterOrEqual And Or Xor ' +
  'BitwiseAnd BitwiseOr BitShift PRelu com.microsoft.BiasGelu com.microsoft.FastGelu com.microsoft.QuickGelu';
const unaryNames =
  'Identity Cast Dropout Clip Abs Neg Not Sqrt Exp Log Erf Tanh Sigmoid Relu LeakyRelu Elu Selu Celu Gelu Mish ' +
  'HardSigmoid HardSwish Softplus Softsign ThresholdedRelu Swish Floor Ceil Round Sign Reciprocal IsNaN IsInf Sin ' +
  'Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh com.microsoft.Gelu';
const reduceNames =
  'ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare';

const all = (names: string, rule: Rule) => names.split(' ').map((name) => [name, rule] as const);

/** Operators that pair their operands slice by slice. */
export const isElementwise = (rule: Rule | undefined): boolean => rule === compute.elementwise;

/** Operator → rule; names of other domains are written `domain.Name`. */
export const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...all(elementwiseNames, compute.elementwise),
  ...all(unaryNames, compute.unary),
  ...all(reduceNames, compute.reduce),
  ...all('Softmax LogSoftmax', compute.softmax),
  ...all('LayerNormalization RMSNormalization SimplifiedLayerNormalization', compute.normalisation),
  ...all(
    'com.microsoft.SkipLayerNormalization com.microsoft.SkipSimplifiedLayerNormalization',
    compute.skipNormalisation,
  ),
  ['com.microsoft.EmbedLayerNormalization', compute.embedLayerNormalisation],
  ...all('MatMul com.microsoft.FusedMatMul', compute.matMul),
  ...all('ArgMax ArgMin', compute.argReduce),
  ...all('Range', layout.vector),
  ['Gemm', compute.gemm],
  ['Einsum', compute.einsum],
  ['Conv', compute.conv],
  ['Transpose', layout.transpose],
  ['Reshape', layout.reshape],
  ['Flatten', layout.flatten],
  ['Squeeze', layout.squeeze],
  ['Unsqueeze', layout.unsqueeze],
  ['Expand', layout.expand],
  ['Tile', layout.tile],
  ['Concat', layout.concat],
  ['Split', layout.split],
  ['Slice', layout.slice],
  ['Gather', layout.gather],
  ['GatherND', layout.gatherND],
  ['GatherElements', layout.gatherElements],
  ...all('ScatterND ScatterElements', layout.scatter),
  ['Pad', layout.pad],
  ['ConstantOfShape', layout.constantOfShape],
  ['Shape', layout.shape],
  ['Trilu', compute.trilu],
  ['CumSum', compute.overAxis('accumulates along it', 0)],
  ['Attention', attention],
  ['com.microsoft.Attention', packedAttention],
  ...all('RotaryEmbedding com.microsoft.RotaryEmbedding', rotaryEmbedding),
]);

export function ruleOf(node: Node): Rule | undefined {
  return rules.get(
    node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}.${node.opType}`,
  );
}
