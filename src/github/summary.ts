/**
 * The job summary, which GitHub drops whole when it is over 1 MiB.
 * @module
 */
import { appendFile, stat } from 'node:fs/promises';

/** Bytes: GitHub's limit less what its servers were seen to lose silently near it. */
const MAX_SUMMARY_BYTES = 1_000_000;

/**
 * Appends the first of `bodies` that fits beside what the step has written.
 * @param file GITHUB_STEP_SUMMARY
 * @returns whether one did
 */
export async function writeSummary(file: string, bodies: Iterable<string>): Promise<boolean> {
  const { size } = await stat(file).catch(() => ({ size: 0 }));
  for (const body of bodies) {
    const text = `${size > 0 ? '\n' : ''}${body.trimEnd()}\n`;
    if (size + Buffer.byteLength(text) > MAX_SUMMARY_BYTES) continue;
    await appendFile(file, text);
    return true;
  }
  return false;
}
