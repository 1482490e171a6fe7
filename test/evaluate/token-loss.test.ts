import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { appendTokenLoss, tokenLoss, tokenLossModel } from '../../src/evaluate/token-loss.ts';
import { graphBuilder } from '../../src/onnx/build.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import { openSession } from '../../src/runtime/session.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { naiveTokenLoss } from '../reference/token-loss.ts';

const [b, s, vocabulary] = [2, 3, 7];

const batch = fc.record({
  logits: fc.array(fc.float({ min: -90, max: 90, noNaN: true }), {
    minLength: b * s * vocabulary,
    maxLength: b * s * vocabulary,
  }),
  labels: fc.array(fc.integer({ min: 0, max: vocabulary - 1 }), { minLength: b * s, maxLength: b * s }),
});

const labelTensor = (labels: readonly number[]) => tensor('int64', [b, s], BigInt64Array.from(labels, BigInt));

/** As the type holds the numbers, and what they are worth there. */
function held(type: 'float32' | 'float16', values: readonly number[]): { data: Tensor; worth: number[] } {
  const shape = [b, s, vocabulary];
  if (type === 'float32') {
    const data = Float32Array.from(values);
    return { data: tensor('float32', shape, data), worth: [...data] };
  }
  const half = Float16Array.from(values);
  return { data: tensor('float16', shape, new Uint16Array(half.buffer)), worth: [...half] };
}

describe('the loss of tokens', () => {
  test.each(['float32', 'float16'] as const)('is the naive one, of logits in %s', async (type) => {
    await using session = await openSession(encodeModel(tokenLossModel(type)), { threads: 1 });
    await fc.assert(
      fc.asyncProperty(batch, async ({ logits, labels }) => {
        const { data, worth } = held(type, logits);
        const found = await session.run({ logits: data, [tokenLoss.labels]: labelTensor(labels) });
        const losses = [...(found[tokenLoss.loss].data as Float32Array)];
        const expected = naiveTokenLoss(worth, labels);
        losses.forEach((loss, i) => {
          expect(Math.abs(loss - expected[i])).toBeLessThanOrEqual(1e-5 * Math.max(1, expected[i]));
        });
        const best = [...(found[tokenLoss.best].data as BigInt64Array)].map(Number);
        best.forEach((at, token) => {
          const row = worth.slice(token * vocabulary, (token + 1) * vocabulary);
          expect(row[at]).toBe(Math.max(...row));
        });
      }),
      { numRuns: 30 },
    );
  });

  test.each([11, 13, 17, 18, 21])('is appended to a model of operator set %i', async (opset) => {
    const g = graphBuilder();
    const x = g.input('x', 'float32', [b, s, vocabulary]);
    g.output('logits', g.op('Neg', [x]), 'float32', [b, s, vocabulary]);
    const model = g.model({ opset });
    appendTokenLoss(model, 'logits');
    await using session = await openSession(encodeModel(model), { threads: 1 });
    expect(session.outputs).toEqual(['logits', tokenLoss.loss]);
    const values = Float32Array.from({ length: b * s * vocabulary }, (_, i) => Math.sin(i) * 4);
    const labels = [0, 1, 2, 3, 4, 6];
    const feeds = { x: tensor('float32', [b, s, vocabulary], values), [tokenLoss.labels]: labelTensor(labels) };
    const { [tokenLoss.loss]: loss } = await session.run(feeds, [tokenLoss.loss]);
    const expected = naiveTokenLoss(values.map((value) => -value), labels);
    [...(loss.data as Float32Array)].forEach((one, i) => expect(one).toBeCloseTo(expected[i], 5));
  });

  test('needs operators that a model before set 11 does not have', () => {
    const g = graphBuilder();
    g.output('logits', g.op('Neg', [g.input('x', 'float32', [b, s, vocabulary])]));
    const model = g.model({ opset: 10 });
    expect(() => appendTokenLoss(model, 'logits')).toThrow(InputError);
    expect(() => appendTokenLoss(model, 'logits')).toThrow(/is 10, expected 11 or later/);
  });
});
