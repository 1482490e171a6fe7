/** Tiny models, as bytes. */
import { encodeModel } from '../../src/onnx/save.ts';
import type { DataType } from '../../src/tensor/tensor.ts';

/** Every output is x + x. */
export function add(type: DataType, shape: readonly number[], ...outputs: readonly string[]): Uint8Array {
  const names = outputs.length === 0 ? ['y'] : outputs;
  return encodeModel({
    irVersion: 8,
    opsets: new Map([['', 17]]),
    graph: {
      name: 'add',
      nodes: names.map((name) => ({
        name,
        opType: 'Add',
        domain: '',
        inputs: ['x', 'x'],
        outputs: [name],
        attributes: new Map(),
      })),
      initializers: new Map(),
      inputs: [{ name: 'x', type, shape }],
      outputs: names.map((name) => ({ name, type, shape })),
      valueInfo: new Map(),
    },
    functions: [],
    metadata: new Map(),
  });
}
