/**
 * A block alone, as it is timed: the block at each level, as often side by side as it takes to be timed as it runs in the model.
 *
 * One that reads few tokens waits for its weights. Run again and again alone, it would find them in the processor's cache, where
 * in the model all others' weights pass between two of its runs. So copies of it, each with weights and key-value caches of its own,
 * are run one after another in one graph: as many as fill the cache, or as the model's weights would.
 *
 * What is subtracted (`idle`) is a graph of the same inputs that does what every level costs alike: handing results out, and
 * joining caches, which a removed module goes on doing (docs/decisions/0017).
 * @module
 */
import { cloneModel, cloneNode, freshName, newNode, removeDeadNodes } from '../onnx/edit.ts';
import type { Model, Node, StoredTensor } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { subgraphs } from '../onnx/walk.ts';
import { analyse } from '../structure/analyse.ts';
import type { Block } from '../structure/block.ts';
import { cut } from '../structure/cut.ts';
import type { Extract } from '../structure/extract.ts';
import { arrayOf, type Tensor, tensor } from '../tensor/tensor.ts';

/** Bytes of weights that no processor's cache keeps between two runs. */
const BEYOND_CACHES = 64 * 2 ** 20;
/** Up to so many tokens a weight is waited for; of more, it is computed with. */
const FEW_TOKENS = 32;
const MOST_COPIES = 32;

/** A block as it is timed. */
export interface Alone {
  /** How often the block is in each graph: what a run takes is so many times the block's own time. */
  readonly copies: number;
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** The block with so many structures kept, at least one. */
  level(kept: number): Model;
  /** What is no part of any level's time. */
  idle(): Model;
}

/**
 * @param values what the model computes, or is fed, at the block's boundary
 * @param tokens how many a run reads
 * @param modelBytes of all weights of the model
 */
export function alone(
  part: Extract,
  values: Readonly<Record<string, Tensor>>,
  { tokens, modelBytes }: { readonly tokens: number; readonly modelBytes: number },
): Alone {
  const within = analyse(part.model);
  const [block] = within.blocks;
  const copies = tokens > FEW_TOKENS || hasBranches(part.model) ? 1 : copiesOf(part.model, modelBytes);
  const cached = (block.caches ?? []).filter(({ end }) => end === 'input').map(({ name }) => name);
  const own = new Set(cached.filter((name) => part.inputs.includes(name)));
  const cutTo = (kept: number) => cut(part.model, within, new Map([[block.id, removedAt(block, kept)]]));
  return {
    copies,
    feeds: feedsOf(part, values, own, copies),
    level: (kept) => repeated(handingOut(cutTo(kept), part.output, part.caches), own, copies),
    idle: () => {
      // Without caches nothing of a removed module is left, whatever the cut of it alone must hand out.
      const left = part.caches.length > 0 ? cutTo(0) : empty(part.model);
      return repeated(handingOut(left, alike(part, own), part.caches), own, copies);
    },
  };
}

/** An input of the width that the block's output has: handing out a slice of either costs the same. */
function alike({ model: { graph }, inputs }: Extract, own: ReadonlySet<string>): string {
  const width = graph.outputs[0].shape?.at(-1);
  const shared = graph.inputs.filter(({ name }) => inputs.includes(name) && !own.has(name));
  return (shared.find(({ shape }) => shape?.at(-1) === width) ?? graph.inputs[0]).name;
}

/** Bytes of a model's weights. */
export function weightBytes({ graph }: Model): number {
  return [...graph.initializers.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function copiesOf(model: Model, modelBytes: number): number {
  const wanted = Math.ceil(Math.min(BEYOND_CACHES, modelBytes) / Math.max(1, weightBytes(model)));
  return Math.max(1, Math.min(MOST_COPIES, wanted));
}

const hasBranches = ({ graph }: Model): boolean => graph.nodes.some((node) => subgraphs(node).length > 0);

const removedAt = ({ structures }: Block, kept: number): number[] =>
  Array.from({ length: structures - kept }, (_, i) => kept + i);

/** The inputs; of those that each copy has for itself, memory of its own. */
function feedsOf(
  { inputs }: Extract,
  values: Readonly<Record<string, Tensor>>,
  own: ReadonlySet<string>,
  copies: number,
): Record<string, Tensor> {
  const feeds = Object.fromEntries(inputs.map((name) => [name, values[name]]));
  for (const name of own) {
    for (let copy = 1; copy < copies; copy++) {
      const { type, shape, data } = values[name];
      feeds[nameIn(copy, name)] = { type, shape, data: data.slice() } as Tensor;
    }
  }
  return feeds;
}

const nameIn = (copy: number, name: string): string => `${name}#${copy}`;

/** The model's nodes, weights, and inputs in `own` so many times; its other inputs once. */
function repeated(model: Model, own: ReadonlySet<string>, copies: number): Model {
  const result = cloneModel(model);
  const { graph } = result;
  const { initializers, nodes, inputs, outputs } = model.graph;
  const shared = new Set(
    inputs.map(({ name }) => name).filter((name) => !own.has(name) && !initializers.has(name)),
  );
  for (let copy = 1; copy < copies; copy++) {
    const named = (name: string) => (name === '' || shared.has(name) ? name : nameIn(copy, name));
    graph.nodes.push(
      ...nodes.map(
        (node): Node => ({
          ...cloneNode(node),
          name: named(node.name),
          inputs: node.inputs.map(named),
          outputs: node.outputs.map(named),
        }),
      ),
    );
    for (const [name, stored] of initializers) graph.initializers.set(named(name), distinct(stored, copy));
    for (const info of inputs)
      if (!shared.has(info.name)) graph.inputs.push({ ...info, name: named(info.name) });
    for (const info of outputs) graph.outputs.push({ ...info, name: named(info.name) });
  }
  return result;
}

/** Below this a tensor is a size, a scale or a bias. */
const MATRIX_BYTES = 4096;

/** The same weights but for a bit: ONNX Runtime computes once what it finds to be the same twice. */
function distinct(stored: StoredTensor, copy: number): StoredTensor {
  const isHeld = Object.hasOwn(arrayOf, stored.type);
  if (stored.byteLength < MATRIX_BYTES || /^u?int(32|64)$/.test(stored.type) || !isHeld) return stored;
  const { rest: _, ...weights } = stored;
  return {
    ...weights,
    // Made anew when it is written, so that only one copy is in memory at a time.
    tensor: () => {
      const { type, shape, data } = stored.tensor();
      const own = data.slice();
      new Uint8Array(own.buffer, own.byteOffset)[0] ^= copy;
      return { type, shape, data: own } as Tensor;
    },
  };
}

/** A model of the same inputs that does nothing. */
function empty(model: Model): Model {
  const result = cloneModel(model);
  result.graph.nodes = [];
  result.graph.initializers.clear();
  result.graph.valueInfo.clear();
  return result;
}

/**
 * The model with little to hand out: the first slice of a value, and of caches their shapes, for which they must be joined all
 * the same.
 */
function handingOut(given: Model, value: string, caches: readonly string[]): Model {
  const model = cloneModel(given);
  const { graph } = model;
  const [zero, out] = [freshName(graph, 'first'), freshName(graph, 'slice')];
  graph.initializers.set(zero, storedTensor(tensor('int64', [1], BigInt64Array.of(0n))));
  graph.nodes.push(newNode('Gather', [value, zero], [out], [['axis', { kind: 'int', value: 0n }]]));
  const shapes = caches.map((cache) => {
    const shape = freshName(graph, `${cache}_shape`);
    graph.nodes.push(newNode('Shape', [cache], [shape]));
    return shape;
  });
  graph.outputs = [out, ...shapes].map((name) => ({ name }));
  removeDeadNodes(graph);
  return model;
}
