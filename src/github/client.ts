/**
 * The way to GitHub's REST API: one client per job, which paces its writes, waits out rate limits, and repeats what
 * failed for no reason of ours.
 * @module
 */

export interface GitHubOptions {
  /** `inputs.github-token`; never logged. */
  readonly token: string;
  /** `GITHUB_API_URL`: https://api.github.com, or an enterprise server's …/api/v3. */
  readonly apiUrl: string;
  /** `GITHUB_REPOSITORY`: owner/name. */
  readonly repository: string;
  /** Whoever shows warnings in the log. */
  readonly warn: (message: string) => void;
  readonly pace?: Partial<Pace>;
}

/** Waiting times in milliseconds; tests make them short. */
export interface Pace {
  /** Between two writes: GitHub asks for a second. */
  readonly writeMs: number;
  /** First wait after a failure; the next ones grow with the square. */
  readonly retryMs: number;
  /** Longest wait that a rate limit may impose before the call is given up. */
  readonly longestMs: number;
}

export interface GitHub {
  readonly owner: string;
  readonly repo: string;
  readonly warn: (message: string) => void;
}

/** Which run speaks: later ones have greater ids, re-runs greater attempts. */
export interface Run {
  readonly id: number;
  readonly attempt: number;
}

export declare function openGitHub(options: GitHubOptions): GitHub;
