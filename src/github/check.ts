/**
 * The check run: in progress from the start, completed whatever happens, on the head commit of the pull request.
 *
 * A new one is made for each run: GitHub shows the latest of a name, so a re-run's check clears what stood there.
 * @module
 */
import { createOnce, type GitHub, type Run } from './client.ts';
import { firstAccepted } from './comment.ts';
import { orWarn } from './permission.ts';

export interface CheckRequest {
  /** Branch protection matches by name: keep it the same from run to run. */
  readonly name: string;
  /** `pull_request.head.sha`, never the merge commit that GITHUB_SHA is. */
  readonly headSha: string;
  readonly run: Run;
  readonly detailsUrl?: string;
}

export interface Conclusion {
  /** `neutral`: inconclusive. */
  readonly conclusion: 'success' | 'failure' | 'neutral' | 'cancelled';
  readonly title: string;
  /** From whole to shortest; the first that fits is shown. */
  readonly summaries: Iterable<string>;
  readonly annotations?: readonly Annotation[];
}

export interface Annotation {
  /** A file of the repository, and a line of it: as a rule ziplm.yml's `speedups`. */
  readonly path: string;
  readonly line: number;
  readonly level: 'notice' | 'warning' | 'failure';
  readonly message: string;
}

/** GitHub's limits: of the summary, and of annotations in one call. */
const MAX_SUMMARY = 65_535;
const MAX_ANNOTATIONS = 50;
const CHECK = { what: 'the check', permission: 'checks: write' } as const;

/** @returns the check's id, to keep for `completeCheck`; undefined when it may not be made, which has been warned of */
export function beginCheck(github: GitHub, request: CheckRequest): Promise<number | undefined> {
  const { owner, repo, api, paginate } = github;
  const { name, headSha, run, detailsUrl } = request;
  const externalId = `ziplm ${run.id}.${run.attempt}`;
  const post = async () => {
    const { data } = await api.checks.create({
      owner,
      repo,
      name,
      head_sha: headSha,
      status: 'in_progress',
      external_id: externalId,
      ...(detailsUrl === undefined ? {} : { details_url: detailsUrl }),
      output: { title: 'Pruning and measuring', summary: 'The result will be here when the run ends.' },
    });
    return data.id;
  };
  const lookUp = async () => {
    const options = { owner, repo, ref: headSha, check_name: name, per_page: 100 };
    const checks = await paginate(api.checks.listForRef, options);
    return checks.find((check) => check.external_id === externalId)?.id;
  };
  return orWarn(github, CHECK, () => createOnce(github, post, lookUp));
}

/** Completes a check; one that is completed already is given the new conclusion. */
export async function completeCheck(github: GitHub, id: number, end: Conclusion): Promise<void> {
  await orWarn(github, CHECK, async () => {
    const { owner, repo, api } = github;
    const annotations = (end.annotations ?? []).map((a) => ({
      path: a.path,
      start_line: a.line,
      end_line: a.line,
      annotation_level: a.level,
      message: a.message,
    }));
    const update = (summary: string, from: number) =>
      api.checks.update({
        owner,
        repo,
        check_run_id: id,
        status: 'completed',
        conclusion: end.conclusion,
        output: {
          title: end.title,
          summary,
          annotations: annotations.slice(from, from + MAX_ANNOTATIONS),
        },
      });
    await firstAccepted(end.summaries, MAX_SUMMARY, async (summary) => {
      await update(summary, 0);
      for (let from = MAX_ANNOTATIONS; from < annotations.length; from += MAX_ANNOTATIONS) {
        await update(summary, from);
      }
    });
  });
}

/** For the step that runs even when the job was cancelled: ends the check only if nothing else has. */
export async function abandonCheck(github: GitHub, id: number): Promise<void> {
  const { owner, repo, api } = github;
  const state = await orWarn(github, CHECK, () => api.checks.get({ owner, repo, check_run_id: id }));
  if (state === undefined || state.data.status === 'completed') return;
  await completeCheck(github, id, {
    conclusion: 'cancelled',
    title: 'Stopped before the end',
    summaries: ['The job was cancelled, timed out, or crashed: nothing was concluded. Its log says more.'],
  });
}
