/**
 * Mode `report`: the records of other jobs, merged into one comment, one check and one summary. In a `workflow_run` job
 * it is the trusted half of a split for forks: records are data that is checked and drawn by our own code, and which
 * pull request they belong to is asked of GitHub.
 * @module
 */
import { globSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { InputError } from '../errors.ts';
import type { Run } from '../github/client.ts';
import { findPullRequest, type Head } from '../github/pull-request.ts';
import { baseRecords, downloadRecords, type FoundRecord, modelLinks } from '../github/records.ts';
import { readRecord } from '../record.ts';
import { isComparable } from '../report/base.ts';
import { type CommentOptions, commentVersions } from '../report/comment.ts';
import type { Ended, Means } from './benchmark.ts';
import { fieldOf, type Job, runUrl } from './job.ts';
import type { Log } from './log.ts';
import { outcomeOf, outputsOf } from './outcome.ts';
import { confined } from './paths.ts';
import { conclusionOf, openCheck, type Place, publish } from './publish.ts';

/** More files than that are no matrix. */
const MAX_RECORDS = 64;

interface Subject extends Place {
  readonly baseBranch: string | undefined;
  /** Whose artifacts are looked at: another run's, or this one's where it is left out. */
  readonly triggering?: Run;
}

export async function report({ github, job, inputs, log, onCheck }: Means): Promise<Ended> {
  log.chapter('Whose records these are');
  const subject = await subjectOf(github, job, log);
  const check = await openCheck(github, job, inputs, subject);
  await onCheck(check);

  log.chapter('Records');
  const found =
    inputs.records.length > 0
      ? await readFiles(inputs.records, job)
      : await download(inputs.artifactPrefix, subject.triggering);
  if (found.length === 0) {
    const where =
      inputs.records.length > 0
        ? `no file matches ${inputs.records.join(', ')}`
        : `no artifact's name begins with "${inputs.artifactPrefix}"`;
    throw new InputError(
      `action: there is nothing to report: ${where}. Let the jobs with mode benchmark end first (needs:).`,
    );
  }
  for (const { artifact, record } of found) {
    log.say(`${artifact}: ${record.name} on ${record.hardware.cpu}, ${record.targets.length} targets`);
  }

  log.chapter('Report');
  const records = found.map(({ record }) => record);
  const shown: CommentOptions = {
    title: inputs.title,
    artifacts: modelLinks(found, runUrl({ ...job, run: subject.run })),
    reportUrl: runUrl(job),
    ...(subject.baseBranch === undefined
      ? {}
      : {
          base: {
            branch: subject.baseBranch,
            records: await baseRecords(github, {
              branch: subject.baseBranch,
              records: found,
              comparable: isComparable,
            }),
          },
        }),
  };
  const commentUrl = await publish(github, job, inputs, subject, records, shown, log);
  const outcome = outcomeOf(records, maxDropOf(inputs.flags['max-drop']));
  await check.complete(conclusionOf(outcome, commentVersions(records, shown)));
  return { outcome, outputs: { ...outputsOf(records, outcome), 'comment-url': commentUrl ?? '' } };

  /** Unpacked in memory; the folder is for the packed files only. */
  async function download(prefix: string, triggering: Run | undefined): Promise<readonly FoundRecord[]> {
    const temporary = await mkdtemp(join(job.temporary, 'ziplm-records-'));
    try {
      const from = triggering === undefined ? {} : { runId: triggering.id };
      return await downloadRecords(github, { prefix, temporary, ...from });
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
}

/** What the records are about: by the event where it says so, by GitHub's word where it does not. */
async function subjectOf(github: Means['github'], job: Job, log: Log): Promise<Subject> {
  const { name, payload } = job.event;
  const text = (...path: string[]) => {
    const value = fieldOf(payload, ...path);
    return typeof value === 'string' ? value : undefined;
  };
  const number = (...path: string[]) => {
    const value = fieldOf(payload, ...path);
    return Number.isSafeInteger(value) ? (value as number) : undefined;
  };
  if (name !== 'workflow_run') {
    const headSha = text('pull_request', 'head', 'sha') ?? (job.sha || undefined);
    const pullRequest = number('pull_request', 'number');
    return { pullRequest, headSha, run: job.run, baseBranch: text('pull_request', 'base', 'ref') };
  }
  const triggering = {
    id: number('workflow_run', 'id'),
    attempt: number('workflow_run', 'run_attempt') ?? 1,
  };
  const head: Partial<Record<keyof Head, string>> = {
    sha: text('workflow_run', 'head_sha'),
    branch: text('workflow_run', 'head_branch'),
    repository: text('workflow_run', 'head_repository', 'full_name'),
  } as Partial<Record<keyof Head, string>>;
  if (triggering.id === undefined || head.sha === undefined || head.branch === undefined) {
    throw new InputError(
      'action: the event workflow_run names no run, expected its id, head_sha and head_branch. Start the job from that event.',
    );
  }
  const run = { id: triggering.id, attempt: triggering.attempt };
  const place = { headSha: head.sha, run, triggering: run };
  const cause = text('workflow_run', 'event');
  if (cause !== 'pull_request' && cause !== 'pull_request_target') {
    log.say(`The run was started by ${cause ?? 'something else'}, not by a pull request: no comment`);
    return { ...place, pullRequest: undefined, baseBranch: undefined };
  }
  const found = await findPullRequest(github, {
    sha: head.sha,
    branch: head.branch,
    repository: head.repository ?? job.repository,
  });
  if (found.kind === 'found') {
    return { ...place, pullRequest: found.number, baseBranch: found.baseBranch };
  }
  log.say(
    found.kind === 'moved'
      ? `Pull request ${found.number} has moved on since: no comment`
      : 'No open pull request has this commit as its head: no comment',
  );
  return { ...place, pullRequest: undefined, baseBranch: undefined };
}

/** Records that an earlier step laid into the workspace. */
async function readFiles(patterns: readonly string[], { workspace, temporary }: Job): Promise<FoundRecord[]> {
  const files = [...new Set(patterns.flatMap((pattern) => globSync(pattern, { cwd: workspace })))].sort();
  if (files.length > MAX_RECORDS) {
    throw new InputError(
      `action: the input records matches ${files.length} files, expected at most ${MAX_RECORDS}. Name fewer.`,
    );
  }
  const found: FoundRecord[] = [];
  for (const file of files) {
    const path = confined(resolve(workspace, file), 'the input records', [workspace, temporary]);
    found.push({ artifact: basename(file), record: await readRecord(path) });
  }
  return found;
}

function maxDropOf(written: string | undefined): number | undefined {
  if (written === undefined) return undefined;
  const value = Number(written);
  if (value >= 0 && value <= 1) return value;
  throw new InputError(
    `action: the input max-drop is ${JSON.stringify(written.slice(0, 60))}, expected a number from 0 to 1. Correct it in the workflow.`,
  );
}
