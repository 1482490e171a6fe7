/**
 * How a bundled program is told to be a measuring process: asked before anything else is loaded.
 * @module
 */
export const childArgument = '--measuring-child';

/** Whether this process was started to measure. */
export function isMeasuringChild(argv: readonly string[] = process.argv): boolean {
  return argv[2] === childArgument;
}
