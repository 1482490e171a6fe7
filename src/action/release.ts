/**
 * Mode `release`: the family that a benchmark of the same job left in the output folder, as assets of a release. Only a
 * family whose every target is met is released.
 * @module
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InputError } from '../errors.ts';
import { packFolder } from '../github/archive.ts';
import { publishRelease } from '../github/release.ts';
import { sha256Of } from '../recipe/job.ts';
import { type RunRecord, readRecord } from '../record.ts';
import { commentVersions } from '../report/comment.ts';
import { writeReports } from '../reports.ts';
import { artifactSuffix, confinedConfig, type Ended, type Means, requireTrust } from './benchmark.ts';
import type { Inputs } from './inputs.ts';
import type { Job } from './job.ts';
import { outcomeOf, outputsOf } from './outcome.ts';
import { publish } from './publish.ts';

export async function release({ github, job, inputs, log }: Means): Promise<Ended> {
  log.chapter('Whether this may run');
  const trust = await requireTrust(github, job, log);

  log.chapter('The family');
  const { output, maxDrop } = confinedConfig(inputs, job);
  const record = await readFamily(output);
  const outcome = outcomeOf([record], maxDrop);
  const outputs = { ...outputsOf([record], outcome), output, record: join(output, 'run.json') };
  const place = { pullRequest: undefined, headSha: trust.headSha, run: job.run };
  const shown = { title: inputs.title };
  await publish(github, job, { ...inputs, comment: false }, place, [record], shown, log);
  if (outcome.result !== 'met') {
    log.error(`Nothing is released: the result is ${outcome.result}, expected met.`);
    const failures = [...outcome.failures, ...outcome.doubts];
    return { outcome: { ...outcome, failures }, outputs };
  }

  log.chapter('The release');
  const tag = tagOf(inputs, job);
  if (inputs.dryRun) {
    log.say(`A dry run: ${record.targets.length} models would be attached to ${tag}`);
    return { outcome, outputs };
  }
  const temporary = await mkdtemp(join(job.temporary, 'ziplm-release-'));
  try {
    const files = await archives(record, output, temporary);
    log.say(`${files.length} files are attached to ${tag}`);
    const published = await publishRelease(github, {
      tag,
      name: `${inputs.title} ${tag}`,
      notes: commentVersions([record], shown),
      prerelease: inputs.prerelease,
      files,
      temporary,
      ...(job.sha === '' ? {} : { commit: job.sha }),
    });
    return { outcome, outputs: { ...outputs, 'release-url': published?.url ?? '' } };
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/**
 * The record of an output folder, whose models are those that it was made of.
 * @throws InputError where one is missing or another
 */
async function readFamily(output: string): Promise<RunRecord> {
  const file = join(output, 'run.json');
  if (!existsSync(file)) {
    throw new InputError(
      `action: there is no ${file} to release. Let a step with mode benchmark run before, with the same output.`,
    );
  }
  const record = await readRecord(file);
  for (const { file: model, sha256, target } of record.targets) {
    const path = join(output, model);
    const sum = existsSync(path) ? await sha256Of(path) : 'nothing';
    if (sum === sha256) continue;
    throw new InputError(
      `action: ${path} has the SHA-256 ${sum}, expected ${sha256}, as ${file} says of ${target}×. Run the benchmark again.`,
    );
  }
  return record;
}

/** An archive for each target, and the record with its reports, under names that tell families apart. */
async function archives(record: RunRecord, output: string, temporary: string): Promise<string[]> {
  const name = artifactSuffix(record).replace(/-[0-9a-f]+$/, '');
  const files: string[] = [];
  for (const { target, file } of record.targets) {
    const folder = `${name}-${target}x`;
    const archive = join(temporary, `${folder}.tar.gz`);
    await packFolder(join(output, dirname(file)), folder, archive);
    files.push(archive);
  }
  await writeReports([record], output);
  return [...files, ...['run.json', 'report.md', 'report.html'].map((document) => join(output, document))];
}

function tagOf({ releaseTag }: Inputs, { ref }: Job): string {
  const tag = releaseTag ?? /^refs\/tags\/(.+)$/.exec(ref)?.[1];
  if (tag !== undefined) return tag;
  throw new InputError(
    `action: there is no tag to release: the workflow runs for "${ref}". Start it from a release or a tag, or give the input release-tag.`,
  );
}
