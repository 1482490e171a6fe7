/**
 * The job that the action runs in, as the runner tells it by variables and by the event's file.
 * @module
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { context } from '@actions/github';
import { InputError } from '../errors.ts';
import type { Run } from '../github/client.ts';
import type { Event } from '../github/trust.ts';

export interface Job {
  readonly event: Event;
  readonly run: Run;
  /** owner/name */
  readonly repository: string;
  readonly apiUrl: string;
  readonly serverUrl: string;
  /** `refs/tags/v1.2.3` */
  readonly ref: string;
  readonly sha: string;
  readonly workspace: string;
  /** Emptied after the job. */
  readonly temporary: string;
  /** Where programs are kept between jobs. */
  readonly toolCache: string;
  readonly summaryFile: string | undefined;
}

/**
 * @throws InputError outside of a workflow, naming the variable that is missing
 */
export function readJob({ env } = process): Job {
  const need = (name: string): string => {
    const value = env[name];
    if (value !== undefined && value !== '') return value;
    throw new InputError(
      `action: the variable ${name} is not set, expected a GitHub Actions runner's. Use the command line (ziplm run) elsewhere.`,
    );
  };
  const temporary = env.RUNNER_TEMP || tmpdir();
  return {
    event: { name: need('GITHUB_EVENT_NAME'), payload: context.payload },
    run: { id: Number(need('GITHUB_RUN_ID')), attempt: context.runAttempt || 1 },
    repository: need('GITHUB_REPOSITORY'),
    apiUrl: context.apiUrl,
    serverUrl: context.serverUrl,
    ref: context.ref ?? '',
    sha: context.sha ?? '',
    workspace: need('GITHUB_WORKSPACE'),
    temporary,
    toolCache: env.RUNNER_TOOL_CACHE || join(temporary, 'ziplm-tools'),
    summaryFile: env.GITHUB_STEP_SUMMARY || undefined,
  };
}

/** The page of this run, which details and artifacts are linked to. */
export function runUrl({ serverUrl, repository, run }: Job): string {
  return `${serverUrl}/${repository}/actions/runs/${run.id}`;
}

/** A value of a payload by its path, whatever is on the way. */
export function fieldOf(payload: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (at === null || at === undefined ? undefined : Object(at)[key]),
    payload,
  );
}
