/**
 * The first steps of a run: what they share, and the database.
 * @module
 */
import type { Progress } from '../progress.ts';
import { transpose } from '../prune/candidates.ts';
import { type BlockLevels, buildLevels, openLevels } from '../prune/database.ts';
import { buildFromDomains, type DomainFacts, openFacts } from '../prune/domains/build.ts';
import { calibrate } from '../prune/hessian.ts';
import { openKernels } from '../prune/kernels.ts';
import type { Analysis } from '../structure/analyse.ts';
import type { Block } from '../structure/block.ts';
import { tensor } from '../tensor/tensor.ts';
import type { Calibration } from './calibration.ts';
import type { Ground } from './ground.ts';
import type { Machine, OpenedModel } from './job.ts';
import type { Stages } from './stages.ts';
import type { TaskBatch, TaskConfig } from './tasks/task.ts';

/** What all steps share. */
export interface Work {
  readonly opened: OpenedModel;
  readonly analysis: Analysis;
  readonly machine: Machine;
  readonly config: TaskConfig;
  readonly stages: Stages;
  readonly progress: Progress;
}

/** The name of the dense model in rounds. */
export const DENSE = 'dense';

/** One OBS pass per block of the ground: the weights and the error of every level that is not wider than what is left. */
export async function databaseStep(
  work: Work,
  { model, analysis, sha256, left }: Ground,
  calibration: Calibration,
): Promise<GroundLevels[]> {
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
  const ids = missing.map(({ id }) => id);
  const options = { ...machine.session, progress };
  const gathered = calibration.domains.map(({ rows }) => {
    const batches = rows.batches.map((batch) => ({ feeds: batch.feeds, mask: maskOf(batch) }));
    return calibrate(model, analysis, ids, batches, options);
  });
  for await (const moments of timedEach(stages, 'calibrate', together(gathered))) {
    const blocks = missing.filter(({ id }) => moments[0].has(id));
    const task = progress.task('pruning blocks', blocks.length);
    for (const block of blocks) {
      const folder = await stages.folder(nameOf(block), keyOf(block), async (partial) => {
        const { weight, bias, axis, rows, cols } = block.consumer;
        const stored = initializer(weight).data as Float32Array;
        const wt = axis === 0 ? stored : transpose(stored, rows, cols);
        const domains = moments.map((domain) => domain.get(block.id)!);
        const given = bias === undefined ? undefined : (initializer(bias).data as Float32Array);
        const still = left?.[analysis.blocks.indexOf(block)];
        const { combine } = config.calibration;
        const used =
          domains.length === 1
            ? await buildLevels(block, wt, given, domains[0], config.damping, kernels, partial, still)
            : await buildFromDomains(
                block,
                wt,
                given,
                domains,
                combine,
                config.damping,
                kernels,
                partial,
                still,
              );
        if (used !== config.damping) {
          progress.warn(`${block.id}: the Hessian needed damping ${used} instead of ${config.damping}`);
        }
      });
      folders.set(block.id, folder);
      for (const domain of moments) domain.delete(block.id);
      task.advance(1, block.id);
    }
    task.done();
  }
  for (const block of analysis.blocks) {
    if (folders.has(block.id)) continue;
    folders.set(block.id, await stages.folder(nameOf(block), keyOf(block), async () => {}));
  }
  return analysis.blocks.map(({ id }) => {
    const facts = openFacts(folders.get(id)!);
    return { ...openLevels(folders.get(id)!), ...(facts && { facts }) };
  });
}

/** The levels of a block, and what the domains of calibration say of them where there are several. */
export interface GroundLevels extends BlockLevels {
  readonly facts?: DomainFacts;
}

/** The items of several generators that go in step. */
async function* together<T>(generators: readonly AsyncGenerator<T>[]): AsyncGenerator<T[]> {
  try {
    for (;;) {
      const items: T[] = [];
      for (const generator of generators) {
        const { value, done } = await generator.next();
        if (done) return;
        items.push(value);
      }
      yield items;
    }
  } finally {
    for (const generator of generators) await generator.return(undefined);
  }
}

function maskOf({ shape, mask }: TaskBatch) {
  return tensor('float32', [...shape], Float32Array.from(mask));
}

/** The same items; the time of making each is the chapter's. */
async function* timedEach<T>(stages: Stages, chapter: string, items: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    for (;;) {
      const { value, done } = await stages.timed(chapter, () => items.next());
      if (done) return;
      yield value;
    }
  } finally {
    await items.return(undefined);
  }
}
