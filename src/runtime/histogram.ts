/**
 * What ONNX Runtime makes of a graph before it runs it.
 *
 * Its fusions look for exact patterns: attention of which a head was cut may no longer match, and then part of
 * the speedup is lost to the dense model's better graph. Counting the operators of both shows that.
 * @module
 */
import { join } from 'node:path';
import { openModel } from '../onnx/load.ts';
import type { Node } from '../onnx/model.ts';
import { subgraphs } from '../onnx/walk.ts';
import { inTemporaryFolder } from './feeds.ts';
import { openSession, type SessionOptions } from './session.ts';

/** Operator (`MatMul`, `com.microsoft.BiasGelu`) → how many, by falling number. */
export type Histogram = ReadonlyMap<string, number>;

/**
 * Counts the operators of the optimised graph, subgraphs included.
 * @param model a file or a model's bytes
 * @throws as `openSession`
 */
export function histogram(model: Uint8Array | string, options: SessionOptions = {}): Promise<Histogram> {
  return inTemporaryFolder(async (folder) => {
    const optimizedModelFile = join(folder, 'optimised.onnx');
    {
      await using _session = await openSession(model, { ...options, optimizedModelFile });
    }
    const { graph } = await openModel(optimizedModelFile);
    const counts = new Map<string, number>();
    const visit = (node: Node) => {
      const operator = node.domain === '' ? node.opType : `${node.domain}.${node.opType}`;
      counts.set(operator, (counts.get(operator) ?? 0) + 1);
      for (const { nodes } of subgraphs(node)) nodes.forEach(visit);
    };
    graph.nodes.forEach(visit);
    return new Map([...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)));
  });
}

/** The fused operators that the dense graph runs with and the other lacks altogether. */
export function lostFusions(dense: Histogram, other: Histogram): string[] {
  return [...dense.keys()].filter(
    (operator) => operator.startsWith('com.microsoft.') && !other.has(operator),
  );
}
