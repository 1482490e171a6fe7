/** A model that is not well formed is refused by the name of what is wrong. */
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { newNode } from '../../src/onnx/edit.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { FunctionDefinition, Graph, Model } from '../../src/onnx/model.ts';
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

  /** A function of one input that calls others on it. */
  const calls = (name: string, others: readonly string[] = []): FunctionDefinition => ({
    domain: 'local',
    name,
    overload: '',
    inputs: ['x'],
    outputs: ['x'],
    attributes: [],
    nodes: others.map((other, i) => newNode(other, ['x'], [`y${i}`], [], 'local')),
    opsets: new Map([['', 18]]),
  });

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
    [
      'a body whose input hides a value',
      ({ graph }) => {
        const body = { ...emptyGraph([]), inputs: [{ name: 'input_ids' }] };
        graph.nodes.push(newNode('Loop', [], ['z'], [['body', { kind: 'graph', value: body }]]));
      },
      /the body's input "input_ids" hides a value of that name/,
    ],
    [
      'a body whose initializer hides a value',
      ({ graph }) => {
        const initializers = new Map([['Shape', storedTensor(tensor('bool', [], Uint8Array.of(1)))]]);
        const body = { ...emptyGraph([]), initializers };
        graph.nodes.push(newNode('Loop', [], ['z'], [['body', { kind: 'graph', value: body }]]));
      },
      /the body's initializer "Shape" hides a value of that name/,
    ],
    [
      'a choice without a second branch',
      ({ graph }) => {
        const body = { ...emptyGraph([]), outputs: [{ name: 'Shape' }] };
        graph.nodes.push(newNode('If', ['Shape'], ['z'], [['then_branch', { kind: 'graph', value: body }]]));
      },
      /"z" \(If\) has no body "else_branch"/,
    ],
    [
      'a choice of many conditions',
      ({ graph }) => graph.nodes.push(newNode('If', ['Shape', 'Shape'], ['z'])),
      /"z" \(If\) has 2 inputs, expected 1/,
    ],
    [
      'a loop that carries what its body does not',
      ({ graph }) => {
        const body = emptyGraph([]);
        graph.nodes.push(
          newNode('Loop', ['', '', 'Shape'], ['z'], [['body', { kind: 'graph', value: body }]]),
        );
      },
      /"z" \(Loop\) has 0 inputs in its body, expected 3/,
    ],
    [
      'a scan without a body',
      ({ graph }) => graph.nodes.push(newNode('Scan', ['Shape'], ['z'])),
      /"z" \(Scan\) has no body "body"/,
    ],
    [
      'a node that makes nothing',
      ({ graph }) => graph.nodes.push({ ...newNode('Neg', ['Shape'], ['']), name: 'idle' }),
      /"idle" \(Neg\) makes nothing/,
    ],
    [
      'a function that calls itself',
      ({ functions }) => functions.push(calls('f', ['f'])),
      /function "f" calls itself/,
    ],
    [
      'functions that call each other in a circle',
      ({ functions }) => functions.push(calls('f', ['g']), calls('g', ['h']), calls('h', ['f'])),
      /function "f" calls itself/,
    ],
    [
      'functions that double, again and again',
      ({ functions }) =>
        functions.push(
          calls('f0'),
          ...Array.from({ length: 30 }, (_, i) => calls(`f${i + 1}`, [`f${i}`, `f${i}`])),
        ),
      /more than 250000 nodes/,
    ],
    [
      'functions that call each other ever deeper',
      ({ functions }) =>
        functions.push(calls('f0'), ...Array.from({ length: 40 }, (_, i) => calls(`f${i + 1}`, [`f${i}`]))),
      /call each other more than 32 deep/,
    ],
    [
      'a function in the place of an operator',
      ({ functions }) => functions.push({ ...calls('MatMul'), domain: '' }),
      /function "MatMul" would take the place of an operator of the domain "ai.onnx"/,
    ],
    [
      'two functions of one name',
      ({ functions }) => functions.push(calls('f'), calls('f')),
      /two functions of the name "f"/,
    ],
    [
      'a function that does not make its output',
      ({ functions }) => functions.push({ ...calls('f'), outputs: ['nothing'] }),
      /function "f": nothing makes the output "nothing"/,
    ],
  ])('%s', (_, spoil, message) => {
    const model = encoder();
    validateModel(model);
    spoil(model);
    expect(() => validateModel(model)).toThrow(InputError);
    expect(() => validateModel(model)).toThrow(message);
  });
});

test('functions that end, and bodies that name what they like, are valid', () => {
  const model = encoder();
  const twin = () => ({
    name: 'body',
    nodes: [newNode('Neg', ['Shape'], ['inner'])],
    initializers: new Map(),
    inputs: [],
    outputs: [{ name: 'inner' }],
    valueInfo: new Map(),
  });
  for (const output of ['a', 'b']) {
    // Two bodies side by side do not see each other.
    const branches = ['then_branch', 'else_branch'].map(
      (name) => [name, { kind: 'graph', value: twin() }] as const,
    );
    model.graph.nodes.push(newNode('If', ['Shape'], [output], branches));
  }
  const nodes = [newNode('Neg', ['x'], ['y'])];
  const rest = {
    domain: 'local',
    overload: '',
    inputs: ['x'],
    outputs: ['y'],
    attributes: [],
    opsets: new Map(),
  };
  model.functions.push(
    { ...rest, name: 'f', nodes },
    { ...rest, name: 'g', nodes: [newNode('f', ['x'], ['y'], [], 'local')] },
  );
  expect(() => validateModel(model)).not.toThrow();
});
