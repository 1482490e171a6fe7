/** A model that is not well formed is refused by the name of what is wrong. */
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { newNode } from '../../src/onnx/edit.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Graph, Model } from '../../src/onnx/model.ts';
import { storedTensor } from '../../src/onnx/save.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { encoder } from '../models/encoder.ts';
import { cases } from './fixtures.ts';

test.each(cases)('$name is valid', async ({ path }) => {
  validateModel(await openModel(path));
});

describe('refused', () => {
  const emptyGraph = (nodes: Graph['nodes']): Graph => ({
    name: 'body',
    nodes,
    initializers: new Map(),
    inputs: [],
    outputs: [],
    valueInfo: new Map(),
  });
  const nested = (depth: number): Graph =>
    emptyGraph(
      depth === 0
        ? []
        : [newNode('If', ['c'], [], [['then_branch', { kind: 'graph', value: nested(depth - 1) }]])],
    );

  test.each<[string, (model: Model) => void, RegExp]>([
    [
      'an unknown input',
      ({ graph }) => graph.nodes[3].inputs.push('nothing'),
      /node "Gather" \(Gather\) reads "nothing", which nothing makes/,
    ],
    [
      'a value made twice',
      ({ graph }) => graph.nodes.push(newNode('Neg', ['input_ids'], ['Shape'])),
      /makes "Shape", which exists already/,
    ],
    [
      'a value that hides an input',
      ({ graph }) => graph.nodes.push(newNode('Neg', ['Shape'], ['input_ids'])),
      /makes "input_ids", which exists already/,
    ],
    ['nodes out of order', ({ graph }) => graph.nodes.reverse(), /reads ".*" before .* makes it/],
    [
      'a node that reads itself',
      ({ graph }) => graph.nodes.push(newNode('Neg', ['loop'], ['loop'])),
      /reads its own output "loop"/,
    ],
    [
      'a cycle',
      ({ graph }) => graph.nodes.push(newNode('Neg', ['b'], ['a']), newNode('Neg', ['a'], ['b'])),
      /"a" \(Neg\) reads "b" before "b" \(Neg\) makes it/,
    ],
    [
      'operators of a foreign library',
      ({ graph }) => graph.nodes.push(newNode('Run', ['input_ids'], ['z'], [], 'evil.lib')),
      /of the domain "evil.lib"/,
    ],
    [
      'an output that nothing makes',
      ({ graph }) => graph.outputs.push({ name: 'more' }),
      /nothing makes the output "more"/,
    ],
    [
      'two outputs of one name',
      ({ graph }) => graph.outputs.push({ ...graph.outputs[0] }),
      /two outputs of the name "logits"/,
    ],
    [
      'two inputs of one name',
      ({ graph }) => graph.inputs.push({ ...graph.inputs[0] }),
      /two inputs of the name "input_ids"/,
    ],
    [
      'a shape beyond any memory',
      ({ graph }) => graph.valueInfo.set('x', { name: 'x', shape: [2 ** 30, 2 ** 30] }),
      /"x" of shape \[1073741824, 1073741824\]/,
    ],
    [
      'graphs in graphs without end',
      ({ graph }) => {
        graph.initializers.set('c', storedTensor(tensor('bool', [], Uint8Array.of(1))));
        graph.nodes.push(newNode('If', ['c'], [], [['then_branch', { kind: 'graph', value: nested(20) }]]));
      },
      /nested more than 8 deep/,
    ],
  ])('%s', (_, spoil, message) => {
    const model = encoder();
    validateModel(model);
    spoil(model);
    expect(() => validateModel(model)).toThrow(InputError);
    expect(() => validateModel(model)).toThrow(message);
  });
});
