/** What `inspect --graph` draws: every step between a block's matrices, once, and nothing else. */
import { describe, expect, test } from 'vitest';
import { openModel } from '../../src/onnx/load.ts';
import { type Analysis, analyse } from '../../src/structure/analyse.ts';
import { draw, type Lane, type Step } from '../../src/structure/explain.ts';
import { cases } from '../onnx/fixtures.ts';
import { around, heads } from './residual.ts';

const stepsOf = ({ steps, from }: Lane): Step[] => [...steps, ...from.flatMap(stepsOf)];
const endsOf = ({ end, from }: Lane): string[] => [...(end ? [end.name] : []), ...from.flatMap(endsOf)];
const isCut = (axes: readonly string[]) => axes.some((one) => one.includes('*'));

/** The tensors that the analysis says are cut with a block. */
const tensorsOf = ({ blocks }: Analysis, id: string) => {
  const { producers, consumer, coupled } = blocks.find((block) => block.id === id)!;
  return { nodes: [...producers.map(({ node }) => node), consumer.node], coupled: coupled.length };
};

describe.each(cases)('$name', ({ path }) => {
  test('has each block from its consuming matrix to all of its producers', async () => {
    const model = await openModel(path);
    const analysis = analyse(model);
    for (const { id, uses } of analysis.blocks) {
      const lane = draw(model, analysis, id);
      const steps = stepsOf(lane);
      const consumers = analysis.sites.get(id)!.consumers.map((one) => one.node.outputs[0]);
      const made = steps.map(({ makes }) => makes.name);
      expect(new Set(made).size).toBe(made.length);
      for (const { makes } of steps) expect(isCut(makes.axes)).toBe(!consumers.includes(makes.name));
      const { nodes, coupled } = tensorsOf(analysis, id);
      const drawn = steps.map(({ node }) => node);
      // A matrix that serves several layers is drawn where it serves the first.
      for (const node of uses > 1 ? nodes.slice(-1) : nodes) expect(drawn).toContain(node);
      const cutOperands = steps.flatMap(({ reads }) => reads.filter(({ axes }) => isCut(axes)));
      if (uses === 1) expect(cutOperands.length).toBeLessThan(nodes.length + consumers.length + coupled);
      // A lane goes on in a step of another lane, or in what the model is given.
      const given = model.graph.inputs.map(({ name }) => name);
      for (const end of endsOf(lane)) expect([...drawn, ...given]).toContain(end);
    }
  });
});

test('axes are told by their parts: named, counted, side by side, and with what is cut', () => {
  const { model } = around(({ g, x, weight }) => {
    const [q, k, v] = g.ops(
      'Split',
      [g.op('MatMul', [x, weight(8, 36)]), g.ints(12, 12, 12)],
      { axis: -1 },
      3,
    );
    const scores = g.op('MatMul', [
      heads(g, q, 4),
      g.op('Transpose', [heads(g, k, 4)], { perm: [0, 1, 3, 2] }),
    ]);
    const biased = g.op('Add', [scores, weight(4, 1, 1)]);
    const context = g.op('MatMul', [g.op('Softmax', [biased], { axis: -1 }), heads(g, v, 4)]);
    const merged = g.op('Reshape', [g.op('Transpose', [context], { perm: [0, 2, 1, 3] }), g.ints(0, 0, 12)]);
    return g.op('MatMul', [merged, weight(12, 8)]);
  });
  const steps = new Map(
    stepsOf(draw(model, analyse(model), 'attention.0')).map((one) => [one.opType, one] as const),
  );
  expect(steps.get('Softmax')!.makes.axes).toEqual(['batch', '4*', 'sequence', 'sequence']);
  expect(steps.get('Add')!.reads).toEqual([{ name: 'weight_3', axes: ['4*', '1', '1'] }]);
  expect(steps.get('Split')!.makes.axes).toEqual(['batch', 'sequence', '4*·3']);
  // The packed matrix, and what it reads from outside of the block.
  const packed = steps.get('MatMul')!;
  expect(packed.makes.axes).toEqual(['batch', 'sequence', '(4*·3 + 4*·3 + 4*·3)']);
  expect(packed.reads).toEqual([
    { name: 'LayerNormalization', axes: ['batch', 'sequence', '8'] },
    { name: 'weight_2', axes: ['8', '(4*·3 + 4*·3 + 4*·3)'] },
  ]);
});
