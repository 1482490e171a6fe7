import type { Config } from '../config.ts';
import type { Batch } from '../data/batch.ts';
import { klDivergence } from '../evaluate/losses.ts';
import type { Progress } from '../progress.ts';
import { openCandidates, transpose } from '../prune/candidates.ts';
import { type BlockLevels, buildLevels, openLevels } from '../prune/database.ts';
import { calibrate } from '../prune/hessian.ts';
import { openKernels } from '../prune/kernels.ts';
import { type LatencyTable, latencyTable, timeAt } from '../prune/latency.ts';
import { lossPriors, sampleCount } from '../prune/sensitivity.ts';
import { type Assignment, type Candidate, search } from '../prune/spdy.ts';
import { openSession } from '../runtime/session.ts';
import type { Analysis } from '../structure/analyse.ts';
import type { Block } from '../structure/block.ts';
import { random } from '../tensor/random.ts';
import { tensor } from '../tensor/tensor.ts';
import type { Ground } from './ground.ts';
import { type Dataset, type Machine, type OpenedModel, timingFeeds } from './job.ts';
import type { Stages } from './stages.ts';

/** What all steps share. */
export interface Work {
  readonly opened: OpenedModel;
  readonly analysis: Analysis;
  readonly machine: Machine;
  readonly config: Config;
  readonly stages: Stages;
  readonly progress: Progress;
}

/** The name of the dense model in rounds. */
export const DENSE = 'dense';
/** Times every block at every level, and the whole dense model. */
export function profileStep({
  opened,
  analysis,
  machine,
  config,
  stages,
  progress,
}: Work): Promise<LatencyTable> {
  const key = [machine.hardware.fingerprint, machine.session, opened.sha256, config.shape];
  return stages.json('profile', key, () =>
    latencyTable(opened.model, analysis, timingFeeds(opened, config), { ...machine.session, progress }),
  );
}

/** Moments of so many bytes are gathered in one pass over the calibration rows. */
const MOMENT_BYTES = 512 * 2 ** 20;

/** One OBS pass per block of the ground: the weights and the error of every level that is not wider than what is left. */
export async function databaseStep(
  work: Work,
  { model, analysis, sha256, left }: Ground,
  calibration: Dataset,
): Promise<BlockLevels[]> {
  const { machine, config, stages, progress } = work;
  const keyOf = (block: Block) => [
    sha256,
    block,
    calibration.sha256,
    config.damping,
    machine.session.provider,
  ];
  const nameOf = (block: Block) => `levels-${block.id}`;
  const missing = analysis.blocks.filter((block) => !stages.has(nameOf(block), keyOf(block)));
  const folders = new Map<string, string>();
  await using kernels = openKernels(machine.session);
  const initializer = (name: string) => model.graph.initializers.get(name)!.tensor();
  const batches = calibration.batches.map((batch) => ({ feeds: batch.feeds, mask: maskOf(batch) }));
  for (const chunk of chunked(missing, ({ consumer }) => consumer.cols ** 2 * 8, MOMENT_BYTES)) {
    const ids = chunk.map(({ id }) => id);
    const options = { ...machine.session, progress };
    const moments = await stages.timed('calibrate', () => calibrate(model, analysis, ids, batches, options));
    const task = progress.task('pruning blocks', chunk.length);
    for (const block of chunk) {
      const folder = await stages.folder(nameOf(block), keyOf(block), async (partial) => {
        const { weight, bias, axis, rows, cols } = block.consumer;
        const stored = initializer(weight).data as Float32Array;
        const wt = axis === 0 ? stored : transpose(stored, rows, cols);
        const own = moments.get(block.id)!;
        const given = bias === undefined ? undefined : (initializer(bias).data as Float32Array);
        const still = left?.[analysis.blocks.indexOf(block)];
        const used = await buildLevels(block, wt, given, own, config.damping, kernels, partial, still);
        if (used !== config.damping) {
          progress.warn(`${block.id}: the Hessian needed damping ${used} instead of ${config.damping}`);
        }
      });
      folders.set(block.id, folder);
      moments.delete(block.id);
      task.advance(1, block.id);
    }
    task.done();
  }
  for (const block of analysis.blocks) {
    if (folders.has(block.id)) continue;
    folders.set(block.id, await stages.folder(nameOf(block), keyOf(block), async () => {}));
  }
  return analysis.blocks.map(({ id }) => openLevels(folders.get(id)!));
}

function maskOf({ shape, mask }: Batch) {
  return tensor('float32', [...shape], Float32Array.from(mask));
}

function* chunked<T>(items: readonly T[], sizeOf: (item: T) => number, limit: number): Generator<T[]> {
  let chunk: T[] = [];
  let size = 0;
  for (const item of items) {
    if (chunk.length > 0 && size + sizeOf(item) > limit) {
      yield chunk;
      [chunk, size] = [[], 0];
    }
    chunk.push(item);
    size += sizeOf(item);
  }
  if (chunk.length > 0) yield chunk;
}

/** The calibration loss of candidates: KL(dense model ‖ candidate) of the classes, a row's mean. */
export interface Objective extends AsyncDisposable {
  /** @returns +∞ as soon as the loss is certain to exceed `bound` */
  loss(assignment: Assignment, bound?: number): Promise<number>;
  /** Priors of every block and level, see `search`. */
  readonly priors: readonly (readonly (readonly number[])[])[];
}

/**
 * Opens the session that all candidates share, and measures what the search starts from.
 * @param rows the calibration rows that candidates are judged by
 */
export async function openObjective(
  { opened, machine, stages, progress }: Work,
  { model, analysis, left }: Ground,
  databases: readonly BlockLevels[],
  rows: Dataset,
  key: unknown,
): Promise<Objective> {
  const output = opened.model.graph.outputs[0].name;
  const candidates = await openCandidates(model, analysis, databases, machine.session);
  const widest = databases.map(() => 0);
  const run = async (assignment: Assignment, { feeds }: Batch) => {
    const { data, shape } = await candidates.run(assignment, feeds, output);
    return { logits: data as Float32Array, classes: shape[1] };
  };
  const teacher =
    left === undefined
      ? await answersOf(rows, async (batch) => (await run(widest, batch)).logits)
      : await denseAnswers(opened, machine, rows, output);
  const count = rows.labels.length;
  const loss = async (assignment: Assignment, bound = Number.POSITIVE_INFINITY) => {
    let sum = 0;
    for (const [i, batch] of rows.batches.entries()) {
      const { logits, classes } = await run(assignment, batch);
      const size = batch.rows.length * classes; // without filler rows
      sum +=
        klDivergence(teacher[i].subarray(0, size), logits.subarray(0, size), classes) * batch.rows.length;
      if (sum > bound * count) return Number.POSITIVE_INFINITY;
    }
    return sum / count;
  };
  const levels = databases.map((database) => database.levels);
  const measured = await stages.json('sensitivity', [key, rows.sha256], async () => {
    const task = progress.task('measuring what each block is worth', sampleCount(levels));
    const priors = await lossPriors(levels, loss, () => task.advance());
    task.done();
    return priors;
  });
  const errors = levels.map((row) => row.map(({ error }) => error));
  return {
    loss,
    priors: [measured, errors],
    [Symbol.asyncDispose]: () => candidates[Symbol.asyncDispose](),
  };
}

/** The dense model's logits, when candidates begin at what is left of it. */
async function denseAnswers(
  { folder }: OpenedModel,
  machine: Machine,
  rows: Dataset,
  output: string,
): Promise<Float32Array[]> {
  await using session = await openSession(folder.modelFile, machine.session);
  return await answersOf(rows, async ({ feeds }) => {
    const found = await session.run(feeds, [output]);
    return found[output].data as Float32Array;
  });
}

async function answersOf(
  { batches }: Dataset,
  answer: (batch: Batch) => Promise<Float32Array>,
): Promise<Float32Array[]> {
  const answers: Float32Array[] = [];
  for (const batch of batches) answers.push(await answer(batch));
  return answers;
}

export interface Found extends Candidate {
  readonly assignment: Assignment;
  readonly loss: number;
  readonly evaluations: number;
}

/**
 * Searches the assignment whose predicted speedup is `goal`.
 * @returns null when none is that fast
 */
export function searchStep(
  { config, stages, progress, analysis }: Work,
  profile: LatencyTable,
  databases: readonly BlockLevels[],
  objective: Objective,
  key: unknown,
  { goal, steps, starts }: { goal: number; steps: number; starts: readonly Candidate[] },
): Promise<Found | null> {
  const times = analysis.blocks.map(({ id }, b) =>
    databases[b].levels.map(({ kept }) => timeAt(profile.entries, id, kept)),
  );
  const budget = profile.modelMs / goal - profile.fixedMs;
  const dependsOn = [key, times, budget, steps, starts, config.search];
  return stages.json(`search-${goal.toFixed(3)}`, dependsOn, async () => {
    const inits = Math.round(steps / 4);
    const task = progress.task(`searching for ${goal.toFixed(2)}×`, steps + starts.length);
    const found = await search(
      { priors: objective.priors, times, budget, starts, evaluate: objective.loss },
      { inits, steps: steps - inits },
      random(config.search.seed),
      (best) => task.advance(1, `loss ${best.toPrecision(3)}`),
    );
    task.done();
    return found ?? null;
  });
}
