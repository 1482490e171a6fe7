/** Nodes that do not fit their operator: an analysis follows or refuses them, and never fails. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { newNode } from '../../src/onnx/edit.ts';
import type { Attribute, Graph, Model } from '../../src/onnx/model.ts';
import { storedTensor } from '../../src/onnx/stored.ts';
import { analyse } from '../../src/structure/analyse.ts';
import { cut } from '../../src/structure/cut.ts';
import { table } from '../../src/structure/rules.ts';
import { sizeOf, tensor, zeros } from '../../src/tensor/tensor.ts';
import { range } from './running.ts';

const names = table.flatMap(({ entries }) => entries.flatMap((entry) => entry.names));

const attributeNames = {
  int:
    'axis num_heads kv_num_heads q_num_heads transA transB transBatchA transBatchB group keepdims allowzero batch_dims ' +
    'block_size start end noop_with_empty_axes do_rotary num_outputs to',
  ints: 'axes perm split pads strides dilations kernel_shape starts ends qkv_hidden_sizes',
  string: 'equation auto_pad',
} as const;

const whole = fc.oneof(
  fc.integer({ min: -6, max: 13 }),
  fc.constantFrom(2n ** 62n, -(2n ** 63n), 2n ** 31n, 4_000_000_000n).map(Number),
);
const equation = fc.constantFrom(
  'bsd,de->bse',
  'bind,bjnd->bnij',
  'ii->i',
  'a,b,c->abc',
  '...d,de->...e',
  '->',
  'ab',
  'ab->abz',
  ',->',
  '',
  'SAME_UPPER',
);

const attributes = fc
  .tuple(
    ...Object.entries(attributeNames).flatMap(([kind, list]) =>
      list.split(' ').map((name) => {
        const value: fc.Arbitrary<Attribute> =
          kind === 'int'
            ? whole.map((n) => ({ kind, value: BigInt(n) }))
            : kind === 'ints'
              ? fc.array(whole, { maxLength: 6 }).map((all) => ({ kind, value: all.map(BigInt) }))
              : equation.map((text) => ({ kind: 'string', value: new TextEncoder().encode(text) }));
        return fc.option(
          value.map((one) => [name, one] as const),
          { freq: 2 },
        );
      }),
    ),
  )
  .map((all) => all.filter((one) => one !== null));

const dims = fc.constantFrom(0, 1, 2, 3, 4, 12, 'batch', 'sequence', undefined, -1);
const shape = fc.array(dims, { maxLength: 5 });
const small = fc.array(fc.constantFrom(0, 1, 2, 3, 4, 12), { maxLength: 4 });
const numbers = fc.array(whole, { maxLength: 6 });

const graphs = fc.record({
  name: fc.constantFrom(...names),
  inputs: fc.array(shape, { minLength: 2, maxLength: 4 }),
  weights: fc.array(small, { minLength: 1, maxLength: 3 }),
  vectors: fc.array(numbers, { minLength: 1, maxLength: 3 }),
  reads: fc.array(fc.nat({ max: 14 }), { maxLength: 9 }),
  outputs: fc.integer({ min: 1, max: 4 }),
  attributes,
  opset: fc.constantFrom(8, 12, 13, 18, 23),
});

type Made = typeof graphs extends fc.Arbitrary<infer T> ? T : never;

/** x → x·W → the node, with other operands → relu(·W)·W + x, so that there may be something to cut. */
function modelOf({ name, inputs, weights, vectors, reads, outputs, attributes, opset }: Made): Model {
  const dot = name.lastIndexOf('.');
  const graph: Graph = {
    name: 'hostile',
    nodes: [newNode('MatMul', ['x', 'w.in'], ['activation'])],
    initializers: new Map([
      ['w.in', storedTensor(zeros('float32', [8, 12]))],
      ['w.out', storedTensor(zeros('float32', [12, 8]))],
      ...weights.map((one, i) => [`weight.${i}`, storedTensor(zeros('float32', one))] as const),
      ...vectors.map((one, i) => {
        const data = BigInt64Array.from(one, BigInt);
        return [`vector.${i}`, storedTensor(tensor('int64', [one.length], data))] as const;
      }),
    ]),
    inputs: [
      { name: 'x', type: 'float32', shape: ['batch', 'sequence', 8] },
      ...inputs.map((one, i) => ({ name: `input.${i}`, type: 'float32' as const, shape: one })),
    ],
    outputs: [{ name: 'y' }],
    valueInfo: new Map(),
  };
  const known = ['activation', ...graph.initializers.keys(), ...graph.inputs.map((one) => one.name), ''];
  const made = range(outputs).map((i) => `made.${i}`);
  graph.nodes.push(
    newNode(
      name.slice(dot + 1),
      ['activation', ...reads.map((i) => known[i % known.length])],
      made,
      attributes,
      dot < 0 ? '' : name.slice(0, dot),
    ),
    newNode('Relu', [made.at(-1)!], ['relu']),
    newNode('MatMul', ['relu', 'w.out'], ['down']),
    newNode('Add', ['x', 'down'], ['y']),
  );
  return {
    irVersion: 10,
    opsets: new Map([
      ['', opset],
      ['com.microsoft', 1],
    ]),
    graph,
    functions: [],
    metadata: new Map(),
  };
}

test('whatever a node reads and says', () => {
  let [followed, found] = [0, 0];
  fc.assert(
    fc.property(graphs, (made) => {
      const model = modelOf(made);
      const { blocks, refused } = analyse(model);
      followed += Number(refused.length < 2);
      for (const { reason } of refused) expect(reason).toMatch(/^\S.* .*\.$/);
      for (const { id, structures, columns, consumer } of blocks) {
        found++;
        expect(columns.length).toBe(structures);
        expect(columns.flat().toSorted((a, b) => a - b)).toEqual(range(consumer.cols));
        const gone = new Map([[id, [0]]]);
        const { initializers } = cut(model, analyse(model), gone).graph;
        const bytes = [...initializers.values()].map(({ shape }) => sizeOf(shape));
        expect(Math.max(...bytes)).toBeLessThan(1e5);
      }
    }),
    { numRuns: 4000, seed: 11 },
  );
  // The nodes are not all so strange that nothing is tried.
  expect(followed).toBeGreaterThan(100);
  expect(found).toBeGreaterThan(100);
});

test("an attribute of another kind is the model's mistake, and is named", () => {
  fc.assert(
    fc.property(graphs, fc.constantFrom('axis', 'num_heads', 'equation', 'group'), (made, name) => {
      const wrong: Attribute = { kind: 'floats', value: [1] };
      const model = modelOf({ ...made, attributes: [...made.attributes, [name, wrong]] });
      try {
        analyse(model);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
        expect((error as Error).message).toContain(`the attribute ${name} of kind floats`);
      }
    }),
    { numRuns: 500, seed: 11 },
  );
});
