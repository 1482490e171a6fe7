/**
 * The job summary, which GitHub drops whole when it is over 1 MiB.
 * @module
 */

/** Appends the first of `bodies` that fits beside what the step has written. @param file GITHUB_STEP_SUMMARY */
export declare function writeSummary(file: string, bodies: Iterable<string>): Promise<void>;
