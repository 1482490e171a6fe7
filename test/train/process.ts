/**
 * A training in a process of its own, to be killed: `node process.ts CHECKPOINT`. A line for each step; the last one is
 * a digest of the weights.
 */
import { createHash } from 'node:crypto';
import { silent } from '../../src/progress.ts';
import { train } from '../../src/train/train.ts';
import { defaultOptimiser } from '../../src/train/trainer.ts';
import { encoder } from '../models/encoder.ts';
import { rowsOf } from './rows.ts';

const { model } = await train(
  {
    student: encoder({ layers: 2 }),
    losses: { task: 1, logit: 0, token: 0, temperature: 1, relative: false },
    optimiser: defaultOptimiser,
    schedule: { kind: 'cosine', peak: 5e-3, warmup: 0.1, final: 0 },
    rows: rowsOf(160, 3),
    padId: 0,
    epochs: 4,
    batch: 16,
    seed: 1,
    threads: 1,
    stepsPerRun: 1,
    checkpoint: { file: process.argv[2], everySteps: 1 },
  },
  {
    ...silent,
    task: () => ({
      advance: (by = 1) => console.log(`steps ${by}`),
      done() {},
    }),
  },
);
const hash = createHash('sha256');
for (const stored of model.graph.initializers.values()) hash.update(stored.tensor().data);
console.log(`weights ${hash.digest('hex')}`);
