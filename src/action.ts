/**
 * The action: inputs in, a comment, a check, a summary, artifacts and outputs out. Wiring only: the modes are in
 * `action/`, which are loaded when they are needed.
 *
 * The same program is the step that comes after the job (it ends a check that a killed job left open) and, in
 * a process of its own, whatever measures.
 * @module
 */
import { spawn } from 'node:child_process';
import { delimiter } from 'node:path';
import { getState, saveState, setOutput, setSecret } from '@actions/core';
import type { Ended, Means } from './action/benchmark.ts';
import { type Inputs, readInputs } from './action/inputs.ts';
import { type Job, readJob } from './action/job.ts';
import { type Log, openLog } from './action/log.ts';
import { leadsInto } from './action/paths.ts';
import type { OpenCheck } from './action/publish.ts';
import { InputError } from './errors.ts';
import { endingOf, exitCodes } from './exit.ts';
import type { GitHub } from './github/client.ts';
import { isMeasuringChild } from './runtime/entry.ts';

/** What the action is given from outside: the process's own in earnest, others in tests. */
export interface Surroundings {
  /** The folder with `dist/` and `runtime/`. */
  readonly own: string;
  /** Aborted when the job is cancelled; the reason is a sentence. */
  readonly cancelled: AbortSignal;
}

/** Where the check's number is kept for the step after the job. */
const CHECK_STATE = 'check';
/** The runner gives a cancelled step 7.5 s. */
const LAST_WORDS_MS = 5_000;

/**
 * Runs the mode that the inputs name.
 * @returns the exit code: 0 also for `inconclusive`, which the output `result` says
 */
export async function act({ own, cancelled }: Surroundings): Promise<number> {
  const log = openLog();
  let check: OpenCheck | undefined;
  const cancellation = new Promise<never>((_, reject) => {
    const stop = () => reject(cancelled.reason);
    if (cancelled.aborted) stop();
    else cancelled.addEventListener('abort', stop, { once: true });
  });
  try {
    const inputs = readInputs();
    const job = readJob();
    if (inputs.token !== '') setSecret(inputs.token);
    const github = await connect(inputs, job, log);
    const onCheck = async (opened: OpenCheck) => {
      check = opened;
      if (opened.id !== undefined) saveState(CHECK_STATE, opened.id);
    };
    const ended = await Promise.race([mode({ github, job, inputs, log, own, onCheck }), cancellation]);
    log.close();
    return finish(ended, log);
  } catch (error) {
    log.close();
    return await fail(error, check, cancelled, log);
  }
}

/** The mode, by which only what it needs is loaded. */
async function mode(means: Means): Promise<Ended> {
  switch (means.inputs.mode) {
    case 'benchmark':
      return (await import('./action/benchmark.ts')).benchmark(means);
    case 'report':
      return (await import('./action/report.ts')).report(means);
    case 'release':
      return (await import('./action/release.ts')).release(means);
  }
}

function finish({ outcome, outputs }: Ended, log: Log): number {
  for (const [name, value] of Object.entries(outputs)) setOutput(name, value);
  for (const failure of outcome.failures) log.error(failure);
  for (const doubt of outcome.doubts) log.warn(doubt);
  log.say(`Result: ${outcome.result}`);
  return outcome.failures.length > 0 ? exitCodes.missed : exitCodes.done;
}

/** Says what went wrong, and does not leave the check in progress. */
async function fail(
  error: unknown,
  check: OpenCheck | undefined,
  cancelled: AbortSignal,
  log: Log,
): Promise<number> {
  const { code, message } = cancelled.aborted
    ? { code: exitCodes.missed, message: String(cancelled.reason) }
    : endingOf(error);
  const [title] = message.split('\n');
  const end = check?.complete({
    conclusion: cancelled.aborted ? 'cancelled' : 'failure',
    title: title.slice(0, 200),
    summaries: [title],
  });
  const late = new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS).unref());
  await Promise.race([end, late]).catch((cause: unknown) =>
    log.warn(`The check could not be completed: ${(cause as Error).message}`),
  );
  setOutput('result', 'inconclusive');
  log.error(title);
  if (code === exitCodes.bug) log.show('What went wrong', message);
  return code;
}

/** What the runner calls after the job, whatever became of it. */
async function afterwards(check: number): Promise<void> {
  const github = await connect(readInputs(), readJob(), openLog());
  const { abandonCheck } = await import('./github/check.ts');
  await abandonCheck(github, check);
}

async function connect(inputs: Inputs, { apiUrl, repository }: Job, log: Log): Promise<GitHub> {
  const { openGitHub } = await import('./github/client.ts');
  return openGitHub({ token: inputs.token, apiUrl, repository, warn: log.warn });
}

/**
 * The libraries of CUDA are found by a variable that counts only when it is there before a process starts: where the
 * inputs name folders, the work is done by a second process.
 * @returns its exit code; undefined where none is needed
 * @throws InputError for a folder in the workspace
 */
export async function inNewProcess(program: string): Promise<number | undefined> {
  const { env } = process;
  const { cudaLibraries, mode: wanted } = readInputs();
  if (wanted !== 'benchmark' || cudaLibraries.length === 0 || env.ZIPLM_LIBRARIES === 'set') return undefined;
  for (const folder of cudaLibraries) {
    if (env.GITHUB_WORKSPACE !== undefined && leadsInto(folder, env.GITHUB_WORKSPACE)) {
      throw new InputError(
        `action: the input cuda-libraries names ${folder}, which lies in the workspace, from which nothing is executed. Name a folder of the runner's.`,
      );
    }
  }
  const folders = [...cudaLibraries, ...(env.LD_LIBRARY_PATH ? [env.LD_LIBRARY_PATH] : [])];
  const child = spawn(process.execPath, [program], {
    stdio: 'inherit',
    env: { ...env, LD_LIBRARY_PATH: folders.join(delimiter), ZIPLM_LIBRARIES: 'set' },
  });
  // The runner signals this process only; the other says its last words and ends first.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? exitCodes.missed));
  });
}

/**
 * The program itself.
 * @param own the action's own folder
 * @param program the file that this is, to be started again
 */
export async function start(own: string, program: string): Promise<void> {
  if (isMeasuringChild()) return (await import('./runtime/child.ts')).serveChild();
  const cancellation = new AbortController();
  try {
    const check = getState(CHECK_STATE);
    if (check !== '') {
      await afterwards(Number(check));
      return;
    }
    const delegated = await inNewProcess(program);
    if (delegated !== undefined) {
      process.exitCode = delegated;
      return;
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => cancellation.abort(`The job was cancelled (${signal}).`));
    }
    process.exitCode = await act({ own, cancelled: cancellation.signal });
    // Work that a cancelled job left under way would keep the process.
    if (cancellation.signal.aborted) process.exit();
  } catch (error) {
    const { code, message } = endingOf(error);
    openLog().error(message.split('\n')[0]);
    if (code === exitCodes.bug) process.stderr.write(`${message}\n`);
    process.exitCode = code;
  }
}
