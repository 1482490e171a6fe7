/**
 * What records come to: the result, what fails, and a number for every output. Pure.
 * @module
 */
import type { RunRecord, Status, TargetRecord } from '../record.ts';
import { signed, times } from '../report/format.ts';
import type { OutputName } from './inputs.ts';

export interface Outcome {
  /** The worst status of all targets; `missed` as well where a metric fell too far. */
  readonly result: Status;
  /** What makes the step fail, a sentence each. */
  readonly failures: readonly string[];
  /** What keeps `result` from being met without failing. */
  readonly doubts: readonly string[];
}

/**
 * @param maxDrop how far the metric may fall; each record's own setting where it is left out
 */
export function outcomeOf(records: readonly RunRecord[], maxDrop?: number): Outcome {
  const each = records.flatMap((record) => record.targets.map((target) => ({ record, target })));
  const failures = each.flatMap(({ record, target }) => [
    ...(target.status === 'missed' ? [`${named(record, target)} is missed: ${interval(target)}.`] : []),
    ...dropped(record, target, maxDrop),
  ]);
  const doubts = each
    .filter(({ target }) => target.status === 'inconclusive')
    .map(({ record, target }) => `${named(record, target)} is inconclusive: ${interval(target)}.`);
  const result =
    failures.length > 0 ? 'missed' : doubts.length > 0 || each.length === 0 ? 'inconclusive' : 'met';
  return { result, failures, doubts };
}

function dropped(record: RunRecord, { target, metric }: TargetRecord, maxDrop: number | undefined): string[] {
  const own = record.configuration.maxDrop;
  const limit = maxDrop ?? (typeof own === 'number' ? own : Number.POSITIVE_INFINITY);
  if (-metric.delta <= limit) return [];
  return [
    `${record.name}: at ${times(target)} ${metric.name} changes by ${signed(metric.delta, 4)}, which is more than max-drop (${limit}).`,
  ];
}

const named = (record: RunRecord, { target }: TargetRecord): string =>
  `${record.name}: the target of ${times(target)}`;

const interval = ({ speedup }: TargetRecord): string =>
  `measured ${speedup.median.toFixed(3)}, 95 % interval ${speedup.low.toFixed(3)} to ${speedup.high.toFixed(3)}`;

/**
 * The outputs that follow from records. With several records, a target's key begins with the record's place
 * ("0:2"), in the order of the report.
 */
export function outputsOf(
  records: readonly RunRecord[],
  { result }: Outcome,
): Partial<Record<OutputName, string>> {
  const [first] = records;
  const by = (value: (target: TargetRecord) => unknown): string =>
    JSON.stringify(
      Object.fromEntries(
        records.flatMap(({ targets }, i) =>
          targets.map((target) => [
            records.length === 1 ? String(target.target) : `${i}:${target.target}`,
            value(target),
          ]),
        ),
      ),
    );
  const targets = records.flatMap((record) => record.targets);
  const count = (status: Status) => String(targets.filter((target) => target.status === status).length);
  return {
    result,
    met: count('met'),
    missed: count('missed'),
    inconclusive: count('inconclusive'),
    statuses: by(({ status }) => status),
    speedups: by(({ speedup }) => speedup.median),
    'speedup-lows': by(({ speedup }) => speedup.low),
    'speedup-highs': by(({ speedup }) => speedup.high),
    'latencies-ms': by(({ latencyMs }) => latencyMs.median),
    metrics: by(({ metric }) => metric.value),
    'metric-changes': by(({ metric }) => metric.delta),
    'largest-drop': String(Math.max(0, ...targets.map(({ metric }) => -metric.delta))),
    parameters: by(({ parameters }) => parameters),
    bytes: by(({ bytes }) => bytes),
    records: String(records.length),
    noisy: String(records.some(({ hardware }) => (hardware.noise ?? []).length > 0)),
    ...(records.length === 1 && {
      'dense-latency-ms': String(first.dense.latencyMs.median),
      metric: first.dense.metric.name,
      'dense-metric': String(first.dense.metric.value),
      'dense-parameters': String(first.dense.parameters),
      'dense-bytes': String(first.dense.bytes),
      provider: first.provider,
      fingerprint: first.hardware.fingerprint,
    }),
  };
}
