import { expect, test } from 'vitest';
import { graphBuilder } from '../../src/onnx/build.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import { openSession } from '../../src/runtime/session.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { rateAt, rateNodes, type Schedule } from '../../src/train/schedule.ts';

const kinds = ['linear', 'cosine', 'constant'] as const;

test.each(kinds)('%s: the nodes give the numbers', async (kind) => {
  for (const [warmup, final] of [
    [0, 0],
    [7, 0.1],
  ]) {
    const schedule: Schedule = { kind, peak: 3e-4, steps: 40, warmup, final };
    const g = graphBuilder();
    g.output('rate', rateNodes(g, schedule, g.input('done', 'float32', [])), 'float32', []);
    await using session = await openSession(encodeModel(g.model({ opset: 14 })), { threads: 1 });
    for (let done = 0; done <= 45; done++) {
      const { rate } = await session.run({ done: tensor('float32', [], Float32Array.of(done)) });
      expect(Math.abs(Number(rate.data[0]) - rateAt(schedule, done))).toBeLessThan(1e-9);
    }
  }
});

test('rises from nothing to the peak, and falls to its last share', () => {
  const schedule: Schedule = { kind: 'linear', peak: 1, steps: 12, warmup: 2, final: 0.2 };
  const rates = Array.from({ length: 13 }, (_, done) => rateAt(schedule, done));
  expect(rates.slice(0, 3)).toEqual([0, 0.5, 1]);
  expect(rates[7]).toBeCloseTo(0.6);
  expect(rates[12]).toBeCloseTo(0.2);
  const cosine = { ...schedule, kind: 'cosine' as const };
  expect(rateAt(cosine, 7)).toBeCloseTo(0.6);
  expect(rateAt(cosine, 4)).toBeGreaterThan(rates[4]);
  expect(rateAt({ ...schedule, kind: 'constant' }, 12)).toBe(1);
});
