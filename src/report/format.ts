/**
 * Numbers as people read them. Intervals are rounded outwards, so that what is shown always holds what was
 * measured: a lower end of 1.9996 reads 1.99, never a 2.00 that would seem to reach a target of 2.
 * @module
 */
import type { Metric, MetricAgainstDense, Status } from '../record.ts';

const MINUS = '\u2212';

/** Fixed decimals with a true minus sign; never "-0.0". */
export function decimal(value: number, digits: number): string {
  const fixed = Math.abs(value).toFixed(digits);
  return value < 0 && Number(fixed) !== 0 ? `${MINUS}${fixed}` : fixed;
}

export function signed(value: number, digits: number): string {
  const fixed = decimal(value, digits);
  return value > 0 && Number(fixed) !== 0 ? `+${fixed}` : fixed;
}

/** `[low, high]`, rounded outwards; `show` as for the point. */
export function interval(low: number, high: number, digits: number, show = decimal): string {
  const scale = 10 ** digits;
  // The slack keeps 1.15, which is 114.999… hundredths in binary, from reading 1.14.
  const slack = 1e-14 * Math.max(1e4, Math.abs(low * scale), Math.abs(high * scale));
  const down = Math.floor(low * scale + slack) / scale;
  const up = Math.ceil(high * scale - slack) / scale;
  return `[${show(down, digits)}, ${show(up, digits)}]`;
}

/** A target as it was asked for: 1.25×. */
export const times = (target: number): string => `${Number(target.toFixed(4))}×`;

/** A measured ratio: 2.01×. */
export const ratio = (value: number): string => `${decimal(value, 2)}×`;

/** How a metric is shown: shares as per cents, everything else as it is. */
export interface MetricStyle {
  /** An outside string where the metric is not one of ours: escape it. */
  readonly label: string;
  readonly scale: number;
  readonly digits: number;
  readonly suffix: string;
  /** Unit of a difference. */
  readonly points: string;
}

// A map, not an object: a metric named "constructor" has no label either.
const LABELS: ReadonlyMap<string, string> = new Map([
  ['accuracy', 'accuracy'],
  ['f1', 'F1'],
  ['matthews', 'Matthews'],
]);
const SHARES: readonly string[] = ['accuracy', 'f1', 'precision', 'recall', 'exact_match'];

export function metricStyle(name: string): MetricStyle {
  const label = LABELS.get(name) ?? name;
  return SHARES.includes(name)
    ? { label, scale: 100, digits: 1, suffix: '%', points: ' points' }
    : { label, scale: 1, digits: 3, suffix: '', points: '' };
}

/** 86.6% */
export function metricValue(metric: Metric): string {
  const { scale, digits, suffix } = metricStyle(metric.name);
  return `${decimal(metric.value * scale, digits)}${suffix}`;
}

/** [84.9, 88.2] */
export function metricInterval(metric: Metric): string {
  const { scale, digits } = metricStyle(metric.name);
  return interval(metric.low * scale, metric.high * scale, digits);
}

/** −2.2 */
export function change(metric: MetricAgainstDense): string {
  const { scale, digits } = metricStyle(metric.name);
  return signed(metric.delta * scale, digits);
}

/** [−3.4, −1.0] */
export function changeInterval(metric: MetricAgainstDense): string {
  const { scale, digits } = metricStyle(metric.name);
  return interval(metric.deltaLow * scale, metric.deltaHigh * scale, digits, signed);
}

/** Whether the interval of the change holds zero: nothing was shown to change. */
export const withinNoise = (metric: MetricAgainstDense): boolean =>
  metric.deltaLow <= 0 && metric.deltaHigh >= 0;

export function milliseconds(value: number): string {
  return `${decimal(value, value < 1 ? 3 : value < 10 ? 2 : 1)} ms`;
}

/** Decimal units, as disks and downloads count. */
export function bytes(value: number): string {
  return scaled(value, ['B', 'kB', 'MB', 'GB', 'TB']);
}

/** Binary units, as memory counts. */
export const memory = (value: number): string => `${decimal(value / 2 ** 30, 1)} GiB`;

/** 22.7 M */
export function quantity(value: number): string {
  return scaled(value, ['', 'k', 'M', 'G', 'T']).trim();
}

function scaled(value: number, units: readonly string[]): string {
  let rest = value;
  let unit = 0;
  // 999.95 would read 1000.0: the next unit says it shorter.
  while (rest >= 999.95 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${unit === 0 ? rest : decimal(rest, 1)} ${units[unit]}`;
}

/** Against the dense model: −38%. */
export function relative(value: number, dense: number): string {
  return dense === 0 ? '' : `${signed((value / dense - 1) * 100, 0)}%`;
}

/** 0.4 s, 42 s, 3 min 20 s */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${decimal(seconds, 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** 2026-01-31 12:00 UTC */
export const moment = (iso: string): string => `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;

export const STATUS_MARK: Readonly<Record<Status, string>> = { met: '✅', missed: '❌', inconclusive: '⚠️' };
