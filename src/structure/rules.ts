/**
 * What each operator does to axes: one closed table. A rule pairs axes that must be the same (`unify`), forbids
 * removals where slices meet each other (`freeze`), and returns the axes of the outputs, or why it cannot. An operator
 * without a rule freezes all that it touches: what is not understood is refused, never cut.
 *
 * `docs/operators.md` is drawn from this table.
 * @module
 */
import type { Node } from '../onnx/model.ts';
import * as attention from './rules/attention.ts';
import * as compute from './rules/compute.ts';
import * as layout from './rules/layout.ts';
import { type Rule, refused } from './rules/operation.ts';
import * as parts from './rules/parts.ts';

export interface Entry {
  /** Operators of one rule; those of other domains are written `domain.Name`. */
  readonly names: readonly string[];
  /** What the rule does to axes, for people. */
  readonly does: string;
  readonly rule: Rule;
  /** An input that several layers may share, each taking the slices that it needs; -1: any input. */
  readonly table?: number;
}

const entry = (names: string, does: string, rule: Rule, table?: number): Entry => ({
  names: names.split(/\s+/).map((name) => name.replace('ms.', 'com.microsoft.')),
  does,
  rule,
  ...(table !== undefined && { table }),
});

/** Operators whose axes stay whole, for a reason of their own. */
const refuses = (names: string, why: string): Entry => entry(names, `It ${why}.`, () => refused(why));

const quantized =
  'holds its weights quantized in packs, so that no slice of them stands alone: prune first, then quantize';

/** Sections in the order of the page. `ms.` stands for `com.microsoft.`. */
export const table: readonly { readonly title: string; readonly entries: readonly Entry[] }[] = [
  {
    title: 'Slice by slice',
    entries: [
      entry(
        `Identity Cast CastLike Dropout Clip Abs Neg Not BitwiseNot Sqrt Exp Log Erf Tanh Sigmoid Relu LeakyRelu Elu Selu
        Celu Gelu Mish HardSigmoid HardSwish Softplus Softsign ThresholdedRelu Swish Shrink Floor Ceil Round Sign
        Reciprocal IsNaN IsInf Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh ms.Gelu ms.QuickGelu`,
        'Every axis passes as it is.',
        compute.unary,
      ),
      entry(
        `Add Sub Mul Div Pow Mod Min Max Sum Mean Where Equal Less Greater LessOrEqual GreaterOrEqual And Or Xor
        BitwiseAnd BitwiseOr BitwiseXor BitShift PRelu ms.BiasGelu ms.FastGelu ms.BiasAdd ms.BiasDropout`,
        'Operands are aligned at the right, as numpy does; axes that are not 1 are the same axis, so that one cut cuts both. A table that several layers add is sliced for each.',
        compute.elementwise,
        -1,
      ),
      entry(
        'ms.BiasSplitGelu',
        'The last axis is a gate and what it opens, end to end: both halves are one axis, which passes.',
        compute.biasSplitGelu,
      ),
      entry(
        'QuantizeLinear DequantizeLinear',
        'Every axis passes; scales and zero points of an axis are cut with it. A matrix that is stored quantized may produce structures; the matrix that reads them must be stored in floats.',
        compute.scaled,
      ),
    ],
  },
  {
    title: 'Over an axis',
    entries: [
      entry(
        'Softmax LogSoftmax Hardmax',
        'The axis that is normalised stays whole; others pass.',
        compute.softmax,
      ),
      entry('ms.BiasSoftmax', 'As a sum and a softmax after it.', compute.biasSoftmax),
      entry(
        'LayerNormalization RMSNormalization SimplifiedLayerNormalization ms.SimplifiedLayerNormalization',
        'The axes that are normalised stay whole, and scale and bias with them; others pass.',
        compute.normalisation,
      ),
      entry(
        'ms.SkipLayerNormalization ms.SkipSimplifiedLayerNormalization',
        'Operands are added; the last axis of the sum stays whole.',
        compute.skipNormalisation,
      ),
      entry(
        'ms.EmbedLayerNormalization',
        'Tables stay whole; the axes of the ids pass.',
        compute.embedLayerNormalisation,
      ),
      entry(
        'LpNormalization',
        'The axis that is normalised stays whole; others pass.',
        compute.over('normalises over it'),
      ),
      entry(
        'BatchNormalization',
        'Every axis passes; the vectors of the channels are cut with axis 1.',
        compute.perChannel('', () => []),
      ),
      entry(
        'InstanceNormalization',
        'Axes after the channels stay whole; scale and bias are cut with axis 1.',
        compute.perChannel('normalises over it', (x) => x.slice(2)),
      ),
      entry(
        'GroupNormalization',
        'Channels and the axes after them stay whole.',
        compute.perChannel('normalises over it', (x) => x.slice(1)),
      ),
      entry(
        `ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
        ReduceSumSquare`,
        'Axes that are reduced stay whole; others pass.',
        compute.reduce,
      ),
      entry('ArgMax ArgMin', 'The axis that is compared along stays whole; others pass.', compute.argReduce),
      entry('TopK', 'The axis that is ranked stays whole; others pass.', compute.topK),
      entry(
        'CumSum',
        'The axis that is summed along stays whole; others pass.',
        compute.overInput('accumulates along it', 1),
      ),
      entry('Trilu', 'The last two axes stay whole; others pass.', compute.trilu),
      entry(
        'AveragePool MaxPool LpPool',
        'Axes after the channels stay whole; the channels pass.',
        compute.pool(false),
      ),
      entry(
        'GlobalAveragePool GlobalMaxPool GlobalLpPool',
        'Axes after the channels stay whole; the channels pass.',
        compute.pool(true),
      ),
      entry(
        'DynamicQuantizeLinear',
        'Every axis stays whole: its scale is taken from all values.',
        compute.scaledByRange,
      ),
    ],
  },
  {
    title: 'Between two axes',
    entries: [
      entry(
        'MatMul Gemm ms.FusedMatMul ms.TransposeMatMul',
        'The axis that is summed over is the same in both operands. A constant matrix consumes the structures that are its rows and produces those that are its columns; between two activations the axis stays whole and the batch axes are heads.',
        compute.matMul,
      ),
      entry(
        'ms.FusedGemm ms.GemmFastGelu',
        'As a product that only produces: after its function, what it adds is not linear in what it reads.',
        compute.activatedMatMul,
      ),
      entry(
        'Einsum',
        'Letters are axes. Over one letter and a constant matrix it is a product, over several at once they stay whole.',
        compute.einsum,
      ),
      entry(
        'Conv',
        'Channels and the axes after them stay whole, except that a convolution of each channel alone passes the channels and is cut with them.',
        compute.conv,
      ),
    ],
  },
  {
    title: 'Attention',
    entries: [
      entry(
        'Attention',
        'Heads are an axis of their own, or counted by attributes, which follow the cut: a key-value head goes with its queries. Caches and a bias that has heads are cut with them; positions and the inside of a head stay whole.',
        attention.attention,
        3,
      ),
      entry(
        'ms.Attention',
        'The same; queries, keys and values are columns of one matrix.',
        attention.packedAttention,
        5,
      ),
      entry(
        'ms.MultiHeadAttention',
        'The same; queries, keys and values apart or packed within each head, their biases end to end.',
        attention.multiHeadAttention,
        5,
      ),
      entry(
        'ms.GroupQueryAttention',
        'The same; queries, keys and values apart or end to end.',
        attention.groupQueryAttention,
        10,
      ),
      entry(
        'RotaryEmbedding',
        'Heads pass; positions and the inside of a head stay whole.',
        attention.rotaryEmbedding(1),
      ),
      entry('ms.RotaryEmbedding', 'The same.', attention.rotaryEmbedding(2)),
      entry(
        'ms.RelativePositionBias',
        'The columns of the table are heads, and each layer that adds the bias takes those that it keeps.',
        attention.relativePositionBias,
      ),
      entry(
        'ms.GatedRelativePositionBias',
        'Heads pass, and are cut in the query, its bias, the positions and the scale together.',
        attention.gatedRelativePositionBias,
      ),
    ],
  },
  {
    title: 'Layout',
    entries: [
      entry('Transpose', 'Axes pass in another order.', layout.transpose),
      entry(
        'Reshape',
        'The same slices under other boundaries: an axis of 48 that becomes 4 by 12 turns out to be 4 heads. Its target follows the cut.',
        layout.reshape,
      ),
      entry('Flatten', 'Axes are joined into two.', layout.flatten),
      entry('Squeeze', 'Axes of 1 go; others pass.', layout.squeeze),
      entry('Unsqueeze', 'Axes of 1 come in; others pass.', layout.unsqueeze),
      entry('Expand', 'Axes pass; those of 1 are repeated. Its target follows the cut.', layout.expand),
      entry(
        'Tile',
        'Each axis becomes its repetitions and itself. The repetitions follow the cut.',
        layout.tile,
      ),
      entry(
        'Concat',
        'The axis is its parts end to end; others are the same axis in all parts.',
        layout.concat,
      ),
      entry(
        'Split',
        'The axis is its parts end to end, each a part of its own. Sizes that are listed follow the cut; parts of no listed size stay equal.',
        parts.split,
      ),
      entry(
        'Slice',
        'A part between two constant bounds is a part of its own, and the bounds follow the cut; another part keeps its axis whole.',
        parts.slice,
      ),
      entry(
        'Gather',
        'The axis that is picked from stays whole; the axes of the indices take its place.',
        parts.gather,
      ),
      entry('GatherND', 'The axes that are picked from stay whole.', parts.gatherND),
      entry(
        'GatherElements',
        'The axis that is picked from stays whole; along the others, elements are picked from their own slice.',
        parts.gatherElements,
        1,
      ),
      entry(
        'ScatterElements Scatter',
        'The axis that is written along stays whole; along the others, each slice is written into its own.',
        parts.scatterElements,
      ),
      entry(
        'ScatterND',
        'The axes that indices point into stay whole; along the others, each slice is written into its own.',
        parts.scatterND,
      ),
      entry('If', 'Axes of both branches are the same axis: what is cut is cut in both.', layout.choice),
      entry('Pad', 'Axes that are padded stay whole; others pass.', parts.pad),
      entry(
        'Resize',
        'Axes that keep their size pass, and the size follows the cut; others stay whole.',
        parts.resize,
      ),
      entry('OneHot', 'The axes of the indices pass.', parts.oneHot),
      entry('NonZero', 'Every axis stays whole.', parts.nonZero),
      entry('ConstantOfShape', 'Its target follows the cut.', layout.constantOfShape),
      entry('Shape', 'Sizes are told as they were before the cut.', layout.shape),
      entry('Size', 'Every axis stays whole.', parts.size),
      entry('Range', 'A new axis.', parts.vector),
    ],
  },
  {
    title: 'Refused',
    entries: [
      refuses(
        `MatMulInteger ConvInteger QLinearMatMul QLinearConv ms.MatMulNBits ms.MatMulBnb4 ms.MatMulFpQ4
        ms.MatMulIntegerToFloat ms.MatMulInteger16 ms.DynamicQuantizeMatMul ms.QGemm ms.QAttention
        ms.QEmbedLayerNormalization ms.GatherBlockQuantized ms.QMoE`,
        quantized,
      ),
      refuses(
        `ms.DecoderMaskedMultiHeadAttention ms.DecoderMaskedSelfAttention ms.DecoderAttention ms.LongformerAttention
        ms.PackedAttention ms.PackedMultiHeadAttention ms.SparseAttention ms.PagedAttention`,
        'is an attention whose cache or layout of tokens is not followed: export the model without it',
      ),
      refuses('ms.MoE', 'sends each token to experts of its own'),
      refuses('LSTM GRU RNN', 'feeds its result back to itself'),
    ],
  },
];

const entries: ReadonlyMap<string, Entry> = new Map(
  table.flatMap(({ entries }) => entries.flatMap((one) => one.names.map((name) => [name, one] as const))),
);

function entryOf({ domain, opType }: Node): Entry | undefined {
  return entries.get(domain === '' || domain === 'ai.onnx' ? opType : `${domain}.${opType}`);
}

/** The rule of a node's operator; undefined for an operator that is not known. */
export const ruleOf = (node: Node): Rule | undefined => entryOf(node)?.rule;

/** Whether a node takes from this input the slices that it needs: what several layers share is sliced for each. */
export function takesSlices(node: Node, input: number): boolean {
  const of = entryOf(node)?.table;
  return of === -1 || of === input;
}
