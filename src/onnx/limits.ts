/**
 * What no honest model reaches. Each limit holds before anything of that size is allocated.
 * @module
 */

export const limits = {
  /** Protobuf's own end: lengths are signed 32-bit numbers. */
  fileBytes: 2 ** 31 - 1,
  /** Memory for the decoded messages, by estimate; `raw_data` stays where it is and does not count. */
  decodedBytes: 2 ** 30,
  /** Messages in messages; a graph in a graph takes three. */
  messageDepth: 64,
  /** A name, in bytes. Documentation and metadata may be longer. */
  nameBytes: 4096,
  /** Nodes, those of subgraphs and of functions, each as often as it is called, included. */
  nodes: 250_000,
  /** Graphs in graphs. */
  graphDepth: 8,
  /** Functions that call functions. */
  callDepth: 32,
  /** Dimensions of a tensor. */
  rank: 64,
  /** Elements of a tensor. */
  elements: 2 ** 48,
  /** What the other dimensions of a tensor without elements multiply to. */
  emptyElements: 2 ** 24,
  /** External tensors that overlap may be so many times as long, together, as their file. */
  sharing: 4,
} as const;
