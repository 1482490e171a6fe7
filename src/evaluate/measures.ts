/**
 * Every metric that a task may report, and how it is to be read. Configuration, record and reports take names and directions
 * from here.
 * @module
 */

export interface Measure {
  readonly label: string;
  /** Which way is good. */
  readonly better: 'higher' | 'lower';
  /** A share of 1, which reads as per cents, or a number of its own kind. */
  readonly kind: 'share' | 'number';
}

export const measures = {
  accuracy: { label: 'accuracy', better: 'higher', kind: 'share' },
  f1: { label: 'F1', better: 'higher', kind: 'share' },
  matthews: { label: 'Matthews', better: 'higher', kind: 'number' },
  'exact-match': { label: 'exact match', better: 'higher', kind: 'share' },
  precision: { label: 'precision', better: 'higher', kind: 'share' },
  recall: { label: 'recall', better: 'higher', kind: 'share' },
  'strict-f1': { label: 'strict F1', better: 'higher', kind: 'share' },
  spearman: { label: 'Spearman', better: 'higher', kind: 'number' },
  pearson: { label: 'Pearson', better: 'higher', kind: 'number' },
  perplexity: { label: 'perplexity', better: 'lower', kind: 'number' },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof measures;

export const measureNames = Object.keys(measures) as [MeasureName, ...MeasureName[]];

/** How a metric is read, by its name; undefined for one that is not ours. */
export function measureOf(name: string): Measure | undefined {
  return Object.hasOwn(measures, name) ? measures[name as MeasureName] : undefined;
}

/**
 * How much worse a model is than the dense one, as `max-drop` counts it: what its metric fell by; of a metric that is better
 * lower, and has no scale of its own, what it rose by as a share of the dense model's. Negative where it is better.
 */
export function dropOf(metric: { readonly name: string; readonly value: number; readonly delta: number }): number {
  const { name, value, delta } = metric;
  return measureOf(name)?.better === 'lower' ? delta / (value - delta) : -delta;
}
