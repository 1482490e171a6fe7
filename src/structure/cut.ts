/**
 * The physical cut: a smaller model in which the removed structures do not exist.
 * @module
 */
import { cloneModel, removeDeadNodes } from '../onnx/edit.ts';
import type { Model } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { forEachRead } from '../onnx/walk.ts';
import { clear, take } from '../tensor/slice.ts';
import type { Analysis } from './analyse.ts';
import { type Atom, type Axis, keptSlices, sizeOfAxis } from './axes.ts';
import { type Removal, removedStructures } from './block.ts';
import { flatten, nest } from './branches.ts';
import { type CacheForm, holds, keepWhole, wholeFor } from './caches.ts';
import { draftOf, renameTokens } from './draft.ts';
import { editConsumers } from './mask.ts';
import { removeModule } from './modules.ts';
import { restate, rewrite } from './rewrite.ts';

export interface CutOptions {
  /** `keep` (the default): inputs and outputs that count heads stay as they are. `compact`: they are cut too. */
  readonly cache?: CacheForm;
}

/**
 * Cuts structures out of a model. Removing all of a block's structures removes the module; its output bias
 * stays. The model that is given stays as it is, and shares with the result whatever is not sliced.
 * @throws RangeError for a block that the analysis does not know, or a structure outside it
 */
export function cut(
  model: Model,
  analysis: Analysis,
  removal: Removal,
  { cache = 'keep' }: CutOptions = {},
): Model {
  const result = flatten(cloneModel(model));
  const kept = new Map<Atom, readonly number[]>();
  const gone = new Map<Atom, readonly number[]>();
  for (const [id, removed] of removedStructures(analysis.blocks, removal)) {
    const { atom, consumers } = analysis.sites.get(id)!;
    const stay = Array.from({ length: atom.size! }, (_, i) => i).filter((i) => !removed.has(i));
    if (stay.length === atom.size) continue;
    if (stay.length > 0) kept.set(atom, stay);
    else if (consumers.every((consumer) => removeModule(result, analysis, atom, consumer.node.outputs[0])))
      gone.set(atom, []);
    else {
      // Nothing else has the module's shape: it stays as one structure that adds nothing.
      const { cols } = analysis.blocks.find((block) => block.id === id)!.consumer;
      const all = Array.from({ length: cols }, (_, i) => i);
      editConsumers(result, analysis, id, (weight, axis) => clear(weight, axis, all));
      kept.set(atom, [0]);
    }
  }
  const draft = draftOf(result);
  const all = new Map([...kept, ...gone]);
  const stays = (of: Axis) => keptSlices(of, (atom) => all.get(atom));
  const indices = (of: Axis) => draft.ints(stays(of));
  const isCut = holds(cache === 'keep' ? all : gone);
  const whole = wholeFor(result.graph, analysis, isCut);
  rewrite(draft, analysis, {
    count: (atom) => kept.get(atom)?.length,
    leaf(name, _, stored, axes) {
      const full = stored.tensor();
      const sliced = axes.reduce((tensor, one, axis) => {
        const stay = stays(one);
        return stay.length === tensor.shape[axis] ? tensor : take(tensor, axis, stay);
      }, full);
      result.graph.initializers.set(name, storedTensor(sliced));
    },
    indices,
    whole: whole.operands,
  });
  const size = (of: Axis) =>
    sizeOfAxis(of) === undefined || cache === 'keep' ? sizeOfAxis(of) : stays(of).length;
  keepWhole(draft, analysis, whole, { isCut, stays, size, indices });
  restate(
    result,
    analysis,
    (atom) => all.get(atom)?.length,
    cache === 'keep' ? whole.values : new Set<string>(),
  );
  removeDeadNodes(result.graph);
  dropDefaults(result);
  renameTokens(result.graph);
  return nest(result);
}

/** Weights may be listed as inputs, and must be before version 4 of the format: those that are gone are so no more. */
function dropDefaults({ graph, irVersion }: Model): void {
  const read = new Set(graph.outputs.map(({ name }) => name));
  for (const node of graph.nodes) forEachRead(node, (name) => read.add(name));
  graph.inputs = graph.inputs.filter(({ name }) => read.has(name) || !graph.initializers.has(name));
  removeDeadNodes(graph);
  if (irVersion > 3) return;
  const listed = new Set(graph.inputs.map(({ name }) => name));
  for (const [name, { type, shape }] of graph.initializers)
    if (!listed.has(name)) graph.inputs.push({ name, type, shape });
}
