/** Twenty steps against PyTorch's from the same state (`scripts/make-training.py`). */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { silent } from '../../src/progress.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import type { AdamW } from '../../src/train/adamw.ts';
import { hiddenStates } from '../../src/train/hidden.ts';
import type { Losses } from '../../src/train/losses.ts';
import { openTeacher } from '../../src/train/teacher.ts';
import { openTrainer, type TrainingBatch, withWeights } from '../../src/train/trainer.ts';
import { encoder } from '../models/encoder.ts';

interface Packed {
  readonly [name: string]: { readonly shape: readonly number[]; readonly data: string };
}
interface Side {
  readonly heads: number;
  readonly intermediate: number;
  readonly weights: Packed;
}
interface Document {
  readonly size: Readonly<
    Record<'layers' | 'hidden' | 'headDim' | 'vocabulary' | 'positions' | 'classes', number>
  >;
  readonly teacher: Side;
  readonly student: Side;
  readonly shape: readonly [number, number];
  readonly peak: number;
  readonly warmup: number;
  readonly steps: number;
  readonly optimiser: AdamW;
  readonly batches: readonly Readonly<Record<'ids' | 'mask' | 'labels', readonly number[]>>[];
  readonly cases: readonly {
    readonly name: string;
    readonly accumulate: number;
    readonly schedule: 'linear' | 'cosine';
    readonly losses: Losses;
    readonly curve: readonly Readonly<
      Record<'loss' | 'task' | 'logit' | 'token' | 'norm' | 'rate', number>
    >[];
    readonly weights: Packed;
  }[];
}

const document = JSON.parse(readFileSync(new URL('pytorch.jsonl', import.meta.url), 'utf8')) as Document;

function unpacked(packed: Packed): Map<string, Tensor<'float32'>> {
  return new Map(
    Object.entries(packed).map(([name, { shape, data }]) => {
      const bytes = Uint8Array.from(Buffer.from(data, 'base64'));
      return [name, tensor('float32', shape, new Float32Array(bytes.buffer))];
    }),
  );
}

const modelOf = ({ heads, intermediate, weights }: Side) =>
  withWeights(encoder({ ...document.size, heads, intermediate }), unpacked(weights));
const ints = (shape: readonly number[], values: readonly number[]) =>
  tensor('int64', shape, BigInt64Array.from(values, BigInt));

const { shape, steps } = document;
const [b, s] = shape;
const teacher = modelOf(document.teacher);
const hidden = hiddenStates(teacher);

async function batchesOf(): Promise<TrainingBatch[]> {
  await using said = await openTeacher(
    { model: teacher, logits: true, hidden, rows: [], padId: 0, session: { threads: 1 } },
    silent,
  );
  const batches: TrainingBatch[] = [];
  for (const { ids, mask, labels } of document.batches) {
    const feeds = { input_ids: ints(shape, ids), attention_mask: ints(shape, mask) };
    const there = Uint8Array.from(mask);
    const batch = { feeds, shape, rows: [], labels: Int32Array.from(labels), mask: there, tokens: 0 };
    batches.push({
      feeds,
      labels: ints([b], labels),
      counts: tensor('float32', [b], new Float32Array(b).fill(1)),
      mask: tensor('float32', [b, s], Float32Array.from(mask)),
      ...(await said.targets(batch)),
    });
  }
  return batches;
}

describe.each(document.cases)('$name', ({ accumulate, schedule: kind, losses, curve, weights }) => {
  const { peak, warmup, optimiser } = document;
  const trained = (async () => {
    await using trainer = await openTrainer({
      student: modelOf(document.student),
      losses,
      hidden,
      optimiser,
      schedule: { kind, peak, warmup, steps, final: 0 },
      accumulate,
      threads: 1,
    });
    const batches = (await batchesOf()).slice(0, steps * accumulate);
    return { reports: await trainer.step(batches), weights: trainer.weights() };
  })();

  test('every step’s losses, norm and rate agree', async () => {
    const { reports } = await trained;
    expect(reports).toHaveLength(steps);
    for (const [i, { loss, parts, norm, rate }] of reports.entries()) {
      const found = { loss, ...parts, norm, rate };
      for (const [name, value] of Object.entries(curve[i])) {
        expect(Math.abs(found[name as 'loss'] - value), `${name} of step ${i + 1}`).toBeLessThan(1e-5);
      }
    }
  });

  test('the weights agree after twenty steps', async () => {
    const found = (await trained).weights;
    const expected = unpacked(weights);
    expect([...found.keys()].toSorted()).toEqual([...expected.keys()].toSorted());
    for (const [name, { data }] of expected) {
      // A key's bias shifts all of a query's scores alike: its gradient is 0 but for rounding, which Adam scales up.
      if (name.endsWith('key.bias')) continue;
      const got = found.get(name)!.data;
      data.forEach((value, i) => {
        expect(Math.abs(Number(got[i]) - value), `${name}[${i}]`).toBeLessThan(1e-5);
      });
    }
  });
});
