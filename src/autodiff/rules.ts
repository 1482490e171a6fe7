/**
 * The derivative of each operator: one closed table. An operator that has neither a rule here nor an expansion in
 * `expand.ts` is named with its node, and nothing is computed.
 * @module
 */
import type { Node } from '../onnx/model.ts';
import type { Rule } from './operation.ts';
import { conditional } from './rules/control.ts';
import * as elementwise from './rules/elementwise.ts';
import * as layout from './rules/layout.ts';
import * as normalise from './rules/normalise.ts';
import * as products from './rules/products.ts';

export const rules = {
  Abs: elementwise.absolute,
  Add: elementwise.add,
  Cast: elementwise.castRule,
  CastLike: elementwise.castRule,
  Ceil: elementwise.flat,
  Clip: elementwise.clip,
  Concat: layout.concat,
  Conv: products.conv,
  Cos: elementwise.cosine,
  CumSum: layout.cumulativeSum,
  Div: elementwise.divide,
  Dropout: elementwise.dropout,
  Einsum: products.einsum,
  Erf: elementwise.errorFunction,
  Exp: elementwise.exponential,
  Expand: layout.expand,
  Flatten: layout.reshape,
  Floor: elementwise.flat,
  Gather: layout.gather,
  GatherElements: layout.gatherElements,
  Gelu: elementwise.gelu,
  Gemm: products.gemm,
  Identity: elementwise.passed,
  If: conditional,
  LayerNormalization: normalise.layerNormalisation,
  LeakyRelu: elementwise.leakyRelu,
  Log: elementwise.logarithm,
  LogSoftmax: normalise.logSoftmax,
  MatMul: products.matMul,
  Max: elementwise.extreme,
  Mean: elementwise.meanOfInputs,
  Min: elementwise.extreme,
  Mul: elementwise.multiply,
  Neg: elementwise.negation,
  Pad: layout.pad,
  Pow: elementwise.power,
  RMSNormalization: normalise.rootMeanSquareNormalisation,
  Reciprocal: elementwise.reciprocal,
  ReduceL1: normalise.sumOfMagnitudes,
  ReduceL2: normalise.length,
  ReduceLogSumExp: normalise.logOfSumOfExponentials,
  ReduceMax: normalise.extremeOf,
  ReduceMean: normalise.mean,
  ReduceMin: normalise.extremeOf,
  ReduceSum: normalise.sum,
  ReduceSumSquare: normalise.sumOfSquares,
  Relu: elementwise.relu,
  Reshape: layout.reshape,
  RotaryEmbedding: normalise.rotaryEmbedding(2),
  Round: elementwise.flat,
  ScatterElements: layout.scatterElements,
  ScatterND: layout.scatterND,
  Sigmoid: elementwise.sigmoid,
  Sign: elementwise.flat,
  SimplifiedLayerNormalization: normalise.rootMeanSquareNormalisation,
  Sin: elementwise.sine,
  Slice: layout.slice,
  Softmax: normalise.softmax,
  Softplus: elementwise.softplus,
  Split: layout.split,
  Sqrt: elementwise.squareRoot,
  Squeeze: layout.reshape,
  Sub: elementwise.subtract,
  Sum: elementwise.add,
  Swish: elementwise.swish,
  Tanh: elementwise.tanh,
  Tile: layout.tile,
  Transpose: layout.transpose,
  Trilu: layout.trilu,
  Unsqueeze: layout.reshape,
  Where: elementwise.choose,
  'com.microsoft.FastGelu': elementwise.tanhGelu,
  'com.microsoft.Gelu': elementwise.gelu,
  'com.microsoft.QuickGelu': elementwise.swish,
  'com.microsoft.RotaryEmbedding': normalise.rotaryEmbedding(3),
} as const satisfies Record<string, Rule>;

export type DifferentiableOperator = keyof typeof rules;

/** `Name` for ai.onnx, `domain.Name` for others. */
export function operatorOf(node: Node): string {
  return node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}.${node.opType}`;
}

export function ruleOf(node: Node): Rule | undefined {
  const operator = operatorOf(node);
  return Object.hasOwn(rules, operator) ? rules[operator as DifferentiableOperator] : undefined;
}
