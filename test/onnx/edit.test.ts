/** Laws of looking at graphs and of changing them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { graphBuilder } from '../../src/onnx/build.ts';
import {
  cloneModel,
  freshName,
  insertNodes,
  newNode,
  removeDeadNodes,
  renameValue,
  replaceUses,
  sortTopologically,
} from '../../src/onnx/edit.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Graph } from '../../src/onnx/model.ts';
import { printGraph } from '../../src/onnx/print.ts';
import { encodeModel } from '../../src/onnx/save.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import {
  describeNode,
  floatAttribute,
  indexGraph,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from '../../src/onnx/walk.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { encoder } from '../models/encoder.ts';
import { cases, fixture } from './fixtures.ts';

/** y = relu(x) + c, chosen by an If whose branches read relu(x) and c from around them. */
function captured() {
  const g = graphBuilder('outer');
  const x = g.input('x', 'float32', [2]);
  const flag = g.input('flag', 'bool', []);
  const inner = g.op('Relu', [x], {}, { name: 'relu' });
  const c = g.constant(tensor('float32', [2], Float32Array.of(1, 2)), 'c');
  const branch = (opType: string) => {
    const body = g.body();
    body.output(`${opType}_out`, body.op('Identity', [body.op(opType, [inner, c])]), 'float32', [2]);
    return body.graph();
  };
  const y = g.op(
    'If',
    [flag],
    { then_branch: branch('Add'), else_branch: branch('Sub') },
    { name: 'choice' },
  );
  g.output('y', y, 'float32', [2]);
  return g.model({ opset: 18 });
}

describe('walk', () => {
  test('a value knows its producer, and its uses inside subgraphs', () => {
    const { graph } = captured();
    const index = indexGraph(graph);
    expect(index.producer('relu')?.node.opType).toBe('Relu');
    expect(index.producer('x')).toBeUndefined();
    expect(index.uses('relu').map((use) => [use.owner.opType, use.node.opType, use.position])).toEqual([
      ['If', 'Add', 0],
      ['If', 'Sub', 0],
    ]);
    // What a body makes and reads itself is no business of the graph around it.
    expect([index.uses('body/Add'), index.uses('body_1/Sub')]).toEqual([[], []]);
    expect(index.uses('c').map((use) => use.position)).toEqual([1, 1]);
    expect([index.isOutput('y'), index.isOutput('relu')]).toEqual([true, false]);
  });

  test.each(cases)('$name: producers and uses are the naive ones', async ({ path }) => {
    const { graph } = await openModel(path);
    const index = indexGraph(graph);
    for (const node of graph.nodes) {
      node.outputs.forEach((output, position) => {
        expect(index.producer(output)).toEqual({ node, position });
      });
      node.inputs.forEach((input, position) => {
        if (input !== '')
          expect(index.uses(input).some((use) => use.node === node && use.position === position)).toBe(true);
      });
    }
  });

  test('attributes are read by kind, and a wrong kind is the file’s mistake', () => {
    const attributes = { axis: -1, alpha: 0.5, perm: [1, 0], mode: 'reflect' };
    const g = graphBuilder();
    g.output('y', g.op('Odd', [g.input('x', 'float32')], attributes, { name: 'odd' }));
    const [node] = g.graph().nodes;
    expect(intAttribute(node, 'axis')).toBe(-1);
    expect(intAttribute(node, 'keepdims', 1)).toBe(1);
    expect(intAttribute(node, 'keepdims')).toBeUndefined();
    expect(floatAttribute(node, 'alpha', 1)).toBe(0.5);
    expect(intsAttribute(node, 'perm')).toEqual([1, 0]);
    expect(stringAttribute(node, 'mode')).toBe('reflect');
    expect(() => intAttribute(node, 'mode')).toThrow(InputError);
    expect(() => intAttribute(node, 'mode')).toThrow(
      'node "odd" (Odd) has the attribute mode of kind string',
    );
    expect(describeNode({ ...node, name: '' })).toBe('Odd → "y"');
  });
});

describe('edit', () => {
  test('a clone is a model of its own that shares the weights', async () => {
    const model = await openModel(fixture('t5-optimum-merged').path);
    const before = encodeModel(model);
    const clone = cloneModel(model);
    expect(Buffer.from(encodeModel(clone)).equals(before)).toBe(true);
    for (const [name, stored] of model.graph.initializers)
      expect(clone.graph.initializers.get(name)).toBe(stored);
    const wreck = (graph: Graph) => {
      for (const node of graph.nodes) {
        for (const attribute of node.attributes.values())
          if (attribute.kind === 'graph') wreck(attribute.value);
        node.inputs.push('gone');
        node.outputs.length = 0;
        node.attributes.clear();
      }
      graph.nodes.length = 0;
      graph.initializers.clear();
      graph.valueInfo.clear();
      graph.outputs.length = 0;
    };
    wreck(clone.graph);
    clone.opsets.clear();
    expect(Buffer.from(encodeModel(model)).equals(before)).toBe(true);
  });

  test('a fresh name is the hint where it is free, and never one inside a subgraph', () => {
    const { graph } = captured();
    expect(freshName(graph, 'z')).toBe('z');
    for (const taken of ['x', 'c', 'relu', 'body/Add_out', 'choice'])
      expect(freshName(graph, taken)).toBe(`${taken}_1`);
  });

  test('uses are replaced inside subgraphs too, and the order is mended', () => {
    const { graph } = captured();
    graph.nodes.push(newNode('Tanh', ['x'], ['tanh']));
    replaceUses(graph, 'relu', 'tanh');
    expect(indexGraph(graph).uses('relu')).toEqual([]);
    expect(indexGraph(graph).uses('tanh')).toHaveLength(2);
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(['Relu', 'Tanh', 'If']);
    expect(removeDeadNodes(graph)).toBe(1);
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(['Tanh', 'If']);
  });

  test('an edit that cannot be leaves the graph as it was', () => {
    const model = captured();
    const before = printGraph(model.graph);
    const { graph } = model;
    expect(() => replaceUses(graph, 'x', 'nothing')).toThrow('has no value "nothing"');
    // relu would read what the If makes of it.
    expect(() => replaceUses(graph, 'x', 'y')).toThrow(InputError);
    expect(() => replaceUses(graph, 'x', 'y')).toThrow('has a cycle: "choice" (If) → "relu" (Relu) → back');
    expect(() => insertNodes(graph, [newNode('Tanh', ['nothing'], ['t'])])).toThrow(
      'nothing makes "nothing"',
    );
    expect(() => insertNodes(graph, [newNode('Tanh', ['x'], ['relu'])])).toThrow('exists already');
    expect(() => insertNodes(graph, [newNode('A', ['b'], ['a']), newNode('B', ['a'], ['b'])])).toThrow(
      'has a cycle',
    );
    expect(() => renameValue(graph, 'x', 'relu')).toThrow('already');
    expect(printGraph(graph)).toBe(before);
  });

  test('inserted nodes stand behind their inputs and before their readers', () => {
    const { graph } = captured();
    const [relu] = graph.nodes;
    insertNodes(graph, [newNode('Neg', ['exp'], ['neg']), newNode('Exp', ['relu'], ['exp'])]);
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(['Relu', 'If', 'Exp', 'Neg']);
    insertNodes(graph, [newNode('Abs', ['x'], ['abs'])]);
    relu.inputs[0] = 'abs';
    sortTopologically(graph);
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(['Abs', 'Relu', 'If', 'Exp', 'Neg']);
  });

  test('a value is renamed where it is made and read, also inside', () => {
    const model = captured();
    renameValue(model.graph, 'relu', 'r');
    renameValue(model.graph, 'c', 'k');
    renameValue(model.graph, 'y', 'z');
    validateModel(model);
    expect(indexGraph(model.graph).uses('r')).toHaveLength(2);
    expect([...model.graph.initializers.keys()]).toEqual(['k']);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(['z']);
  });

  test.each(cases)(
    '$name: removing what is dead twice is removing it once, and the graph stays whole',
    async ({ path }) => {
      const model = await openModel(path);
      removeDeadNodes(model.graph);
      validateModel(model);
      const text = printGraph(model.graph);
      expect(removeDeadNodes(model.graph)).toBe(0);
      expect(printGraph(model.graph)).toBe(text);
      const { graph } = model;
      const index = indexGraph(graph);
      for (const name of graph.initializers.keys())
        expect(index.uses(name).length > 0 || index.isOutput(name), name).toBe(true);
      for (const node of graph.nodes) {
        expect(node.outputs.some((output) => index.uses(output).length > 0 || index.isOutput(output))).toBe(
          true,
        );
      }
    },
  );

  test('sorting a shuffled graph gives an order, and leaves a sorted one alone', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat()), (numbers) => {
        const model = encoder({ layers: 2 });
        const before = printGraph(model.graph);
        sortTopologically(model.graph);
        expect(printGraph(model.graph)).toBe(before);
        const keys = new Map(model.graph.nodes.map((node) => [node, numbers.next().value as number]));
        model.graph.nodes.sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
        sortTopologically(model.graph);
        validateModel(model);
      }),
      { numRuns: 30 },
    );
  });

  test('a chain of a hundred thousand nodes is sorted', () => {
    const nodes = Array.from({ length: 100_000 }, (_, i) =>
      newNode('Neg', [`v${i}`], [`v${i + 1}`]),
    ).reverse();
    const graph: Graph = {
      name: 'chain',
      nodes,
      initializers: new Map(),
      inputs: [{ name: 'v0' }],
      outputs: [],
      valueInfo: new Map(),
    };
    sortTopologically(graph);
    expect(graph.nodes[0].inputs).toEqual(['v0']);
    expect(graph.nodes.at(-1)?.outputs).toEqual(['v100000']);
  });
});
