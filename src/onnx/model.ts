/**
 * An ONNX model as data. Values are named, as in the format: a node's inputs and outputs are names, and an empty
 * name is an absent optional. Protobuf stays behind `load.ts` and `save.ts`; what this form does not
 * model (doc strings, quantization annotations, unknown fields) travels along untouched in `rest`.
 * @module
 */
import type { DataType, Tensor } from '../tensor/tensor.ts';

/** An element type of the format: those that a `Tensor` holds, and those that are only carried. */
export type ElementType =
  | DataType
  | 'string'
  | 'complex64'
  | 'complex128'
  | 'float8e4m3fn'
  | 'float8e4m3fnuz'
  | 'float8e5m2'
  | 'float8e5m2fnuz'
  | 'float8e8m0'
  | 'float6e2m3'
  | 'float6e3m2'
  | 'float4e2m1'
  | 'uint4'
  | 'int4'
  | 'uint2'
  | 'int2';

/** A dimension: a number, a name (`dim_param`), or unknown. */
export type Dim = number | string | undefined;

export interface ValueInfo {
  readonly name: string;
  /** Absent for values that are not tensors (sequences, maps, optionals). */
  readonly type?: ElementType;
  /** Absent when even the rank is unknown. */
  readonly shape?: readonly Dim[];
  /** Fields that this form does not model. */
  readonly rest?: unknown;
}

/** A stored tensor whose bytes are read when asked for. Never copied by opening or saving. */
export interface StoredTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Size of the payload in bytes, known without reading it. */
  readonly byteLength: number;
  /** The elements. A view of the file's buffer where alignment allows; treat as read-only.
   * @throws InputError for elements that a `Tensor` cannot hold (strings, eight bits and fewer), and for external
   * data that was changed after opening. */
  tensor(): Tensor;
  readonly rest?: unknown;
}

export type Attribute = (
  | { readonly kind: 'int'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: Uint8Array }
  | { readonly kind: 'ints'; readonly value: readonly bigint[] }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly Uint8Array[] }
  | { readonly kind: 'tensor'; readonly value: StoredTensor }
  | { readonly kind: 'graph'; readonly value: Graph }
  | { readonly kind: 'graphs'; readonly value: readonly Graph[] }
  /** A function's attribute reference, a sparse tensor, a type: carried, not read. */
  | { readonly kind: 'other'; readonly value?: unknown }
) & { readonly rest?: unknown };

export interface Node {
  name: string;
  opType: string;
  /** '' is ai.onnx. */
  domain: string;
  inputs: string[];
  outputs: string[];
  attributes: Map<string, Attribute>;
  rest?: unknown;
}

export interface Graph {
  name: string;
  /** In topological order, as the format demands. */
  nodes: Node[];
  initializers: Map<string, StoredTensor>;
  inputs: ValueInfo[];
  outputs: ValueInfo[];
  /** Declared types of intermediate values. */
  valueInfo: Map<string, ValueInfo>;
  rest?: unknown;
}

export interface FunctionDefinition {
  readonly domain: string;
  readonly name: string;
  readonly overload: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: readonly string[];
  readonly nodes: readonly Node[];
  readonly opsets: ReadonlyMap<string, number>;
  readonly rest?: unknown;
}

export interface Model {
  irVersion: number;
  /** Domain → opset version; '' is ai.onnx. */
  opsets: Map<string, number>;
  graph: Graph;
  functions: FunctionDefinition[];
  metadata: Map<string, string>;
  rest?: unknown;
}
