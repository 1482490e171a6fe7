/**
 * One model for all cuts: every tensor that a cut would slice is an input of free width, and every size is computed
 * from those widths at run time. A session of it runs any candidate at its own pruned cost.
 * @module
 */
import { cloneModel } from '../onnx/edit.ts';
import type { Model, StoredTensor, ValueInfo } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { tensor } from '../tensor/tensor.ts';
import type { Analysis } from './analyse.ts';
import { type Atom, type Axis, keptSlices, leaves, sizeOfAxis } from './axes.ts';
import { flatten, nest } from './branches.ts';
import { holds, keepWhole } from './caches.ts';
import { draftOf, renameTokens } from './draft.ts';
import { biasReaders, type Reader, redirect, weightReaders } from './mask.ts';
import { restate, rewrite } from './rewrite.ts';

export interface Parameter {
  /** The graph input to feed. A tensor that is cut along two axes has two entries of one name: slice by both. */
  readonly name: string;
  readonly block: string;
  /** The dense model's tensor that is sliced: its name, and the tensor. */
  readonly initializer: string;
  readonly stored: StoredTensor;
  /** -1 for a tensor that is fed whole: a bias, or a consuming matrix whose removed columns are to be zero. */
  readonly axis: number;
  /** The slices to feed when these structures are kept; at least one must be. */
  indices(kept: readonly number[]): number[];
}

export interface Parametric {
  readonly model: Model;
  readonly parameters: readonly Parameter[];
}

/**
 * Makes the block weights inputs. Each consuming matrix and its bias are among them, so that refitted ones can be fed.
 * A block whose width some node holds as an attribute keeps its width: its consuming matrix is fed whole, with zeros
 * where structures are gone, which gives what the cut gives. Caches go in whole, and come out cut.
 */
export function parametrise(model: Model, analysis: Analysis): Parametric {
  const result = flatten(cloneModel(model));
  const draft = draftOf(result);
  const fixed = new Set(
    analysis.targets.flatMap(({ where, items, redundant }) =>
      typeof where === 'string' && !redundant ? items.flatMap((item) => item?.flatMap(leaves) ?? []) : [],
    ),
  );
  const isFixed = (id: string) => fixed.has(analysis.sites.get(id)!.atom);
  const blocks = analysis.blocks.filter(({ id }) => !isFixed(id));
  const owner = new Map(blocks.map((block) => [analysis.sites.get(block.id)!.atom, block]));
  const counts = new Map<Atom, string>();
  for (const [atom, { id }] of owner) counts.set(atom, draft.fresh(`${id}.kept`));
  const parameters: Parameter[] = [];
  const declare = (name: string, stored: StoredTensor, shape: ValueInfo['shape']) =>
    result.graph.inputs.push({ name, type: stored.type as 'float32', shape: shape! });
  const atomOf = (of: Axis) => leaves(of).find((atom) => owner.has(atom));
  const add = (name: string, initializer: string, stored: StoredTensor, axis: number, of: Axis) => {
    const atom = atomOf(of)!;
    const indices = (kept: readonly number[]) => keptSlices(of, (one) => (one === atom ? kept : undefined));
    parameters.push({ name, block: owner.get(atom)!.id, initializer, stored, axis, indices });
  };

  const addWhole = (block: string, initializer: string, readers: readonly Reader[]) => {
    if (readers.length === 0) return;
    const stored = result.graph.initializers.get(initializer)!;
    const name = draft.fresh(initializer);
    declare(name, stored, stored.shape);
    redirect(result, readers, name);
    parameters.push({ name, block, initializer, stored, axis: -1, indices: () => [] });
  };
  for (const { id, consumer } of analysis.blocks) {
    if (consumer.bias !== undefined) addWhole(id, consumer.bias, biasReaders(result, analysis, id));
    if (isFixed(id)) addWhole(id, consumer.weight, weightReaders(result, analysis, id));
  }
  const whole = new Set(result.graph.inputs.map(({ name }) => name));
  const count = (atom: Atom) => counts.get(atom);
  const indices = (of: Axis) => {
    const size = sizeOfAxis(of)!;
    const all = BigInt64Array.from({ length: size }, (_, i) => BigInt(i));
    const name = draft.fresh('indices');
    const stored = storedTensor(tensor('int64', [size], all));
    declare(name, stored, [`${name}.0`]);
    add(name, name, stored, 0, of);
    return name;
  };
  rewrite(draft, analysis, {
    count,
    indices,
    whole: new Set(),
    leaf(name, original, stored, axes) {
      const cut = axes.map((one) => atomOf(one) !== undefined);
      declare(
        name,
        stored,
        stored.shape.map((size, axis) => (cut[axis] ? `${name}.${axis}` : size)),
      );
      axes.forEach((one, axis) => {
        if (cut[axis]) add(name, original, stored, axis, one);
      });
      for (const [atom, { consumer, columns }] of owner) {
        const width = axes[consumer.axis];
        if (original !== consumer.weight || !width || !leaves(width).includes(atom)) continue;
        // The number of kept structures is read off the consuming matrix that is fed.
        const [shape, one] = [draft.op('Shape', [name]), columns[0].length];
        const size = draft.items(shape, consumer.axis, consumer.axis + 1);
        draft.op('Div', [size, draft.ints([one])], [], counts.get(atom)!);
      }
    },
  });
  draft.settle();
  const ends = { values: whole, operands: new Set<string>(), nodes: new Set<never>() };
  keepWhole(draft, analysis, ends, { isCut: holds(counts), stays: () => [0], size: sizeOfAxis, indices });
  restate(result, analysis, count, whole);
  renameTokens(result.graph);
  return { model: nest(result), parameters };
}
