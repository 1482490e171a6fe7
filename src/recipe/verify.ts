/**
 * Mask equivalence: a cut model must give what the uncut one gives with the removed structures' columns at zero.
 * Checked on the model itself before anything is written, so that a wrong cut never leaves the program.
 * @module
 */
import { InputError, MachineError } from '../errors.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { openSession, type SessionOptions } from '../runtime/session.ts';
import type { Analysis } from '../structure/analyse.ts';
import type { Removal } from '../structure/block.ts';
import { type CutCache, cutCaches } from '../structure/caches.ts';
import { type CutOptions, cut } from '../structure/cut.ts';
import { mask } from '../structure/mask.ts';
import { take } from '../tensor/slice.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type OpenedModel, timingFeeds } from './job.ts';
import { imagesIn, lengthsIn } from './sizes.ts';

/**
 * Largest difference allowed, as a share of the largest output (or of 1, where outputs are small), by the coarsest
 * floats that weights are stored in: a model may compute in half precision and hand out singles.
 */
const tolerances = [
  ['bfloat16', 1e-1],
  ['float16', 2e-2],
] as const;
const EXACT = 1e-4;

function toleranceOf({ graph }: Model): number {
  const types = new Set([...graph.initializers.values()].map(({ type }) => type));
  return tolerances.find(([type]) => types.has(type))?.[1] ?? EXACT;
}

export interface CheckedCut {
  readonly model: Model;
  /** Over all outputs of all feeds. */
  readonly maxAbsDiff: number;
}

/**
 * Cuts a model and checks the result against the masked model on `feeds`. Of inputs and outputs that count heads, the
 * heads that stay are compared; those that are gone mean nothing in either.
 * @throws Error when they differ: the cut is wrong, which is a bug
 */
export async function checkedCut(
  model: Model,
  analysis: Analysis,
  removal: Removal,
  feeds: readonly Readonly<Record<string, Tensor>>[],
  options: SessionOptions,
  { cache = 'keep' }: CutOptions = {},
): Promise<CheckedCut> {
  const smaller = cut(model, analysis, removal, { cache });
  const tolerance = toleranceOf(model);
  const caches = cutCaches(analysis, removal);
  const fitting = cache === 'keep' ? feeds : feeds.map((feed) => staying(feed, caches, 'input'));
  const dense = await outputsOf(mask(model, analysis, removal), feeds, options);
  const expected = dense.map((outputs) => staying(outputs, caches, 'output'));
  const own = await outputsOf(smaller, fitting, options);
  const got = cache === 'keep' ? own.map((outputs) => staying(outputs, caches, 'output')) : own;
  let maxAbsDiff = 0;
  for (const [i, outputs] of expected.entries()) {
    for (const [name, want] of Object.entries(outputs)) {
      const { difference, largest } = compare(want, got[i][name], name);
      if (!(difference <= tolerance * Math.max(1, largest))) {
        throw new Error(
          `cut: the output "${name}" of the cut model differs from the masked model's by ${difference.toExponential(2)}, ` +
            `expected at most ${tolerance}. Nothing was written; please report it with the model's exporter and version.`,
        );
      }
      maxAbsDiff = Math.max(maxAbsDiff, difference);
    }
  }
  return { model: smaller, maxAbsDiff };
}

/** Of feeds or outputs that count heads, the heads that stay. */
function staying(
  values: Readonly<Record<string, Tensor>>,
  caches: readonly CutCache[],
  which: CutCache['end'],
): Record<string, Tensor> {
  const left = { ...values };
  for (const { name, end, axis, kept } of caches) {
    if (end === which && left[name]) left[name] = take(left[name], axis, kept);
  }
  return left;
}

/** Runs a model that exists in memory only, and lets it go. */
async function outputsOf(
  model: Model,
  feeds: readonly Readonly<Record<string, Tensor>>[],
  options: SessionOptions,
): Promise<Record<string, Tensor>[]> {
  await using session = await openSession(encodeModel(model), options);
  const out: Record<string, Tensor>[] = [];
  for (const feed of feeds) {
    out.push(
      await session.run(
        Object.fromEntries(Object.entries(feed).filter(([name]) => session.inputs.includes(name))),
      ),
    );
  }
  return out;
}

function compare(want: Tensor, got: Tensor, name: string): { difference: number; largest: number } {
  if (want.shape.join() !== got.shape.join()) {
    throw new Error(
      `cut: the output "${name}" is [${got.shape}], expected [${want.shape}] as before the cut. Nothing was written.`,
    );
  }
  const [a, b] = [numbers(want), numbers(got)];
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[i])];
    if (Object.is(x, y) || x === y) continue;
    difference = Math.max(difference, Math.abs(x - y));
    if (Number.isNaN(x - y)) return { difference: Number.NaN, largest };
    largest = Math.max(largest, Math.abs(x));
  }
  return { difference, largest };
}

/** The elements as numbers; 16-bit floats are held as bit patterns. */
function numbers({ type, data }: Tensor): ArrayLike<number | bigint> {
  if (type !== 'float16') return data;
  const bits = data as Uint16Array<ArrayBuffer>;
  return new Float16Array(bits.buffer, bits.byteOffset, bits.length);
}

/** What shape a cut is checked on. */
const SHAPE = { batch: 2, sequence: 16, past: 3 };
/** How many other lengths are tried. */
const TRIALS = 8;

/**
 * Made-up inputs that the model runs on, each boolean one way and the other: a flag that chooses a branch must be
 * checked in both. Some exporters bake the length of their example into a graph that declares any, and images have one
 * size: such sizes stand among the graph's own numbers.
 * @throws InputError when the model runs on none
 */
export async function feedsToCheck(opened: OpenedModel): Promise<Record<string, Tensor>[]> {
  let failure: unknown;
  const images = imagesIn(opened.model).map((image) => ({ ...SHAPE, image }));
  const lengths = lengthsIn(opened.model).map((sequence) => ({ ...SHAPE, sequence }));
  for (const shape of images.length > 0 ? images : [SHAPE, ...lengths.slice(0, TRIALS)]) {
    const feeds = timingFeeds(opened, { shape, search: { seed: 0 } });
    const flags = Object.entries(feeds).filter(([, { type }]) => type === 'bool');
    const flipped = flags.map(([name, flag]) => {
      const bits = Uint8Array.from(flag.data as Uint8Array, (bit) => 1 - bit);
      return [name, { ...flag, data: bits }] as const;
    });
    const all = flags.length === 0 ? [feeds] : [feeds, { ...feeds, ...Object.fromEntries(flipped) }];
    try {
      await outputsOf(opened.model, all, {});
      return all;
    } catch (error) {
      if (error instanceof MachineError) throw error;
      failure ??= error;
    }
  }
  throw new InputError(
    `cut: "${opened.folder.modelFile}" does not run on made-up inputs of ${SHAPE.batch} × ${SHAPE.sequence} tokens, on which a cut is ` +
      `checked: ${(failure as Error).message.split('\n')[0]} Export it with dynamic dimensions.`,
    { cause: failure },
  );
}
