/**
 * Our training step against PyTorch's on the same model, batches and losses, in turns.
 *
 *   npx node bench/step.ts --checkpoint FOLDER [--model ../shared/models/minilm-sst2] [--batch 32] [--sequence 64]
 *                          [--rounds 5] [--steps 4] [--threads 2]
 *
 * FOLDER is what `bench/checkpoint.py` makes of the same model. A round is so many steps of each side, in an order that
 * turns around. Both are given the teacher's answers. Losses must agree step by step.
 * @module
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { markdownTable } from 'markdown-table';
import { type Batch, batches } from '../src/data/batch.ts';
import { readRows } from '../src/data/rows.ts';
import { encodeRows, openTokenizer } from '../src/data/tokenizer.ts';
import { openModel } from '../src/onnx/load.ts';
import { silent } from '../src/progress.ts';
import { median } from '../src/tensor/statistics.ts';
import { tensor } from '../src/tensor/tensor.ts';
import { hiddenStates } from '../src/train/hidden.ts';
import { inputsOf, type Losses } from '../src/train/losses.ts';
import { openTeacher } from '../src/train/teacher.ts';
import { defaultOptimiser, openTrainer, type StepReport, type TrainingBatch } from '../src/train/trainer.ts';
import { machineLines, python, spread } from './machine.ts';

const { values: flags } = parseArgs({
  options: {
    checkpoint: { type: 'string' },
    model: {
      type: 'string',
      default: fileURLToPath(new URL('../../shared/models/minilm-sst2', import.meta.url)),
    },
    batch: { type: 'string', default: '32' },
    sequence: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '5' },
    steps: { type: 'string', default: '4' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const [size, sequence, rounds, steps, threads] = [
  flags.batch,
  flags.sequence,
  flags.rounds,
  flags.steps,
  flags.threads,
].map(Number);
const losses: Losses = { task: 0.5, logit: 0.5, token: 0.5, temperature: 2, relative: true };
const rate = 1e-5;

interface Turn {
  readonly seconds: number;
  readonly cpu: number;
  readonly losses: readonly number[];
  /** Bytes. */
  readonly peak: number;
}

async function readBatches(): Promise<Batch[]> {
  const columns = { text: 'text', label: 'label', limit: size * steps };
  const read = await readRows(join(flags.model, 'train.jsonl'), columns, undefined);
  const tokenizer = await openTokenizer(flags.model);
  const rows = encodeRows(read, tokenizer, sequence, silent);
  const inputs = inputsOf(await openModel(join(flags.model, 'model.onnx')));
  return batches(rows, { inputs, padId: tokenizer.padId, batchSize: size, padTo: sequence, sort: false });
}

async function openOurs(given: readonly Batch[]) {
  const model = await openModel(join(flags.model, 'model.onnx'));
  const hidden = hiddenStates(model);
  const trained: TrainingBatch[] = [];
  {
    await using teacher = await openTeacher(
      { model, logits: true, hidden, rows: [], padId: 0, session: { threads } },
      silent,
    );
    for (const batch of given) {
      trained.push({
        feeds: batch.feeds,
        labels: tensor('int64', [size], BigInt64Array.from(batch.labels, BigInt)),
        counts: tensor('float32', [size], new Float32Array(size).fill(1)),
        mask: tensor('float32', [...batch.shape], Float32Array.from(batch.mask)),
        ...(await teacher.targets(batch)),
      });
    }
  }
  const schedule = { kind: 'constant', peak: rate, steps: 1, warmup: 0, final: 1 } as const;
  const trainer = await openTrainer({
    student: model,
    losses,
    hidden,
    optimiser: defaultOptimiser,
    schedule,
    accumulate: 1,
    threads,
  });
  return async (): Promise<Turn> => {
    const [begun, cpu] = [performance.now(), process.cpuUsage()];
    // One step a run, as `train` does on a CPU with a state of this size.
    const reports: StepReport[] = [];
    for (const batch of trained) reports.push(...(await trainer.step([batch])));
    const used = process.cpuUsage(cpu);
    return {
      seconds: (performance.now() - begun) / 1000,
      cpu: (used.user + used.system) / 1e6,
      losses: reports.map(({ loss }) => loss),
      peak: process.resourceUsage().maxRSS * 1024,
    };
  };
}

async function openPeer(given: readonly Batch[], work: string) {
  const file = join(work, 'batches.json');
  const plain = given.map(({ feeds, shape, labels, mask }) => ({
    shape,
    labels: [...labels],
    mask: [...mask],
    feeds: Object.fromEntries(
      Object.entries(feeds).map(([name, { data }]) => [name, Array.from(data, Number)]),
    ),
  }));
  writeFileSync(file, JSON.stringify({ losses, optimiser: defaultOptimiser, rate, batches: plain }));
  const script = fileURLToPath(new URL('step.py', import.meta.url));
  const child = spawn(python, [script, flags.checkpoint!, file, String(threads)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('bench: step.py ended');
    return value as string;
  };
  await line();
  return {
    async turn(): Promise<Turn> {
      child.stdin.write(`${steps}\n`);
      return JSON.parse(await line()) as Turn;
    },
    close: () => child.stdin.end(),
  };
}

if (flags.checkpoint === undefined) throw new Error('bench: give --checkpoint, made by bench/checkpoint.py');
const work = mkdtempSync(join(tmpdir(), 'ziplm-bench-'));
try {
  const machine = await machineLines();
  const given = await readBatches();
  const peer = await openPeer(given, work);
  const ours = await openOurs(given);
  const turns: Record<'ours' | 'PyTorch', Turn[]> = { ours: [], PyTorch: [] };
  for (let round = 0; round <= rounds; round++) {
    const order = round % 2 === 0 ? (['ours', 'PyTorch'] as const) : (['PyTorch', 'ours'] as const);
    for (const side of order) turns[side].push(side === 'ours' ? await ours() : await peer.turn());
    const [mine, theirs] = [turns.ours.at(-1)!, turns.PyTorch.at(-1)!];
    const apart = Math.max(...mine.losses.map((loss, i) => Math.abs(loss - theirs.losses[i])));
    console.error(
      `round ${round}${round === 0 ? ' (warm-up)' : ''}: ours ${mine.seconds.toFixed(2)} s, PyTorch ${theirs.seconds.toFixed(2)} s, losses differ by ${apart.toExponential(1)}`,
    );
  }
  peer.close();
  const counted = (side: 'ours' | 'PyTorch') => turns[side].slice(1);
  const row = (side: 'ours' | 'PyTorch') => [
    side,
    spread(
      counted(side).map(({ seconds }) => (1000 * seconds) / steps),
      0,
    ),
    spread(
      counted(side).map(({ cpu }) => (1000 * cpu) / steps),
      0,
    ),
    spread(counted(side).map(({ seconds }, i) => seconds / turns.ours[i + 1].seconds)),
    (Math.max(...turns[side].map(({ peak }) => peak)) / 1e9).toFixed(2),
  ];
  console.log(machine.join('\n\n'));
  console.log(
    `\nbatch ${size} × ${sequence}, ${rounds} rounds of ${steps} steps, ${threads} threads; median [range]\n`,
  );
  const header = ['side', 'step, ms', 'processor time, ms', 'time / ours', 'peak memory, GB'];
  console.log(markdownTable([header, row('ours'), row('PyTorch')], { align: ['l', 'r', 'r', 'r', 'r'] }));
  const ratio = median(counted('PyTorch').map(({ seconds }, i) => seconds / turns.ours[i + 1].seconds));
  const memory = turns.ours.at(-1)!.peak / turns.PyTorch.at(-1)!.peak;
  const say = (passed: boolean, what: string) => console.log(`- ${passed ? 'pass' : '**FAIL**'}: ${what}`);
  console.log();
  say(ratio >= 1, `a step takes ${(1 / ratio).toFixed(2)} of PyTorch's time (at most 1)`);
  say(memory <= 1.5, `memory is ${memory.toFixed(2)} of PyTorch's (at most 1.5)`);
  process.exit(0);
} finally {
  rmSync(work, { recursive: true, force: true });
}
