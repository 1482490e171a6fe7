/**
 * A graph that is being rewritten: new nodes, and the sizes that they need.
 * @module
 */
import { freshNames, insertNodes, newNode, renameValue } from '../onnx/edit.ts';
import type { Attribute, Graph, Model, Node } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { tensor } from '../tensor/tensor.ts';
import { type Axes, type Axis, sameAxis, sizeOfAxis } from './axes.ts';

type Setting = readonly [string, Attribute];

export interface Draft {
  readonly model: Model;
  readonly fresh: (hint: string) => string;
  /** Nodes that are not in the graph yet; `settle` puts them there. */
  readonly added: Node[];
  /** An int64 vector as an initializer, shared between its readers. */
  ints(values: readonly number[]): string;
  /** The output of a new node, shared between its readers unless it is named. */
  op(opType: string, inputs: readonly string[], attributes?: readonly Setting[], output?: string): string;
  /** Items `from` to `to` of an integer vector. */
  items(vector: string, from: number, to: number): string;
  /** Puts the added nodes in their places. */
  settle(): void;
}

export const axisAttribute = (value: number): Setting => ['axis', { kind: 'int', value: BigInt(value) }];

/** @param fresh makes names; those of a larger graph where values go by them there */
export function draftOf(model: Model, fresh = freshNames(model.graph)): Draft {
  const added: Node[] = [];
  const vectors = new Map<string, string>();
  const made = new Map<string, string>();
  const ints = (values: readonly number[]) => {
    const key = values.join();
    const name = vectors.get(key) ?? fresh('sizes');
    vectors.set(key, name);
    const data = BigInt64Array.from(values, BigInt);
    model.graph.initializers.set(name, storedTensor(tensor('int64', [values.length], data)));
    return name;
  };
  const op: Draft['op'] = (opType, inputs, attributes = [], output) => {
    if (output !== undefined) {
      // A value may be called like the node that used to make it; nodes have names of their own.
      const name = fresh(`${output}_${opType}`);
      added.push({ ...newNode(opType, inputs, [output], attributes), name });
      return output;
    }
    const key = [opType, ...inputs, ...attributes.map(printed)].join('\n');
    const name = made.get(key) ?? fresh(opType);
    if (!made.has(key)) added.push(newNode(opType, inputs, [name], attributes));
    made.set(key, name);
    return name;
  };
  return {
    model,
    fresh,
    added,
    ints,
    op,
    items(vector, from, to) {
      const places = ints(Array.from({ length: to - from }, (_, i) => from + i));
      return op('Gather', [vector, places], [axisAttribute(0)]);
    },
    settle() {
      insertNodes(model.graph, added.splice(0));
      made.clear(); // what nothing reads may go now
    },
  };
}

function printed([name, one]: Setting): string {
  return `${name} ${one.kind === 'tensor' ? `${one.value.type} ${one.value.tensor().data}` : one.value}`;
}

/** The same axes in the same order. */
export const sameAxes = (a: Axes | undefined, b: Axes | undefined): boolean =>
  a !== undefined && b !== undefined && a.length === b.length && a.every((one, i) => sameAxis(one, b[i]));

/**
 * The shape of a value that is not there, read off values that are: a dimension without a number is that of a source
 * which has the same axis.
 * @param size the number of an axis, undefined for those that only a run decides
 * @param output what the vector is to be called
 * @param sources the earlier, the better
 * @returns an int64 vector; undefined when no source has one of the axes
 */
export function shapeOf(
  draft: Draft,
  of: Axes,
  sources: readonly string[],
  values: ReadonlyMap<string, Axes>,
  { size = sizeOfAxis, output }: { size?: (one: Axis) => number | undefined; output?: string } = {},
): string | undefined {
  const open = of.filter((one) => sizeOfAxis(one) === undefined);
  const tells = (name: string, one: Axis) =>
    (values.get(name) ?? []).findIndex((other) => sameAxis(one, other));
  const toldBy = (name: string) => open.filter((one) => tells(name, one) >= 0).length;
  const ranked = sources
    .map((name) => ({ name, told: toldBy(name) }))
    .filter(({ told }) => told > 0)
    .toSorted((a, b) => b.told - a.told);
  const parts: (string | number)[] = [];
  for (const one of of) {
    const known = size(one);
    const source = ranked.find(({ name }) => tells(name, one) >= 0)?.name;
    if (known !== undefined) parts.push(known);
    else if (source === undefined) return undefined;
    else {
      const at = tells(source, one);
      parts.push(draft.items(draft.op('Shape', [source]), at, at + 1));
    }
  }
  if (output === undefined && parts.every((part) => typeof part === 'number')) return draft.ints(parts);
  const vectors = parts.map((part) => (typeof part === 'number' ? draft.ints([part]) : part));
  return draft.op('Concat', vectors, [axisAttribute(0)], output);
}

/**
 * ONNX Runtime numbers the values of its own rewrites (`…_token_7`) without looking whether a name is taken. In a model
 * that it wrote before, such values get other names once the graph is another than the one that it numbered.
 */
export function renameTokens(graph: Graph): void {
  const fresh = freshNames(graph);
  const ends = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
  const values = [...graph.initializers.keys(), ...graph.nodes.flatMap(({ outputs }) => outputs)];
  for (const name of values)
    if (/_token_\d+$/.test(name) && !ends.has(name))
      renameValue(graph, name, fresh(name.replace(/_token_/, '_')));
}
