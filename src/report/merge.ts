/**
 * Several records into one report: runs that may stand in one table are joined, all others stay apart.
 * @module
 */
import type { RunRecord, TargetRecord } from '../record.ts';
import { moment, times } from './format.ts';

/**
 * Joins records of the same dense file, machine, provider, threads, runtime, shape, metric and configuration (but
 * for the speedups asked for): a target measured twice counts as it was measured last. The order is that of the
 * first record of each group. A joined record's dense latency is its latest one, and a warning says so: every
 * ratio was measured against the dense model of its own run.
 */
export function mergeRecords(records: readonly RunRecord[]): readonly RunRecord[] {
  const groups = Map.groupBy(records, comparable);
  return [...groups.values()].map((group) => (group.length === 1 ? group[0] : join(group)));
}

/** Equal for records whose targets may stand in one table. */
function comparable(record: RunRecord): string {
  const { speedups: _, output: __, ...configuration } = record.configuration;
  return JSON.stringify([
    record.name,
    record.model.sha256,
    record.hardware.fingerprint,
    record.provider,
    record.threads,
    record.versions,
    record.shape,
    record.dense.metric.name,
    sorted(configuration),
  ]);
}

/** The same value with its keys in order, so that equal configurations read equal. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

function join(group: readonly RunRecord[]): RunRecord {
  const byAge = [...group].sort((a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt));
  const latest = byAge[byAge.length - 1];
  const targets = new Map<number, { readonly target: TargetRecord; readonly from: RunRecord }>();
  for (const from of byAge) for (const target of from.targets) targets.set(target.target, { target, from });
  const kept = [...targets.values()].sort((a, b) => a.target.target - b.target.target);
  const older = kept.filter((k) => k.from !== latest);
  const seconds = new Map<string, number>();
  for (const { seconds: spent } of new Set(kept.map((k) => k.from))) {
    for (const [stage, s] of Object.entries(spent)) seconds.set(stage, (seconds.get(stage) ?? 0) + s);
  }
  const said = older.map(
    (k) =>
      `${times(k.target.target)} comes from the run of ${moment(k.from.createdAt)} and was measured against that run's dense model; the dense latency shown is of ${moment(latest.createdAt)}.`,
  );
  return {
    ...latest,
    targets: kept.map((k) => k.target),
    seconds: Object.fromEntries(seconds),
    reused: latest.reused.filter((stage) => byAge.every((r) => r.reused.includes(stage))),
    warnings: [...new Set([...byAge.flatMap((r) => r.warnings), ...said])],
  };
}
