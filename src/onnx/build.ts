/**
 * Writing graphs: the way our numerical kernels and test models are made.
 *
 * ```ts
 * const g = graphBuilder('gram');
 * const x = g.input('x', 'float32', ['tokens', 4]);
 * const gram = g.op('MatMul', [g.op('Transpose', [x], { perm: [1, 0] }), x]);
 * g.output('h', gram, 'float32', [4, 4]);
 * const model = g.model({ opset: 18 });
 * ```
 *
 * Values are their names; names are made up, unique over a builder and the bodies nested in it (`step/Mul`). Mistakes (a value
 * that does not exist, a name used twice) are bugs of ours and throw plain errors at the call that makes them.
 * @module
 */
import { type ArrayOf, arrayOf, type DataType, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { namesIn, renameValue } from './edit.ts';
import type { Attribute, Dim, ElementType, Graph, Model, Node, StoredTensor, ValueInfo } from './model.ts';
import { storedTensor } from './stored.ts';
import { definedIn } from './walk.ts';

/**
 * An attribute in plain JavaScript. A whole number is an int and any other a float, and so for arrays (an empty one
 * is ints); `float(1)` and `floats([1, 2])` say float where the number does not.
 */
export type AttributeValue =
  | number
  | bigint
  | string
  | readonly number[]
  | readonly string[]
  | Tensor
  | Graph
  | Attribute;

export type Attributes = Readonly<Record<string, AttributeValue>>;

export interface OpOptions {
  /** The operator set; '' by default. A domain that is not '' must be named to `model`. */
  readonly domain?: string;
  /** What the node, and with it its first output, is called, as far as the name is free. */
  readonly name?: string;
}

export interface GraphBuilder {
  /** Declares an input, and returns its name (a body's begin with the body's own). */
  input(name: string, type: ElementType, shape?: readonly Dim[]): string;
  /** An initializer. The tensor is shared, not copied; the same tensor twice is one initializer. */
  constant(value: Tensor | StoredTensor, name?: string): string;
  /** A scalar initializer; equal scalars are one. Of float16 and bfloat16, `value` is the bit pattern. */
  scalar(type: DataType, value: number | bigint): string;
  /** A one-dimensional int64 initializer: shapes, axes, Slice's bounds; equal ones are one. */
  ints(...values: readonly number[]): string;
  /** A node of one output. An absent optional input is ''. */
  op(opType: string, inputs: readonly string[], attributes?: Attributes, options?: OpOptions): string;
  /** A node of `count` outputs. */
  ops(
    opType: string,
    inputs: readonly string[],
    attributes: Attributes,
    count: number,
    options?: OpOptions,
  ): string[];
  /** Declares an output of this name. A value that is an output already is copied by an Identity. */
  output(name: string, value: string, type?: ElementType, shape?: readonly Dim[]): void;
  /** A builder for the body of an If, Loop or Scan in this graph: it sees the values that exist here so far. */
  body(name?: string): GraphBuilder;
  /** The finished graph; the builder is closed with it. */
  graph(): Graph;
  /** The finished graph as a model. */
  model(options: { readonly opset: number; readonly domains?: Readonly<Record<string, number>> }): Model;
}

/** A float attribute of a whole number. */
export function float(value: number): Attribute {
  return { kind: 'float', value: Math.fround(value) };
}

/** A floats attribute of whole numbers. */
export function floats(value: readonly number[]): Attribute {
  return { kind: 'floats', value: value.map(Math.fround) };
}

export function graphBuilder(name = 'graph'): GraphBuilder {
  return builder(name, new Set(), () => false, '');
}

/**
 * A builder of nodes to add to a graph: it sees the graph's values, and makes no name that is taken in it. The graph itself stays
 * as it is; what `graph()` returns holds the new nodes and initializers.
 */
export function graphExtension(graph: Graph, prefix = ''): GraphBuilder {
  const defined = definedIn(graph);
  return builder(graph.name, namesIn(graph), (value) => defined.has(value), prefix);
}

function builder(
  graphName: string,
  taken: Set<string>,
  isAround: (value: string) => boolean,
  prefix: string,
): GraphBuilder {
  const nodes: Node[] = [];
  const initializers = new Map<string, StoredTensor>();
  const inputs: ValueInfo[] = [];
  const outputs: { info: ValueInfo; value: string }[] = [];
  const values = new Set<string>();
  const made = new Map<Tensor | StoredTensor | string, string>();
  let closed = false;

  const fail = (problem: string): never => {
    throw new Error(`graph "${graphName}": ${problem}`);
  };
  const isVisible = (value: string) => values.has(value) || isAround(value);
  const fresh = (hint: string) => {
    if (closed) fail('the graph is finished');
    const name = unused(taken, prefix + hint);
    values.add(name);
    return name;
  };
  const exact = (name: string) => {
    if (taken.has(prefix + name)) fail(`the name "${prefix}${name}" is used already`);
    return fresh(name);
  };

  const self: GraphBuilder = {
    input(name, type, shape) {
      const unique = exact(name);
      inputs.push({ name: unique, type, ...(shape && { shape }) });
      return unique;
    },
    constant(value, hint = 'constant') {
      const known = made.get(value);
      if (known) return known;
      const name = fresh(hint);
      initializers.set(name, 'data' in value ? storedTensor(value) : value);
      made.set(value, name);
      return name;
    },
    scalar(type, value) {
      const key = `${type} ${value}${Object.is(value, -0) ? ' negative' : ''}`;
      const known = made.get(key);
      if (known) return known;
      const data = new arrayOf[type](1) as ArrayOf[DataType];
      data[0] = (typeof data[0] === 'bigint' ? BigInt(value) : Number(value)) as never;
      const name = self.constant(tensor(type, [], data), type);
      made.set(key, name);
      return name;
    },
    ints(...numbers) {
      const key = numbers.join();
      const known = made.get(key);
      if (known !== undefined) return known;
      const name = self.constant(
        tensor('int64', [numbers.length], BigInt64Array.from(numbers, BigInt)),
        'ints',
      );
      made.set(key, name);
      return name;
    },
    op: (opType, from, attributes = {}, options = {}) => self.ops(opType, from, attributes, 1, options)[0],
    ops(opType, from, attributes, count, options = {}) {
      for (const value of from) {
        if (value !== '' && !isVisible(value)) fail(`${opType} reads "${value}", which does not exist`);
      }
      const hint = options.name ?? opType;
      const results = Array.from({ length: count }, (_, i) => fresh(i === 0 ? hint : `${hint}.${i}`));
      nodes.push({
        name: results[0] ?? hint,
        opType,
        domain: options.domain ?? '',
        inputs: [...from],
        outputs: [...results],
        attributes: new Map(Object.entries(attributes).map(([key, value]) => [key, toAttribute(value)])),
      });
      return results;
    },
    output(name, value, type, shape) {
      if (!isVisible(value)) fail(`the output "${name}" is "${value}", which does not exist`);
      outputs.push({ info: { name, ...(type && { type }), ...(shape && { shape }) }, value });
    },
    body(name = 'body') {
      const unique = unused(taken, prefix + name);
      return builder(unique, taken, isVisible, `${unique}/`);
    },
    graph() {
      if (closed) fail('the graph is finished');
      const graph: Graph = {
        name: graphName,
        nodes,
        initializers,
        inputs,
        outputs: [],
        valueInfo: new Map(),
      };
      const produced = new Set(nodes.flatMap((node) => node.outputs));
      const renamed = new Set<string>();
      for (const { info, value } of outputs) {
        let { name } = info;
        if (prefix + name !== value || renamed.has(value)) {
          name = exact(name);
          // A node's value can take the output's name; an input's, a constant's or an output's has one already.
          if (produced.has(value) && !renamed.has(value)) {
            renameValue(graph, value, name);
            outputs.forEach((other) => {
              if (other.value === value) other.value = name;
            });
          } else {
            nodes.push({
              name,
              opType: 'Identity',
              domain: '',
              inputs: [value],
              outputs: [name],
              attributes: new Map(),
            });
          }
        } else name = value; // in a body it has the body's prefix
        renamed.add(name);
        graph.outputs.push({ ...info, name });
      }
      closed = true;
      return graph;
    },
    model({ opset, domains = {} }) {
      for (const { domain, opType } of nodes) {
        if (domain !== '' && !Object.hasOwn(domains, domain))
          fail(`${opType} is of "${domain}": give its version`);
      }
      const irVersion =
        opset < 12 ? 6 : opset < 15 ? 7 : opset < 19 ? 8 : opset < 21 ? 9 : opset < 23 ? 10 : 11;
      return {
        irVersion,
        opsets: new Map([['', opset], ...Object.entries(domains)]),
        graph: self.graph(),
        functions: [],
        metadata: new Map(),
      };
    },
  };
  return self;
}

/** The hint, or the hint and a number; taken from now on. */
function unused(taken: Set<string>, hint: string): string {
  let name = hint;
  for (let i = 1; taken.has(name); i++) name = `${hint}_${i}`;
  taken.add(name);
  return name;
}

function toAttribute(value: AttributeValue): Attribute {
  switch (typeof value) {
    case 'number':
      return Number.isInteger(value) ? { kind: 'int', value: BigInt(value) } : float(value);
    case 'bigint':
      return { kind: 'int', value };
    case 'string':
      return { kind: 'string', value: new TextEncoder().encode(value) };
  }
  if (isList(value)) {
    if (value.every((one) => typeof one === 'string')) {
      if (value.length > 0)
        return { kind: 'strings', value: value.map((one) => new TextEncoder().encode(one)) };
    }
    const numbers = value as readonly number[];
    if (numbers.every(Number.isInteger)) return { kind: 'ints', value: numbers.map(BigInt) };
    return floats(numbers);
  }
  if ('kind' in value) return value;
  if ('nodes' in value) return { kind: 'graph', value };
  if (sizeOf(value.shape) !== value.data.length) throw new Error('a tensor attribute has the wrong size');
  return { kind: 'tensor', value: storedTensor(value) };
}

function isList(value: AttributeValue): value is readonly number[] | readonly string[] {
  return Array.isArray(value);
}
