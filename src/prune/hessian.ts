/**
 * Second moments of what each consuming matrix reads, over the calibration tokens: the Hessian of the layer-wise
 * problem is H = 2·X·Xᵀ/tokens.
 *
 * The model sums them itself: a product XᵀX is appended at each block's consuming matrix, in float32 as the model
 * computes, and added up across batches in float64. Padding is left out by a mask over the tokens.
 *
 * A model whose weights and moments are more than memory should hold is run in parts, each over all batches: what crosses
 * from one part to the next waits on the disk. So the model is computed once, with one part of it in memory.
 * @module
 */
import { join } from 'node:path';
import { cloneModel, freshNames, newNode, removeDeadNodes } from '../onnx/edit.ts';
import type { Model, Node } from '../onnx/model.ts';
import { segmentsOf } from '../onnx/segments.ts';
import { storedTensor } from '../onnx/stored.ts';
import type { Progress } from '../progress.ts';
import { crossingInto, openChain, type Values } from '../runtime/chain.ts';
import { onDisk, readFeeds, temporaryFolder, writeFeeds } from '../runtime/feeds.ts';
import type { SessionOptions } from '../runtime/session.ts';
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
  /** Bytes of weights and moments that are in memory at a time; half a gigabyte when left out. */
  readonly partBytes?: number;
}

const PART_BYTES = 512 * 2 ** 20;

/**
 * Runs the calibration batches once for the blocks named.
 * @returns the moments of some blocks at a time, in forward order: when the next are asked for, let go of the last
 */
export async function* calibrate(
  model: Model,
  analysis: Analysis,
  blocks: readonly string[],
  batches: readonly CalibrationBatch[],
  { progress, partBytes = PART_BYTES, ...session }: CalibrationOptions,
): AsyncGenerator<Map<string, Moments>> {
  if (blocks.length === 0) return;
  const probed = withProbes(model, analysis, blocks);
  const parts = segmentsOf(probed.model, { costOf: probed.bytesOf, limit: partBytes });
  await using waiting = parts.length > 1 ? await temporaryFolder() : undefined;
  const fileOf = (batch: number) => join(waiting!.path, `${batch}.values`);
  const total = new Map<string, Sums>();
  for (const [part, segment] of parts.entries()) {
    const made = new Set(segment.model.graph.outputs.map(({ name }) => name));
    // A cut may go through a probe: what is behind it comes with the next part.
    const own = probed.probes.filter(({ outputs }) => outputs.some((name) => made.has(name)));
    const wanted = own.flatMap(({ outputs }) => outputs.filter((name) => made.has(name)));
    const remark = parts.length > 1 ? ` (part ${part + 1} of ${parts.length})` : '';
    const task = progress.task(`calibrating${remark}`, batches.length);
    {
      await using run = await openChain([segment], session);
      for (const [i, { feeds, mask }] of batches.entries()) {
        const crossing = part === 0 ? {} : readFeeds(fileOf(i)).values;
        const { masks, tokens } = masksOf(mask, probed.masks);
        const given = { ...feeds, ...masks, ...crossing };
        const found = await run.run(given, [...new Set([...wanted, ...segment.gives])]);
        for (const { block, cols, product, sum, rows } of own) {
          const sums = total.get(block) ?? emptySums(cols);
          total.set(block, sums);
          accumulate(sums.product, found[product]);
          accumulate(sums.sum, found[sum]);
          if (rows !== undefined) sums.tokens += Number(found[rows]?.data[0] ?? 0);
          else if (product in found) sums.tokens += tokens;
        }
        if (part + 1 < parts.length) {
          const values = crossingInto(parts, part + 1, { ...crossing, ...found });
          await onDisk(fileOf(i), () => writeFeeds(fileOf(i), { values }));
        }
        task.advance();
      }
    }
    task.done();
    const whole = own.filter(({ outputs }) => made.has(outputs.at(-1)!)).map(({ block }) => block);
    if (whole.length > 0) yield new Map(whole.map((block) => [block, total.get(block)!]));
    for (const block of whole) total.delete(block);
  }
}

interface Sums {
  readonly product: Float64Array;
  readonly sum: Float64Array;
  tokens: number;
}

function emptySums(cols: number): Sums {
  return { product: new Float64Array(cols * cols), sum: new Float64Array(cols), tokens: 0 };
}

/** The mask over the tokens in both orders, and how many there are. */
function masksOf(mask: Tensor, names: Record<'batch-sequence' | 'sequence-batch', string>) {
  const [b, s] = mask.shape;
  const flat = Float32Array.from(mask.data as ArrayOf['float32']);
  const masks: Values = {
    [names['batch-sequence']]: tensor('float32', [b * s, 1], flat),
    [names['sequence-batch']]: tensor('float32', [b * s, 1], transposed(flat, b, s)),
  };
  return { masks, tokens: flat.reduce((count, value) => count + value, 0) };
}

/**
 * The model with Σxxᵀ [cols, cols] and Σx [1, cols] of each block as its outputs, and the token masks as inputs. Each
 * probe stands where its values are made, so that a part of the model holds its own.
 */
function withProbes(model: Model, analysis: Analysis, blocks: readonly string[]) {
  const probed = flatten(cloneModel(model));
  const { graph } = probed;
  const fresh = freshNames(graph);
  const masks = { 'batch-sequence': fresh('mask'), 'sequence-batch': fresh('mask_transposed') };
  const used = new Set<string>();
  const behind = new Map<string, Node[]>(); // by the value that is probed
  const momentBytes = new Map<string, number>(); // by the product that makes them
  graph.outputs = [];
  const probes = blocks.map((block) => {
    const { input, maskLayout } = calibrationPoint(analysis, block);
    const { cols } = analysis.blocks.find(({ id }) => id === block)!.consumer;
    const [shape, flat, product, sum] = ['shape', 'flat', 'product', 'sum'].map((part) =>
      fresh(`${block}_${part}`),
    );
    const nodes = behind.get(input) ?? [];
    behind.set(input, nodes);
    graph.initializers.set(shape, storedTensor(tensor('int64', [2], BigInt64Array.of(-1n, BigInt(cols)))));
    nodes.push(newNode('Reshape', [input, shape], [flat]));
    let tokens = flat;
    let rows: string | undefined;
    if (maskLayout === undefined) {
      rows = fresh(`${block}_rows`);
      nodes.push(newNode('Shape', [flat], [rows]));
      graph.outputs.push({ name: rows });
    } else {
      tokens = fresh(`${block}_tokens`);
      used.add(masks[maskLayout]);
      nodes.push(newNode('Mul', [flat, masks[maskLayout]], [tokens]));
    }
    const ones = fresh(`${block}_axis`);
    graph.initializers.set(ones, storedTensor(tensor('int64', [1], BigInt64Array.of(0n))));
    nodes.push(newNode('Gemm', [tokens, tokens], [product], [['transA', { kind: 'int', value: 1n }]]));
    momentBytes.set(product, cols ** 2 * (Float64Array.BYTES_PER_ELEMENT + Float32Array.BYTES_PER_ELEMENT));
    nodes.push(...columnSums(probed.opsets.get('') ?? 0, tokens, ones, sum));
    graph.outputs.push({ name: product }, { name: sum });
    const outputs = [...(rows === undefined ? [] : [rows]), product, sum]; // in the order of the nodes
    return { block, cols, product, sum, rows, outputs };
  });
  for (const name of used) graph.inputs.push({ name, type: 'float32', shape: ['ziplm_tokens', 1] });
  graph.nodes = graph.nodes.flatMap((node) => [
    node,
    ...node.outputs.flatMap((name) => behind.get(name) ?? []),
  ]);
  removeDeadNodes(graph);
  const bytesOf = (node: Node) =>
    node.inputs.reduce((sum, name) => sum + (graph.initializers.get(name)?.byteLength ?? 0), 0) +
    (momentBytes.get(node.outputs[0]) ?? 0);
  return { model: nest(probed), probes, masks, bytesOf };
}

/** ReduceSum over axis 0: its axes are an attribute before opset 13, an input since. */
function columnSums(opset: number, input: string, axis: string, output: string) {
  return opset >= 13
    ? [newNode('ReduceSum', [input, axis], [output])]
    : [newNode('ReduceSum', [input], [output], [['axes', { kind: 'ints', value: [0n] }]])];
}

function transposed(mask: Float32Array, b: number, s: number): Float32Array {
  return mask.map((_, at) => mask[(at % b) * s + Math.floor(at / b)]);
}

function accumulate(total: Float64Array, more: Tensor | undefined) {
  if (more === undefined) return;
  const values = more.data as Float32Array;
  for (let i = 0; i < total.length; i++) total[i] += values[i];
}
