/**
 * Mode `benchmark`: prune and measure on this runner, and hand on what came of it. Each chapter is a group of the log.
 * @module
 */
import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Config, loadConfig, settings } from '../config.ts';
import { InputError } from '../errors.ts';
import { type Artifact, type ArtifactRequest, uploadArtifact } from '../github/artifact.ts';
import { restoreStages, saveStages } from '../github/cache.ts';
import type { GitHub } from '../github/client.ts';
import { baseRecords } from '../github/records.ts';
import { forkPolicy, type Trust } from '../github/trust.ts';
import { openMachine } from '../recipe/job.ts';
import { digest } from '../recipe/stages.ts';
import type { RunRecord } from '../record.ts';
import { isComparable } from '../report/base.ts';
import { type CommentOptions, commentVersions } from '../report/comment.ts';
import { writeReports } from '../reports.ts';
import { run } from '../ziplm.ts';
import type { Inputs } from './inputs.ts';
import type { Job } from './job.ts';
import type { Log } from './log.ts';
import { type Outcome, outcomeOf, outputsOf } from './outcome.ts';
import { confined, confinedTree } from './paths.ts';
import { prepareRuntime } from './prepare.ts';
import { conclusionOf, type OpenCheck, openCheck, publish } from './publish.ts';

/** What a mode came to: for the step's outputs, its end, and the log's last lines. */
export interface Ended {
  readonly outcome: Outcome;
  readonly outputs: Readonly<Record<string, string>>;
}

export interface Means {
  readonly github: GitHub;
  readonly job: Job;
  readonly inputs: Inputs;
  readonly log: Log;
  /** The action's own folder. */
  readonly own: string;
  /** Told of the check as soon as it is there, to end it should the job be cancelled. */
  readonly onCheck: (check: OpenCheck) => Promise<void>;
}

/**
 * @throws InputError for a fork's pull request that nobody has allowed, before anything of it is read
 */
export async function benchmark({ github, job, inputs, log, own, onCheck }: Means): Promise<Ended> {
  log.chapter('Whether this may run');
  const trust = await requireTrust(github, job, log);
  const place = {
    pullRequest: trust.pullRequest?.number,
    // A pull request's own commit, not the merge with its base that the job runs on.
    headSha: trust.headSha ?? (job.sha || undefined),
    run: job.run,
  };
  const check = await openCheck(github, job, inputs, place);
  await onCheck(check);

  log.chapter('Configuration');
  const config = confinedConfig(inputs, job);
  log.say(`The model is ${config.model}, the speedups are ${config.speedups.join(', ')}`);

  log.chapter('ONNX Runtime');
  await prepareRuntime(own, job, inputs, config.provider, log);

  log.chapter('The machine');
  const { hardware, conditions } = await openMachine(config, log);
  log.say(`${hardware.cpu}, ${hardware.cores} processors; ${hardware.gpus.join('; ') || 'no GPU'}`);
  if (config.provider === 'auto' && hardware.provider === 'cpu' && conditions.gpus !== undefined) {
    log.warn(
      `The model runs on the CPU although there is a GPU (${conditions.gpus[0]?.name}): see above for why. ` +
        'Give the input cuda-part, or say provider: cpu.',
    );
  }
  const stages = {
    folder: join(config.output, '.work'),
    fingerprint: hardware.fingerprint,
    key: digest([config]),
    temporary: job.temporary,
    warn: log.warn,
  };
  // What a checkout brought along could be anyone's, measurements included.
  await rm(stages.folder, { recursive: true, force: true });
  if (inputs.cache) log.say(`${await restoreStages(stages)} stages came from the cache`);

  log.chapter('Pruning and measuring');
  const record = await run(config, config.output, log);
  await writeReports([record], config.output);
  if (inputs.cache && !inputs.dryRun) await saveStages(stages);

  log.chapter('Handing on');
  const artifacts =
    inputs.artifacts && !inputs.dryRun ? await upload(github, job, inputs, config, record) : [];
  const base = await baseOf(github, trust, record, inputs);
  const models = artifacts.find(({ name }) => name.startsWith('ziplm-models'));
  const shown: CommentOptions = {
    title: inputs.title,
    ...(base === undefined ? {} : { base }),
    ...(models === undefined
      ? {}
      : {
          artifacts: new Map(record.targets.map(({ sha256 }) => [sha256, models.url])),
          reportUrl: models.url,
        }),
  };
  const commentUrl = await publish(github, job, inputs, place, [record], shown, log);
  const outcome = outcomeOf([record], config.maxDrop);
  await check.complete(conclusionOf(outcome, commentVersions([record], shown)));
  return {
    outcome,
    outputs: {
      ...outputsOf([record], outcome),
      output: config.output,
      record: join(config.output, 'run.json'),
      models: JSON.stringify(
        Object.fromEntries(record.targets.map(({ target, file }) => [target, join(config.output, file)])),
      ),
      'artifact-url': models?.url ?? '',
      'comment-url': commentUrl ?? '',
    },
  };
}

/**
 * Who asks, before anything that they wrote is read.
 * @throws InputError where nobody who may write here has allowed it
 */
export async function requireTrust(
  github: GitHub,
  { event }: Job,
  log: Log,
): Promise<Extract<Trust, { kind: 'trusted' }>> {
  const trust = await forkPolicy(github, event);
  if (trust.kind === 'refused') throw new InputError(trust.reason);
  log.say(
    trust.pullRequest === undefined
      ? `Event ${event.name}: no pull request`
      : `Event ${event.name}: pull request ${trust.pullRequest.number}${trust.pullRequest.isFork ? ', a fork, allowed by label' : ''}`,
  );
  return trust;
}

/**
 * The configuration, with every path in it in the workspace.
 * @throws InputError as `loadConfig`, and for a path that leads elsewhere
 */
export function confinedConfig({ config: file, flags }: Inputs, { workspace, temporary }: Job): Config {
  const folders = [workspace, temporary];
  confined(file ?? 'ziplm.yml', 'the input config', folders);
  const config = loadConfig(file, flags, workspace);
  confinedTree(config.model, 'model', folders);
  for (const { key, isPath } of settings) {
    const value = key.split('.').reduce<unknown>((at, name) => Object(at)[name], config);
    if (isPath && typeof value === 'string') confined(value, key, folders);
  }
  return config;
}

/** The record by itself, which `report` and later runs look for, and the models with their reports. */
async function upload(
  github: GitHub,
  { serverUrl, run: { id: runId } }: Job,
  { retentionDays, artifactPrefix }: Inputs,
  { output }: Config,
  record: RunRecord,
): Promise<Artifact[]> {
  const suffix = artifactSuffix(record);
  const reports = ['run.json', 'report.md', 'report.html'].map((name) => join(output, name));
  const models = record.targets.flatMap(({ file }) => filesBelow(join(output, dirname(file))));
  const requests: Pick<ArtifactRequest, 'name' | 'files'>[] = [
    { name: `${artifactPrefix}-${suffix}`, files: reports },
    { name: `ziplm-models-${suffix}`, files: [...reports, ...models] },
  ];
  const uploaded: Artifact[] = [];
  for (const { name, files } of requests) {
    const artifact = await uploadArtifact(github, {
      name,
      files,
      root: output,
      serverUrl,
      runId,
      ...(retentionDays === undefined ? {} : { retentionDays }),
    });
    if (artifact !== undefined) uploaded.push(artifact);
  }
  return uploaded;
}

/** The same in every run of the same measurement, and another for every other one of a matrix. */
export function artifactSuffix(record: RunRecord): string {
  const { name, hardware, provider, threads, shape, dense, targets } = record;
  const readable = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);
  const speedups = targets.map(({ target }) => target);
  const told = digest([name, hardware.fingerprint, provider, threads, shape, dense.metric.name, speedups]);
  return `${readable || 'model'}-${told.slice(0, 10)}`;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
}

/** The record of the branch that the pull request goes to. */
async function baseOf(
  github: GitHub,
  { pullRequest }: { readonly pullRequest: { readonly baseBranch: string } | undefined },
  record: RunRecord,
  { artifactPrefix }: Inputs,
): Promise<CommentOptions['base'] | undefined> {
  if (pullRequest === undefined) return undefined;
  const artifact = `${artifactPrefix}-${artifactSuffix(record)}`;
  const records = await baseRecords(github, {
    branch: pullRequest.baseBranch,
    records: [{ artifact, record }],
    comparable: isComparable,
  });
  return { branch: pullRequest.baseBranch, records };
}
