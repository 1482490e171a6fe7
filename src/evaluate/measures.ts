/**
 * Every metric that a task may report, and how it is to be read. Configuration, record and reports take names and directions
 * from here.
 * @module
 */

export interface Measure {
  /** Which way is good. */
  readonly better: 'higher' | 'lower';
}

export const measures = {
  accuracy: { better: 'higher' },
  f1: { better: 'higher' },
  matthews: { better: 'higher' },
  perplexity: { better: 'lower' },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof measures;

export const measureNames = Object.keys(measures) as [MeasureName, ...MeasureName[]];
