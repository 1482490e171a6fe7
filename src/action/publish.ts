/**
 * What people see of records on GitHub: the comment, the check and the summary. Each can fail by itself; what
 * failed has been warned of, and costs nothing else.
 * @module
 */
import { beginCheck, type Conclusion, completeCheck } from '../github/check.ts';
import type { GitHub, Run } from '../github/client.ts';
import { upsertComment } from '../github/comment.ts';
import { writeSummary } from '../github/summary.ts';
import type { RunRecord } from '../record.ts';
import { type CommentOptions, commentVersions } from '../report/comment.ts';
import { renderMarkdown } from '../report/markdown.ts';
import type { Inputs } from './inputs.ts';
import { type Job, runUrl } from './job.ts';
import type { Log } from './log.ts';
import type { Outcome } from './outcome.ts';

/** Where something is to be shown. */
export interface Place {
  readonly pullRequest: number | undefined;
  readonly headSha: string | undefined;
  /** The run whose results these are. */
  readonly run: Run;
}

/** The check of a job that is under way; it does nothing where no check is wanted or may be made. */
export interface OpenCheck {
  readonly id: number | undefined;
  complete(end: Conclusion): Promise<void>;
}

/** Begins the check on the head commit, so that an earlier result no longer stands there. */
export async function openCheck(
  github: GitHub,
  job: Job,
  { title, check, dryRun }: Inputs,
  { headSha, run }: Place,
): Promise<OpenCheck> {
  const isWanted = check && !dryRun && headSha !== undefined;
  const id = isWanted
    ? await beginCheck(github, { name: title, headSha, run, detailsUrl: runUrl(job) })
    : undefined;
  return {
    id,
    async complete(end) {
      if (id !== undefined) await completeCheck(github, id, end);
    },
  };
}

/** How the check of these results ends. */
export function conclusionOf({ result, failures, doubts }: Outcome, summaries: Iterable<string>): Conclusion {
  const [said] = [...failures, ...doubts];
  return {
    conclusion: result === 'met' ? 'success' : result === 'missed' ? 'failure' : 'neutral',
    title: said ?? 'All targets are met.',
    summaries,
  };
}

/**
 * Shows the records everywhere that is wanted; a dry run prints the comment instead.
 * @returns the comment's address, where there is one
 */
export async function publish(
  github: GitHub,
  job: Job,
  inputs: Inputs,
  place: Place,
  records: readonly RunRecord[],
  shown: CommentOptions,
  log: Log,
): Promise<string | undefined> {
  const bodies = () => commentVersions(records, shown);
  if (inputs.summary && job.summaryFile !== undefined) {
    await writeSummary(job.summaryFile, summaries(records, bodies()));
  }
  if (inputs.dryRun) {
    const [comment] = bodies();
    log.show('The comment, which a dry run does not post', comment);
    return undefined;
  }
  if (!inputs.comment || place.pullRequest === undefined) return undefined;
  const result = await upsertComment(github, {
    pullRequest: place.pullRequest,
    title: inputs.title,
    run: place.run,
    bodies: bodies(),
    ...(inputs.commentAuthor === undefined ? {} : { author: inputs.commentAuthor }),
  });
  if (result !== undefined) log.say(`The comment is ${result.kind}: ${result.url}`);
  return result?.url;
}

/** The whole report, and should it not fit, the comment. */
function* summaries(records: readonly RunRecord[], bodies: Iterable<string>): Generator<string> {
  yield renderMarkdown(records);
  yield* bodies;
}
