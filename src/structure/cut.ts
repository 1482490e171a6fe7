/**
 * The physical cut: a smaller model in which the removed structures do not exist.
 * @module
 */
import { cloneModel } from '../onnx/edit.ts';
import type { Model } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { clear, take } from '../tensor/slice.ts';
import type { Analysis } from './analyse.ts';
import { type Atom, type Axis, keptSlices } from './axes.ts';
import { type Removal, removedStructures } from './block.ts';
import { editConsumers } from './mask.ts';
import { removeModule } from './modules.ts';
import { draftOf, rewrite } from './rewrite.ts';

/**
 * Cuts structures out of a model. Removing all of a block's structures removes the module; its output bias
 * stays. The model that is given stays as it is, and shares with the result whatever is not sliced.
 * @throws RangeError for a block that the analysis does not know, or a structure outside it
 */
export function cut(model: Model, analysis: Analysis, removal: Removal): Model {
  let result = cloneModel(model);
  const kept = new Map<Atom, readonly number[]>();
  for (const [id, gone] of removedStructures(analysis.blocks, removal)) {
    const { atom, consumers } = analysis.sites.get(id)!;
    const stay = Array.from({ length: atom.size! }, (_, i) => i).filter((i) => !gone.has(i));
    if (stay.length === atom.size) continue;
    if (stay.length > 0) kept.set(atom, stay);
    else if (!consumers.every((consumer) => removeModule(result, analysis, atom, consumer.node.outputs[0]))) {
      // Nothing else has the module's shape: it stays as one structure that adds nothing.
      const columns = analysis.blocks.find((block) => block.id === id)!.consumer;
      const all = Array.from({ length: columns.cols }, (_, i) => i);
      result = editConsumers(result, analysis, id, (weight, axis) => clear(weight, axis, all));
      kept.set(atom, [0]);
    }
  }
  const draft = draftOf(result);
  const slices = (of: Axis) => keptSlices(of, (atom) => kept.get(atom));
  rewrite(draft, analysis, {
    count: (atom) => kept.get(atom)?.length,
    leaf(name, _, stored, axes) {
      const full = stored.tensor();
      const sliced = axes.reduce((tensor, one, axis) => {
        const stay = slices(one);
        return stay.length === tensor.shape[axis] ? tensor : take(tensor, axis, stay);
      }, full);
      result.graph.initializers.set(name, storedTensor(sliced));
    },
    indices: (of) => draft.ints(slices(of)),
  });
  return result;
}
