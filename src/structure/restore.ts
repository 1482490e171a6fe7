/**
 * The way back from a cut model to the uncut one: weights that changed after the cut are put where the cut took them from.
 * Cutting the result in the same way gives the changed model again, so that a family can be pruned further in the dense
 * model's own indices.
 *
 * Which element came from where is asked of the cut itself: it cuts the same model whose weights are their own positions.
 * @module
 */
import { cloneModel } from '../onnx/edit.ts';
import type { Model } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import type { Analysis } from './analyse.ts';
import type { Removal } from './block.ts';
import { cut } from './cut.ts';

/**
 * @param model the uncut model, whose consuming matrices hold zeros where `removal` removes
 * @param removal what was cut out of it
 * @param weights initializers of the cut model by name, float32: their new values
 * @returns the uncut model with these values; elements that the cut left out stay as they are
 * @throws Error for a weight that the cut model does not have, or has in another shape
 */
export function restore(
  model: Model,
  analysis: Analysis,
  removal: Removal,
  weights: ReadonlyMap<string, Tensor<'float32'>>,
): Model {
  const result = cloneModel(model);
  const { initializers } = result.graph;
  const isSliced = (name: string, { shape }: Tensor) => initializers.get(name)?.shape.join() !== shape.join();
  const sliced = [...weights].filter(([name, value]) => isSliced(name, value)).map(([name]) => name);
  const sources = positions(model, analysis, removal, sliced);
  for (const [name, value] of weights) {
    const stored = initializers.get(name);
    if (!stored) throw new Error(`restore: the uncut model has no weight "${name}"`);
    const source = sources.get(name);
    if (source === undefined) {
      initializers.set(name, storedTensor(value));
      continue;
    }
    if (source.shape.join() !== value.shape.join()) {
      throw new Error(
        `restore: the weight "${name}" is [${value.shape}], expected [${source.shape}] as it was cut`,
      );
    }
    const data = (stored.tensor().data as Float32Array).slice();
    source.data.forEach((from, to) => {
      if (from > 0) data[from - 1] = value.data[to];
    });
    initializers.set(name, storedTensor(tensor('float32', stored.shape, data)));
  }
  return result;
}

/** Where each element of the cut weights lies in the uncut ones, counted from 1; 0 for zeros that the cut made. */
function positions(
  model: Model,
  analysis: Analysis,
  removal: Removal,
  names: readonly string[],
): Map<string, Tensor<'int32'>> {
  const numbered = cloneModel(model);
  for (const name of names) {
    const stored = numbered.graph.initializers.get(name);
    if (!stored) throw new Error(`restore: the uncut model has no weight "${name}"`);
    const own = Int32Array.from({ length: sizeOf(stored.shape) }, (_, i) => i + 1);
    numbered.graph.initializers.set(name, storedTensor(tensor('int32', stored.shape, own)));
  }
  const { initializers } = cut(numbered, analysis, removal).graph;
  return new Map(
    names.map((name) => {
      const found = initializers.get(name)?.tensor();
      if (found?.type !== 'int32') throw new Error(`restore: the cut model has no weight "${name}"`);
      return [name, found as Tensor<'int32'>];
    }),
  );
}
