/**
 * Sizes that a graph fixes though its inputs declare them free: read off its constants, since a model does not run at others.
 * @module
 */
import type { Model, StoredTensor } from '../onnx/model.ts';
import { intsAttribute, tensorAttribute } from '../onnx/walk.ts';

/** The numbers in the targets of a model's Reshapes, the most frequent first: lengths that an exporter baked in. */
export function lengthsIn(model: Model): number[] {
  const { graph } = model;
  const counts = new Map<number, number>();
  const constants = constantsOf(model);
  const makers = new Map(graph.nodes.map((node) => [node.outputs[0], node]));
  for (const { opType, inputs } of graph.nodes) {
    if (opType !== 'Reshape') continue;
    const maker = makers.get(inputs[1]);
    for (const name of maker?.opType === 'Concat' ? maker.inputs : [inputs[1]]) {
      const stored = constants.get(name);
      if (stored?.type !== 'int64' || stored.byteLength > 64) continue;
      for (const item of stored.tensor().data)
        if (item > 1) counts.set(Number(item), (counts.get(Number(item)) ?? 0) + 1);
    }
  }
  return [...counts].toSorted(([, a], [, b]) => b - a).map(([length]) => length);
}

export interface ImageSize {
  readonly channels: number;
  readonly size: number;
}

/**
 * The images that a vision model may take, the likeliest first: its first convolution cuts them into patches, and a table
 * has a row for each patch, and perhaps for one or two tokens more. Empty where no input is convolved.
 */
export function imagesIn({ graph }: Model): ImageSize[] {
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const first = graph.nodes.find(({ opType, inputs: [image] }) => opType === 'Conv' && inputs.has(image));
  const kernel = first && graph.initializers.get(first.inputs[1]);
  if (!first || kernel?.shape.length !== 4) return [];
  const [width, channels] = kernel.shape;
  const [stride] = intsAttribute(first, 'strides') ?? [1];
  const rows = [...graph.initializers.values()].flatMap(({ shape }) =>
    shape.length > 1 && shape.at(-1) === width ? [shape.at(-2)!] : [],
  );
  const sides = [1, 0, 2].flatMap((more) => rows.map((count) => Math.sqrt(count - more)));
  const sizes = sides.filter((side) => side > 1 && Number.isInteger(side)).map((side) => side * stride);
  return [...new Set([...sizes, 224])].map((size) => ({ channels, size }));
}

function constantsOf({ graph }: Model): Map<string, StoredTensor> {
  const constants = new Map(graph.initializers);
  for (const node of graph.nodes) {
    const value = node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
    if (value) constants.set(node.outputs[0], value);
  }
  return constants;
}
