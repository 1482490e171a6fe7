/**
 * A record against the base branch's record of the same measurement: only on equal hardware, and with intervals.
 * @module
 */
import type { MedianInterval, RunRecord, TargetRecord } from '../record.ts';
import { bytes, interval, metricInterval, metricValue, milliseconds, ratio, times } from './format.ts';

/** Whether two records' latencies and speedups may stand side by side: equal hardware, and the same promise. */
export function isComparable(a: RunRecord, b: RunRecord): boolean {
  return (
    a.name === b.name &&
    a.hardware.fingerprint === b.hardware.fingerprint &&
    a.provider === b.provider &&
    a.threads === b.threads &&
    a.shape.batch === b.shape.batch &&
    a.shape.sequence === b.shape.sequence &&
    a.dense.metric.name === b.dense.metric.name
  );
}

/** The newest of the records that `record` may be compared with. */
export function baseOf(record: RunRecord, bases: readonly RunRecord[]): RunRecord | undefined {
  return bases
    .filter((base) => isComparable(record, base))
    .toSorted((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt))[0];
}

/** A header and a row for the dense model and for each target that both records have, all cells ready to show. */
export function againstBase(record: RunRecord, base: RunRecord): readonly (readonly string[])[] {
  const pairs = record.targets.flatMap((now) => {
    const before = base.targets.find((t) => t.target === now.target);
    return before === undefined ? [] : [{ before, now }];
  });
  return [
    ['', 'measured on the base', 'now', 'metric on the base', 'now', 'size on the base', 'now'],
    [
      'dense',
      milliseconds(base.dense.latencyMs.median),
      `${milliseconds(record.dense.latencyMs.median)} ${direction(record.dense.latencyMs, base.dense.latencyMs)}`,
      metricValue(base.dense.metric),
      `${metricValue(record.dense.metric)} ${direction(asMedian(record.dense.metric), asMedian(base.dense.metric))}`,
      bytes(base.dense.bytes),
      bytes(record.dense.bytes),
    ],
    ...pairs.map(({ before, now }) => row(before, now)),
  ];
}

const row = (before: TargetRecord, now: TargetRecord): string[] => [
  times(now.target),
  `${ratio(before.speedup.median)} ${interval(before.speedup.low, before.speedup.high, 2)}, ${before.status}`,
  `${ratio(now.speedup.median)} ${interval(now.speedup.low, now.speedup.high, 2)}, ${now.status} ${direction(now.speedup, before.speedup)}`,
  `${metricValue(before.metric)} ${metricInterval(before.metric)}`,
  `${metricValue(now.metric)} ${metricInterval(now.metric)} ${direction(asMedian(now.metric), asMedian(before.metric))}`,
  bytes(before.bytes),
  bytes(now.bytes),
];

/** An arrow where the intervals lie apart; else the difference is within noise. */
function direction(now: MedianInterval, before: MedianInterval): string {
  if (now.low > before.high) return '↑';
  return now.high < before.low ? '↓' : '≈';
}

const asMedian = (metric: RunRecord['dense']['metric']): MedianInterval => ({
  median: metric.value,
  low: metric.low,
  high: metric.high,
});
