/**
 * From assignments to measured files: the model of each target, its rounds, its metric.
 * @module
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { type Classified, evaluateClassification } from '../evaluate/classification.ts';
import type { Model } from '../onnx/model.ts';
import { saveModel } from '../onnx/save.ts';
import type { BlockLevels, Level } from '../prune/database.ts';
import type { Assignment } from '../prune/spdy.ts';
import { measureRounds, type Round } from '../runtime/compare.ts';
import { openSession } from '../runtime/session.ts';
import { type Ground, refitted } from './ground.ts';
import { type Dataset, parametersOf, sha256Of, timingFeeds } from './job.ts';
import { DENSE, type Found, type Work } from './steps.ts';
import type { TrainingFacts } from './training.ts';
import { checkedCut } from './verify.ts';

/** A pruned model as a file. */
export interface Pruned {
  /** Where `model.onnx` lies. */
  readonly folder: string;
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly parameters: number;
  readonly maxAbsDiff: number;
  /** How it was recovered, where it was. */
  readonly training?: TrainingFacts;
}

/** A target's model with all that was found about it. */
export interface Member {
  readonly target: number;
  readonly pruned: Pruned;
  readonly found: Found;
  readonly predicted: number;
  readonly classified: Classified;
  /** Its folder in the output. */
  readonly folder: string;
  /** The level of each block. */
  readonly levels: readonly Level[];
  readonly evaluations: number;
  readonly turns: number;
}

const FACTS = 'facts.json';
const MODEL = 'model.onnx';

/** Of each fresh process: runs dropped, runs timed at least, and seconds timed at least. */
const PACE = { warmup: 2, runs: 5, minSeconds: 0.3 };

/** How many calibration batches the cut is checked on. */
const CHECKED_BATCHES = 3;

/** Cuts the assignment's model, checks it against the masked one, and writes it. */
export async function modelStep(
  { machine, stages }: Work,
  ground: Ground,
  databases: readonly BlockLevels[],
  key: unknown,
  assignment: Assignment,
  calibration: Dataset,
): Promise<Pruned> {
  const folder = await stages.folder('model', [key, assignment], async (partial) => {
    const { model: whole, removal } = refitted(ground, databases, assignment);
    const feeds = spread(calibration.batches, CHECKED_BATCHES).map((batch) => batch.feeds);
    const { model, maxAbsDiff } = await checkedCut(whole, ground.analysis, removal, feeds, machine.session);
    await writeModel(model, { maxAbsDiff }, partial);
  });
  return readModel(folder);
}

/** Writes a model with what is to be known of it. */
export async function writeModel(
  model: Model,
  found: Pick<Pruned, 'maxAbsDiff' | 'training'>,
  folder: string,
): Promise<void> {
  await saveModel(model, join(folder, MODEL));
  const sha256 = await sha256Of(join(folder, MODEL));
  const bytes = readdirSync(folder).reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);
  const facts = { sha256, bytes, parameters: parametersOf(model), ...found };
  writeFileSync(join(folder, FACTS), JSON.stringify(facts));
}

/** What `writeModel` wrote. */
export function readModel(folder: string): Pruned {
  return { folder, file: join(folder, MODEL), ...JSON.parse(readFileSync(join(folder, FACTS), 'utf8')) };
}

/** Items at even distances, the last included. */
function spread<T>(items: readonly T[], count: number): T[] {
  const picks = Array.from({ length: count }, (_, i) => Math.round(((i + 1) * items.length) / count) - 1);
  return [...new Set(picks)].filter((i) => i >= 0).map((i) => items[i]);
}

/** The name of a pruned model in rounds: files of equal content share it. */
export function nameInRounds({ sha256 }: Pruned): string {
  return sha256.slice(0, 12);
}

/** Rounds of fresh processes: the dense model and `models`, each once a round. */
export function measureStep(
  { opened, machine, config, stages, progress }: Work,
  models: readonly Pruned[],
  rounds: number,
  occasion: string,
): Promise<Round[]> {
  const distinct = [...new Map(models.map((model) => [nameInRounds(model), model])).values()];
  const key = [
    machine.hardware.fingerprint,
    machine.session,
    config.shape,
    opened.sha256,
    distinct.map(nameInRounds),
    rounds,
    occasion,
  ];
  return stages.json('rounds', key, () =>
    measureRounds(
      [
        { name: DENSE, file: opened.folder.modelFile },
        ...distinct.map((model) => ({ name: nameInRounds(model), file: model.file })),
      ],
      rounds,
      { ...machine.session, feeds: timingFeeds(opened, config), ...PACE, progress },
    ),
  );
}

/** The predictions of a model file on a data set. */
export async function predictStep(
  { opened, machine, stages, progress }: Pick<Work, 'opened' | 'machine' | 'stages' | 'progress'>,
  file: string,
  sha256: string,
  data: Dataset,
): Promise<Classified> {
  const stored = await stages.json(
    'predictions',
    [sha256, data.sha256, machine.session.provider],
    async () => {
      await using session = await openSession(file, machine.session);
      const classes = opened.folder.config?.labels?.length;
      const found = await evaluateClassification(session, data.batches, { classes, progress });
      return { logits: [...found.logits], predictions: [...found.predictions], classes: found.classes };
    },
  );
  return {
    predictions: Int32Array.from(stored.predictions),
    logits: Float32Array.from(stored.logits),
    labels: data.labels,
    classes: stored.classes,
  };
}

/**
 * Puts a finished model folder into the output: the pruned model with all that the dense folder had. The folder
 * appears whole or not at all.
 */
export function publish(pruned: Pruned, companions: readonly string[], output: string, name: string): void {
  const draft = join(output, '.work', `${name}.partial`);
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  for (const file of readdirSync(pruned.folder)) {
    if (file !== FACTS) copyFileSync(join(pruned.folder, file), join(draft, file));
  }
  for (const file of companions) copyFileSync(file, join(draft, basename(file)));
  const target = join(output, name);
  const old = join(output, '.work', `${name}.old.partial`);
  rmSync(old, { recursive: true, force: true });
  if (existsSync(target)) renameSync(target, old);
  renameSync(draft, target);
  rmSync(old, { recursive: true, force: true });
}
