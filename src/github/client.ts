/**
 * The way to GitHub's REST API: one client per job, which paces its writes, waits out rate limits, and repeats what
 * failed for no reason of ours.
 *
 * Whatever only reads, or says what something shall be (PATCH, PUT, DELETE), is repeated as it is. A POST may have taken
 * effect although its answer was lost: it is repeated by `createOnce`, which looks first.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Octokit } from '@octokit/rest';
import { InputError } from '../errors.ts';

export interface GitHubOptions {
  /** The input `token`; never logged. */
  readonly token: string;
  /** `GITHUB_API_URL`: https://api.github.com, or an enterprise server's …/api/v3. */
  readonly apiUrl: string;
  /** `GITHUB_REPOSITORY`: owner/name. */
  readonly repository: string;
  /** Whoever shows warnings in the log. */
  readonly warn: (message: string) => void;
  readonly pace?: Partial<Pace>;
  readonly clock?: Clock;
}

/** Waiting times in milliseconds. */
export interface Pace {
  /** Between two writes: GitHub asks for a second. */
  readonly writeMs: number;
  /** Between a write to something shared and the look at what has become of it. */
  readonly settleMs: number;
  /** First wait after a failure; the next ones grow with the square. */
  readonly retryMs: number;
  /** Longest wait that a rate limit may impose before the call is given up. */
  readonly longestMs: number;
}

export interface Clock {
  now(): number;
  sleep(milliseconds: number): Promise<void>;
}

export interface GitHub {
  readonly owner: string;
  readonly repo: string;
  readonly token: string;
  readonly api: Octokit['rest'];
  readonly paginate: Octokit['paginate'];
  readonly warn: (message: string) => void;
  readonly pace: Pace;
  readonly clock: Clock;
  /** Waits until a write would go out at once: what is read now is not stale by the time it is acted upon. */
  ready(): Promise<void>;
}

/** Which run speaks: later ones have greater ids, re-runs greater attempts. */
export interface Run {
  readonly id: number;
  readonly attempt: number;
}

/** Calls are tried this many times more. */
const RETRIES = 4;
const CALL_MS = 60_000;
const UPLOAD_MS = 3_600_000;
const PACE: Pace = { writeMs: 1000, settleMs: 1000, retryMs: 1000, longestMs: 600_000 };
const CLOCK: Clock = { now: Date.now, sleep: (milliseconds) => delay(milliseconds) };

/** @throws InputError without a token, or where `repository` is not owner/name */
export function openGitHub(options: GitHubOptions): GitHub {
  const { token, apiUrl, repository, warn, clock = CLOCK } = options;
  const pace = { ...PACE, ...options.pace };
  const [owner, repo, ...rest] = repository.split('/');
  if (!owner || !repo || rest.length > 0) {
    throw new InputError(
      `github: GITHUB_REPOSITORY should be owner/name, got ${JSON.stringify(repository)}. Run this in a workflow.`,
    );
  }
  if (token === '') {
    throw new InputError(
      "github: there is no token. Give the input token, or leave its default, the workflow's own.",
    );
  }
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const octokit = new Octokit({ auth: token, baseUrl: apiUrl, userAgent: 'ziplm', log: quiet });

  let freeAt = 0;
  const ready = async () => {
    const wait = freeAt - clock.now();
    if (wait > 0) await clock.sleep(wait);
  };
  /** The next turn to write; turns are given out in order, also to calls that come at the same time. */
  const turn = async () => {
    const now = clock.now();
    const at = Math.max(now, freeAt);
    freeAt = at + pace.writeMs;
    if (at > now) await clock.sleep(at - now);
  };

  octokit.hook.wrap('request', async (request, call) => {
    const writes = call.method !== 'GET' && call.method !== 'HEAD';
    for (let attempt = 0; ; attempt++) {
      if (writes) await turn();
      const limit = call.url.includes('uploads') ? UPLOAD_MS : CALL_MS;
      try {
        return await request({
          ...call,
          request: { ...call.request, signal: AbortSignal.timeout(limit) },
        });
      } catch (error) {
        const wait = waitAfter(error, attempt, pace, clock);
        const isRefusal = limitWait(error, pace, clock) !== undefined;
        if (wait === undefined || (call.method === 'POST' && !isRefusal)) throw error;
        await clock.sleep(wait);
      }
    }
  });
  return { owner, repo, token, api: octokit.rest, paginate: octokit.paginate, warn, pace, clock, ready };
}

/**
 * A POST that takes effect once: when its answer is lost, what it may have made is looked up before it is repeated.
 * @param lookUp what an earlier try has made, or undefined
 */
export async function createOnce<T>(
  github: GitHub,
  post: () => Promise<T>,
  lookUp: () => Promise<T | undefined>,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await post();
    } catch (error) {
      const wait = waitAfter(error, attempt, github.pace, github.clock);
      if (wait === undefined) throw error;
      await github.clock.sleep(wait);
      const found = await lookUp();
      if (found !== undefined) return found;
    }
  }
}

/** What the client throws: an HTTP status, 500 where there was no answer at all, and GitHub's sentence. */
export interface ApiError extends Error {
  readonly status: number;
  readonly response?: {
    readonly headers: Readonly<Record<string, string | number | undefined>>;
    readonly data?: unknown;
  };
}

export function isApiError(error: unknown): error is ApiError {
  return error instanceof Error && typeof (error as Partial<ApiError>).status === 'number';
}

/** Whether an error says that something is not there (any more). */
export const isGone = (error: unknown): boolean =>
  isApiError(error) && (error.status === 404 || error.status === 410);

/** `work`, or undefined where what it speaks of is not there. */
export async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Milliseconds until the call may be repeated; undefined where repeating will not help. */
function waitAfter(error: unknown, attempt: number, pace: Pace, clock: Clock): number | undefined {
  if (!isApiError(error) || attempt >= RETRIES) return undefined;
  const limited = limitWait(error, pace, clock);
  if (limited !== undefined) return limited <= pace.longestMs ? limited : undefined;
  return error.status >= 500 || error.status === 408 ? pace.retryMs * (attempt + 1) ** 2 : undefined;
}

/** What a rate limit asks for; undefined where the error is none. */
function limitWait(error: unknown, pace: Pace, clock: Clock): number | undefined {
  if (!isApiError(error) || (error.status !== 403 && error.status !== 429)) return undefined;
  const headers = error.response?.headers ?? {};
  const after = Number(headers['retry-after']);
  if (headers['retry-after'] !== undefined && after >= 0) return after * 1000;
  const reset = Number(headers['x-ratelimit-reset']);
  if (String(headers['x-ratelimit-remaining']) === '0' && reset > 0) {
    return Math.max(0, reset * 1000 - clock.now()) + 1000;
  }
  const isLimit = error.status === 429 || /secondary rate|rate limit exceeded|abuse/i.test(error.message);
  // GitHub's advice where it names no time: a minute at least.
  return isLimit ? pace.retryMs * 60 : undefined;
}
