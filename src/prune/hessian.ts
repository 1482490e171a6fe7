/**
 * Second moments of what each consuming matrix reads, over the calibration tokens: the Hessian of the layer-wise
 * problem is H = 2·X·Xᵀ/tokens.
 *
 * The model sums them itself: a product XᵀX is appended at each block's consuming matrix, in float32 as the model
 * computes, and added up across batches in float64. Padding is left out by a mask over the tokens.
 * @module
 */
import { cloneModel, freshNames, newNode } from '../onnx/edit.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import type { Progress } from '../progress.ts';
import { openSession, type SessionOptions } from '../runtime/session.ts';
import { type Analysis, calibrationPoint } from '../structure/analyse.ts';
import { flatten, nest } from '../structure/branches.ts';
import { type ArrayOf, type Tensor, tensor } from '../tensor/tensor.ts';

/** Sums over the tokens seen. */
export interface Moments {
  /** Σ x·xᵀ [cols, cols]. */
  readonly product: Float64Array;
  /** Σ x [cols]. */
  readonly sum: Float64Array;
  readonly tokens: number;
}

export interface CalibrationBatch {
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** [batch, sequence]: 1 where there is a token, 0 in the padding. */
  readonly mask: Tensor;
}

export interface CalibrationOptions extends SessionOptions {
  readonly progress: Progress;
}

/**
 * Runs the calibration batches once for the blocks named.
 * @returns the moments of each block
 */
export async function calibrate(
  model: Model,
  analysis: Analysis,
  blocks: readonly string[],
  batches: readonly CalibrationBatch[],
  { progress, ...session }: CalibrationOptions,
): Promise<Map<string, Moments>> {
  const probed = withProbes(model, analysis, blocks);
  await using run = await openSession(encodeModel(probed.model), session);
  const sums = new Map<string, { product: Float64Array; sum: Float64Array }>();
  const tokens = new Map<string, number>();
  const task = progress.task('calibrating', batches.length);
  for (const { feeds, mask } of batches) {
    const [b, s] = mask.shape;
    const flat = Float32Array.from(mask.data as ArrayOf['float32']);
    const inMask = flat.reduce((count, value) => count + value, 0);
    const masks = {
      [probed.masks['batch-sequence']]: tensor('float32', [b * s, 1], flat),
      [probed.masks['sequence-batch']]: tensor('float32', [b * s, 1], transposed(flat, b, s)),
    };
    const wanted = probed.probes.flatMap(({ product, sum, rows }) => [product, sum, ...(rows ? [rows] : [])]);
    const found = await run.run({ ...feeds, ...pick(masks, run.inputs) }, wanted);
    for (const { block, product, sum, rows } of probed.probes) {
      const total = sums.get(block) ?? {
        product: new Float64Array(found[product].data.length),
        sum: new Float64Array(found[sum].data.length),
      };
      accumulate(total.product, found[product].data as Float32Array);
      accumulate(total.sum, found[sum].data as Float32Array);
      sums.set(block, total);
      const count = rows === undefined ? inMask : Number(found[rows].data[0]);
      tokens.set(block, (tokens.get(block) ?? 0) + count);
    }
    task.advance();
  }
  task.done();
  return new Map([...sums].map(([block, total]) => [block, { ...total, tokens: tokens.get(block)! }]));
}

/** The model with Σxxᵀ [cols, cols] and Σx [1, cols] of each block as outputs, and the token masks as inputs. */
function withProbes(model: Model, analysis: Analysis, blocks: readonly string[]) {
  const probed = flatten(cloneModel(model));
  const { graph } = probed;
  const fresh = freshNames(graph);
  const masks = { 'batch-sequence': fresh('mask'), 'sequence-batch': fresh('mask_transposed') };
  const used = new Set<string>();
  const probes = blocks.map((block) => {
    const { input, maskLayout } = calibrationPoint(analysis, block);
    const { cols } = analysis.blocks.find(({ id }) => id === block)!.consumer;
    const [shape, flat, product, sum] = ['shape', 'flat', 'product', 'sum'].map((part) =>
      fresh(`${block}_${part}`),
    );
    graph.initializers.set(shape, storedTensor(tensor('int64', [2], BigInt64Array.of(-1n, BigInt(cols)))));
    graph.nodes.push(newNode('Reshape', [input, shape], [flat]));
    let tokens = flat;
    let rows: string | undefined;
    if (maskLayout === undefined) {
      rows = fresh(`${block}_rows`);
      graph.nodes.push(newNode('Shape', [flat], [rows]));
      graph.outputs.push({ name: rows });
    } else {
      tokens = fresh(`${block}_tokens`);
      used.add(masks[maskLayout]);
      graph.nodes.push(newNode('Mul', [flat, masks[maskLayout]], [tokens]));
    }
    const ones = fresh(`${block}_axis`);
    graph.initializers.set(ones, storedTensor(tensor('int64', [1], BigInt64Array.of(0n))));
    graph.nodes.push(newNode('Gemm', [tokens, tokens], [product], [['transA', { kind: 'int', value: 1n }]]));
    graph.nodes.push(...columnSums(probed.opsets.get('') ?? 0, tokens, ones, sum));
    graph.outputs.push({ name: product }, { name: sum });
    return { block, product, sum, rows };
  });
  for (const name of used) graph.inputs.push({ name, type: 'float32', shape: ['ziplm_tokens', 1] });
  return { model: nest(probed), probes, masks };
}

/** ReduceSum over axis 0: its axes are an attribute before opset 13, an input since. */
function columnSums(opset: number, input: string, axis: string, output: string) {
  return opset >= 13
    ? [newNode('ReduceSum', [input, axis], [output])]
    : [newNode('ReduceSum', [input], [output], [['axes', { kind: 'ints', value: [0n] }]])];
}

function pick<T>(all: Record<string, T>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)));
}

function transposed(mask: Float32Array, b: number, s: number): Float32Array {
  return mask.map((_, at) => mask[(at % b) * s + Math.floor(at / b)]);
}

function accumulate(total: Float64Array, more: Float32Array) {
  for (let i = 0; i < total.length; i++) total[i] += more[i];
}
