/**
 * What can be removed from a model: blocks of structures.
 *
 * A *structure* is a head, a KV group (its K/V head with its query heads), or a neuron. A *block* holds all
 * structures that one *consuming matrix* reads: the attention's output projection, the MLP's second matrix.
 * @module
 */

/** The matrix that reads a block's structures: y[…, rows] = x[…, cols] · W, W held as `weight`. */
export interface Consumer {
  /** The name of the node, for messages. */
  readonly node: string;
  /** The initializer that holds W (looked up through Identity/Transpose/Cast if the graph has them). */
  readonly weight: string;
  /** The stored tensor's axis that is contracted: 0 when it holds [cols, rows], 1 when [rows, cols]. */
  readonly axis: 0 | 1;
  readonly rows: number;
  readonly cols: number;
  /** The value x, whose last axis is contracted. */
  readonly input: string;
  /** The value y = x·W before its bias. */
  readonly output: string;
  /** The bias added to y, where there is one: an initializer of shape [rows]. */
  readonly bias?: string;
}

/** A matrix whose free axis holds the structures, or part of them. */
export interface Producer {
  readonly node: string;
  /** The initializer, and its axis that is sliced. */
  readonly weight: string;
  readonly axis: number;
}

/** Another tensor that is sliced with them: a bias, a scale, a table. */
export interface Coupled {
  readonly initializer: string;
  readonly axis: number;
}

/** An input or output of the model, and its axis along which structures lie. */
export interface Cache {
  readonly name: string;
  readonly end: 'input' | 'output';
  readonly axis: number;
}

export interface Block {
  /** Kind and position, counted per kind in topological order of the consumers: `attention.0`, `mlp.3`. */
  readonly id: string;
  readonly kind: 'attention' | 'mlp';
  readonly structures: number;
  /** Columns of the consuming matrix that each structure owns: [structures][columns]. */
  readonly columns: readonly (readonly number[])[];
  /** Attention only: the width of one head, and the query heads of one structure (1 unless grouped). */
  readonly headDim?: number;
  readonly queryHeadsPerStructure?: number;
  /** MLP only. */
  readonly gated?: boolean;
  readonly consumer: Consumer;
  readonly producers: readonly Producer[];
  readonly coupled: readonly Coupled[];
  /** Inputs and outputs of the model that hold the structures: the key-value cache. Absent where there are none. */
  readonly caches?: readonly Cache[];
  /** How many layers the same consuming matrix serves (ALBERT: all of them); 1 as a rule. */
  readonly uses: number;
}

export interface Refusal {
  /** The node (its name, or its operator and first output). */
  readonly at: string;
  /** One sentence: the axis, and why it cannot be cut. */
  readonly reason: string;
}

/** Block id → the structures to remove: indices along the consuming matrix; all of them removes the module. */
export type Removal = ReadonlyMap<string, readonly number[]>;

/**
 * The removed structures of each block, as sets.
 * @throws RangeError for a block that is not there, or a structure outside it
 */
export function removedStructures(blocks: readonly Block[], removal: Removal): Map<string, Set<number>> {
  const sets = new Map<string, Set<number>>();
  for (const [id, gone] of removal) {
    const block = blocks.find((one) => one.id === id);
    if (!block) throw new RangeError(`cut: the model has no block "${id}"`);
    const wrong = gone.find((i) => !Number.isInteger(i) || i < 0 || i >= block.structures);
    if (wrong !== undefined) {
      throw new RangeError(`cut: ${id} has structures 0 to ${block.structures - 1}, not ${wrong}`);
    }
    sets.set(id, new Set(gone));
  }
  return sets;
}
