/**
 * Reading blocks off the atoms: a consuming matrix whose contracted axis holds an atom that nothing forbids to cut,
 * that other matrices produce, and whose result goes back to the stream that those read.
 * @module
 */
import type { Graph, Node } from '../onnx/model.ts';
import { describeNode, indexGraph } from '../onnx/walk.ts';
import {
  type Atom,
  type Axes,
  type Axis,
  factors,
  keptSlices,
  leaves,
  type Reason,
  sizeOfAxis,
  unify,
} from './axes.ts';
import type { Block, Cache, Consumer, Coupled, Refusal } from './block.ts';
import { runTogether } from './branches.ts';

/** A sum of an activation's axis against a constant matrix. */
export interface Contraction {
  readonly node: Node;
  /** The activation's and the matrix' positions among the node's inputs. */
  readonly input: number;
  readonly weightInput: number;
  /** The initializer, and which of its axes is contracted. */
  readonly weight: string;
  readonly axis: 0 | 1;
  readonly contracted: Axis;
  readonly rows: Axis;
}

/** What a removal cuts: one atom, read by one matrix, perhaps in several places. */
export interface Site {
  readonly atom: Atom;
  readonly consumers: readonly Contraction[];
}

interface Found {
  readonly values: ReadonlyMap<string, Axes>;
  readonly operands: ReadonlyMap<string, Axes>;
  readonly contractions: readonly Contraction[];
  readonly batched: readonly Axis[];
  readonly mixed: readonly Axis[];
  readonly biasOf: (name: string) => { readonly name: string; readonly type: string } | undefined;
}

export function findBlocks(graph: Graph, found: Found) {
  const byWeight = Map.groupBy(found.contractions, ({ weight, axis }) => `${axis} ${weight}`);
  // A matrix that serves several layers, or both branches of an If, ties them: one keep-set for all.
  for (const [first, ...others] of byWeight.values()) {
    for (const other of others) unify(first.contracted, other.contracted);
  }
  const batched = new Set(found.batched.flatMap(leaves));
  const mixed = new Set(found.mixed.flatMap(leaves));
  const readers = new Map<Atom, Set<string>>();
  for (const [matrix, [{ contracted }]] of byWeight) {
    for (const atom of leaves(contracted)) readers.set(atom, (readers.get(atom) ?? new Set()).add(matrix));
  }
  const uses = usesByAtom(graph, found);
  const ends = endsByAtom(graph, found, batched);
  const blocks: Block[] = [];
  const sites = new Map<string, Site>();
  const refused = new Map<Atom, Refusal>();
  const index = indexGraph(graph);

  /** Heads may lie along inputs and outputs, which keep their shapes by other means (`caches.ts`); nothing else may. */
  const frozen = (atom: Atom): Reason | undefined => {
    const fixed = ends.get(atom)?.find(({ whole }) => !whole || !batched.has(atom));
    const what = `is an ${fixed?.end} of the model and keeps its shape`;
    return atom.frozen ?? (fixed && { at: `"${fixed.name}"`, what });
  };
  const isAt = (end: Cache['end']) => (atom: Atom) => ends.get(atom)?.some((one) => one.end === end) ?? false;
  /** An MLP adds to the stream that it reads, or is the whole model: two matrices in a row may be any other thing. */
  const isBypassed = (reads: Axis, rows: Axis) => {
    const [from, to] = [leaves(reads), leaves(rows)];
    return from.some((atom) => to.includes(atom)) || (from.some(isAt('input')) && to.some(isAt('output')));
  };

  for (const [matrix, consumers] of byWeight) {
    const [{ node, contracted, rows }] = consumers;
    const here = describeNode(node);
    const parts = factors(contracted);
    const structured = parts.some((atom) => batched.has(atom));
    const eligible = parts.filter((atom) => (structured ? batched.has(atom) : !mixed.has(atom)));
    const refuse = (atom: Atom, at: string, why: string) => {
      if (refused.has(atom)) return;
      const of = `The axis of ${sizeOfAxis(contracted)} that ${here} reads`;
      refused.set(atom, { at, reason: `${of} cannot be cut: ${why}.` });
    };
    const produce = (atom: Atom) => (uses.get(atom)?.producers ?? []).filter(({ key }) => key !== matrix);
    // Of a group's heads and their repetitions, the head is what more matrices produce.
    const [atom] = eligible
      .filter((one) => !one.parts && produce(one).length > 0 && (structured || !frozen(one)))
      .toSorted((one, other) => produce(other).length - produce(one).length);
    if (!atom || frozen(atom)) {
      const stuck = [...(atom ? [atom] : []), ...eligible, ...parts].find(frozen);
      const reason = stuck && frozen(stuck);
      if (reason) refuse(stuck, reason.at, `${reason.at} ${reason.what}`);
      else if (parts.some((one) => one.parts)) refuse(parts[0], here, 'it joins several axes');
      else if (parts.some((one) => mixed.has(one)))
        refuse(parts[0], here, 'a product of two activations mixes it');
      else if (parts.length > 0) refuse(parts[0], here, 'no other matrix produces it');
      continue;
    }
    const producers = produce(atom);
    const why =
      readers.get(atom)!.size > 1
        ? 'more than one matrix reads it'
        : leaves(rows).includes(atom)
          ? 'the same matrix produces it'
          : !structured && !producers.some(({ reads }) => isBypassed(reads, rows))
            ? 'what it makes does not go back to where its producers read, so the module has no bypass'
            : undefined;
    if (why) {
      refuse(atom, here, why);
      continue;
    }
    const kind = batched.has(atom) ? 'attention' : 'mlp';
    const id = `${kind}.${blocks.filter((block) => block.kind === kind).length}`;
    const columns = columnsOf(contracted, atom);
    const together = runTogether(
      graph,
      consumers.map((one) => one.node),
    );
    const bias = biasOf(consumers[0], index.uses, found);
    const consumer: Consumer = {
      node: node.name || here,
      weight: consumers[0].weight,
      axis: consumers[0].axis,
      rows: sizeOfAxis(rows)!,
      cols: sizeOfAxis(contracted)!,
      input: node.inputs[consumers[0].input],
      output: node.outputs[0],
      ...(bias && { bias }),
    };
    const queryHeads = parts.filter((one) => one !== atom && batched.has(one));
    const perStructure = queryHeads.reduce((product, one) => product * one.size!, 1);
    const caches = ends.get(atom)?.map(({ name, end, axis }) => ({ name, end, axis }));
    blocks.push({
      id,
      kind,
      structures: atom.size!,
      columns,
      ...(kind === 'attention'
        ? { headDim: columns[0].length / perStructure, queryHeadsPerStructure: perStructure }
        : { gated: producers.reduce((sum, { times }) => sum + times, 0) > consumers.length }),
      consumer,
      producers: producers.map(({ node, weight, axis }) => ({
        node: node.name || describeNode(node),
        weight,
        axis,
      })),
      coupled: uses.get(atom)!.coupled,
      ...(caches && { caches }),
      uses: together,
    });
    sites.set(id, { atom, consumers });
  }
  return { blocks, refused: [...refused.values()], sites };
}

/**
 * By atom: the model's inputs and outputs that hold it, and whether those can stay as they are when it is cut: an input
 * of which slices are read, an output that counts heads.
 */
function endsByAtom(graph: Graph, { values }: Found, batched: ReadonlySet<Atom>) {
  const all = new Map<Atom, (Cache & { readonly whole: boolean })[]>();
  for (const end of ['input', 'output'] as const) {
    for (const { name } of end === 'input' ? graph.inputs : graph.outputs) {
      (values.get(name) ?? []).forEach((one, axis) => {
        const counts = end === 'input' || factors(one).every((atom) => batched.has(atom));
        const whole = counts && sizeOfAxis(one) !== undefined;
        for (const atom of new Set(leaves(one)))
          all.set(atom, [...(all.get(atom) ?? []), { name, end, axis, whole }]);
      });
    }
  }
  return all;
}

/** Columns of the contracted axis that each structure owns. */
function columnsOf(contracted: Axis, atom: Atom): number[][] {
  const shared = new Set(keptSlices(contracted, (one) => (one === atom ? [] : undefined)));
  return Array.from({ length: atom.size! }, (_, i) =>
    keptSlices(contracted, (one) => (one === atom ? [i] : undefined)).filter((column) => !shared.has(column)),
  );
}

/** By atom: the matrices that produce it, and the other tensors that must be sliced with it. */
function usesByAtom(graph: Graph, found: Found) {
  type Made = { node: Node; weight: string; axis: number; key: string; reads: Axis; times: number };
  const all = new Map<Atom, { producers: Made[]; coupled: Coupled[] }>();
  const of = (atom: Atom) => {
    const known = all.get(atom) ?? { producers: [], coupled: [] };
    all.set(atom, known);
    return known;
  };
  const weights = new Map(
    found.contractions.map((one) => [`${one.weightInput} ${one.node.outputs[0]}`, one]),
  );
  for (const node of graph.nodes) {
    node.inputs.forEach((name, input) => {
      const key = `${input} ${node.outputs[0]}`;
      const contraction = weights.get(key);
      const axes = found.operands.get(key) ?? (contraction && found.values.get(name));
      if (!axes) return;
      axes.forEach((one, axis) => {
        const atoms = leaves(one);
        for (const atom of new Set(atoms)) {
          const times = atoms.filter((other) => other === atom).length;
          if (contraction && leaves(contraction.rows).includes(atom)) {
            const { weight, contracted: reads } = contraction;
            of(atom).producers.push({
              node,
              weight,
              axis: 1 - contraction.axis,
              key: `${contraction.axis} ${weight}`,
              reads,
              times,
            });
          } else if (!contraction)
            of(atom).coupled.push({ initializer: found.biasOf(name)?.name ?? name, axis });
        }
      });
    });
  }
  return all;
}

/** The vector added to what a consumer makes: Gemm's own, the next Add's, or a fused normalisation's. */
function biasOf(
  { node, rows }: Contraction,
  uses: (value: string) => readonly { readonly node: Node; readonly position: number }[],
  found: Found,
): string | undefined {
  const vector = (owner: Node, input: number) => {
    const axes = found.operands.get(`${input} ${owner.outputs[0]}`);
    if (axes?.length !== 1 || sizeOfAxis(axes[0]) !== sizeOfAxis(rows)) return undefined;
    const leaf = found.biasOf(owner.inputs[input]);
    return leaf && /float/.test(leaf.type) ? leaf.name : undefined;
  };
  if (node.opType === 'Gemm') return vector(node, 2);
  const [next, ...others] = uses(node.outputs[0]);
  if (!next || others.length > 0) return undefined;
  if (next.node.opType === 'Add') return vector(next.node, 1 - next.position);
  if (next.node.opType === 'SkipLayerNormalization') return vector(next.node, 4);
  if (next.node.opType === 'SkipSimplifiedLayerNormalization') return vector(next.node, 3);
  return undefined;
}
