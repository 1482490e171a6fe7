/** Branches laid out flat and put back: the model says the same, whatever its bodies are called, share or hand out. */
import { describe, expect, test } from 'vitest';
import { type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import { openModel } from '../../src/onnx/load.ts';
import type { Attribute, Graph, Model } from '../../src/onnx/model.ts';
import { validateModel } from '../../src/onnx/validate.ts';
import { flatten, nest } from '../../src/structure/branches.ts';
import { random } from '../../src/tensor/random.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { fixture } from '../onnx/fixtures.ts';
import { floats, holds } from './residual.ts';
import { difference, type Feeds, range, readCase, run, tensorsOf } from './running.ts';

const flag = (on: number) => tensor('bool', [1], Uint8Array.of(on));

/** Lets a body call its own values as another body calls its own: separate exports do, when they are merged. */
function calledLike(body: Graph, own: string, other: string): Graph {
  const rename = (name: string) => (name.startsWith(own) ? other + name.slice(own.length) : name);
  const attribute = (one: Attribute) =>
    one.kind === 'graph' ? { ...one, value: calledLike(one.value, own, other) } : one;
  return {
    ...body,
    nodes: body.nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(rename),
      outputs: node.outputs.map(rename),
      attributes: new Map([...node.attributes].map(([name, one]) => [name, attribute(one)])),
    })),
    initializers: new Map([...body.initializers].map(([name, stored]) => [rename(name), stored])),
    outputs: body.outputs.map((info) => ({ ...info, name: rename(info.name) })),
  };
}

type Branch = (g: GraphBuilder, x: string) => string;

/** y = x + (condition ? first(x) : second(x)) */
function either(first: Branch, second: Branch, prepare?: (g: GraphBuilder) => void): Model {
  const g = graphBuilder('either');
  const x = g.input('x', 'float32', ['batch', 'sequence', 8]);
  const condition = g.input('condition', 'bool', [1]);
  prepare?.(g);
  const bodies = [first, second].map((branch, i) => {
    const body = g.body(['one', 'two'][i]);
    body.output('result', branch(body, x), 'float32');
    return body.graph();
  });
  const attributes = { then_branch: bodies[0], else_branch: calledLike(bodies[1], 'two', 'one') };
  g.output('y', g.op('Add', [x, g.op('If', [condition], attributes)]), 'float32');
  return g.model({ opset: 18 });
}

const feeds = (on: number): Feeds => ({ x: floats(random(5), 2, 5, 8), condition: flag(on) });

const weights = random(3);
const [up, down] = [floats(weights, 8, 12), floats(weights, 12, 8)];
/** An MLP whose matrices are the outer graph's: `one` and `two` are set by `prepare`. */
const shared = (activation: string) => {
  const names: string[] = [];
  const prepare = (g: GraphBuilder) => void names.push(g.constant(up), g.constant(down));
  const mlp =
    (how: string): Branch =>
    (g, x) =>
      g.op('MatMul', [g.op(how, [g.op('MatMul', [x, names[0]])]), names[1]]);
  return either(mlp(activation), mlp('Tanh'), prepare);
};

const models: Readonly<Record<string, () => Model>> = {
  'bodies that call their values alike': () =>
    either(
      (g, x) => g.op('Relu', [g.op('Neg', [x])]),
      (g, x) => g.op('Tanh', [g.op('Neg', [x])]),
    ),
  'a body that hands out what is around it': () =>
    either(
      (g, x) => g.op('Identity', [x]),
      (g, x) => g.op('Neg', [x]),
    ),
  'a body that hands out a constant of its own': () =>
    either(
      (g) => g.constant(floats(random(1), 8)),
      (g, x) => g.op('Neg', [x]),
    ),
  'branches within branches': () => {
    const inner: Branch = (g, x) => {
      const bodies = ['Relu', 'Tanh'].map((how, i) => {
        const body = g.body(['deep', 'deeper'][i]);
        body.output('result', body.op(how, [g.op('Neg', [x])]), 'float32');
        return body.graph();
      });
      return g.op('If', ['condition'], { then_branch: bodies[0], else_branch: bodies[1] });
    };
    return either(inner, inner);
  },
  'weights that both branches read': () => shared('Relu'),
};

describe.each(Object.keys(models))('%s', (name) => {
  const model = models[name]();
  test('nest ∘ flatten says the same', async () => {
    const flat = flatten(model);
    const names = flat.graph.nodes.flatMap(({ outputs }) => outputs);
    expect(new Set(names).size).toBe(names.length);
    const nested = nest(flat);
    validateModel(nested);
    const given = [feeds(0), feeds(1)];
    const [want, got] = [await run(model, given), await run(nested, given)];
    want.forEach((outputs, i) => {
      expect(difference(outputs, got[i])).toBe(0);
    });
  });

  test('flat names stay', () => {
    const flat = flatten(model);
    const again = flatten(nest(flat));
    const made = (one: Model) => one.graph.nodes.map(({ opType, outputs }) => `${opType} ${outputs}`).sort();
    const read = (one: Model) => one.graph.nodes.find(({ opType }) => opType === 'If')!.inputs;
    expect(read(again)).toEqual(read(flat));
    expect(made(again)).toEqual(
      expect.arrayContaining(made(nest(flat)).filter((line) => !line.startsWith('Identity'))),
    );
  });
});

test('what both branches read is one structure, and is cut in both', async () => {
  const model = shared('Relu');
  for (const on of [0, 1]) {
    const { blocks } = await holds(model, feeds(on));
    expect(blocks.map(({ id, structures, uses }) => [id, structures, uses])).toEqual([['mlp.0', 12, 1]]);
  }
});

test('a node moves into the branch that alone reads it', () => {
  const model = either(
    (g, x) => g.op('Neg', [x]),
    (g, x) => g.op('Relu', [x]),
  );
  const flat = flatten(model);
  const count = flat.graph.nodes.length;
  const nested = nest(flat);
  const branching = nested.graph.nodes.find(({ opType }) => opType === 'If')!;
  const bodies = [...branching.attributes.values()].flatMap((one) =>
    one.kind === 'graph' ? [one.value] : [],
  );
  expect(bodies.map(({ nodes }) => nodes.map(({ opType }) => opType))).toEqual([['Neg'], ['Relu']]);
  expect(nested.graph.nodes.length).toBe(count - 2);
  // Asked for from outside, a branch's value is computed outside, and the branch hands it on.
  flat.graph.outputs.push({ name: bodies[0].outputs[0].name });
  const told = nest(flat);
  expect(told.graph.nodes.map(({ opType }) => opType).sort()).toEqual(['Add', 'If', 'Neg']);
  validateModel(told);
});

test('a merged decoder runs as it did', async () => {
  const { path, folder } = fixture('t5-optimum-merged');
  const model = await openModel(path);
  const given = readCase(folder).samples.map(({ inputs }) => tensorsOf(inputs));
  const nested = nest(flatten(model));
  validateModel(nested);
  const [want, got] = [await run(model, given), await run(nested, given)];
  for (const i of range(given.length)) expect(difference(want[i], got[i])).toBe(0);
});
