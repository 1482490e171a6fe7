/**
 * The pictures of the HTML report that hold targets against measurements, each as a chart option and words for those
 * who do not see it. Every picture is drawn for a given width in CSS pixels, so that its letters are as large on a phone
 * as on a screen.
 * @module
 */
import type { RunRecord, TargetRecord } from '../record.ts';
import { plain } from './escape.ts';
import { change, metricStyle, metricValue, ratio, times } from './format.ts';
import {
  axis,
  crossBars,
  FONT,
  INK,
  line,
  MARKS,
  niceRange,
  SERIES,
  SOFT,
  symbol,
  tick,
  upright,
} from './marks.ts';
import type { Picture } from './svg.ts';
/** The metric against the measured speedup: every target with both intervals, and the dense model at 1×. */
export function accuracyAgainstSpeedup(record: RunRecord, id: string, width: number): Picture {
  const { dense, targets } = record;
  const { label, scale, suffix } = metricStyle(dense.metric.name);
  const name = plain(label, 40);
  const height = width < 500 ? 300 : 380;
  const points = [
    {
      x: 1,
      xs: [1, 1],
      metric: dense.metric,
      label: 'dense',
      mark: { symbol: 'circle', filled: true, size: 11 },
      color: SOFT,
    },
    ...targets.map((t) => ({
      x: t.speedup.median,
      xs: [t.speedup.low, t.speedup.high],
      metric: t.metric,
      label: times(t.target),
      mark: MARKS[t.status],
      color: SERIES[0],
    })),
  ];
  const xs = points.flatMap((p) => p.xs).concat(targets.map((t) => t.target));
  const ys = points.flatMap((p) => [p.metric.low * scale, p.metric.high * scale]);
  const nice = niceRange(Math.min(...xs), Math.max(...xs), width < 500 ? 4 : 8);
  // Room for the last label, without a whole empty step.
  const xRange = {
    ...nice,
    max: Math.max(...xs) + (Math.max(...xs) - nice.min) * (width < 500 ? 0.16 : 0.06),
  };
  const yRange = niceRange(Math.min(...ys), Math.max(...ys), 6);
  const order = [...points].sort((a, b) => a.x - b.x);
  const option = {
    grid: { left: 52, right: 20, top: 20, bottom: 48 },
    xAxis: axis({
      ...xRange,
      name: 'measured speedup',
      nameGap: 28,
      splitLine: { show: false },
      axisLabel: { showMaxLabel: false, formatter: (v: number) => `${Number(v.toFixed(3))}×` },
    }),
    yAxis: axis({
      ...yRange,
      name: width < 500 ? '' : name,
      nameGap: 42,
      // A longer name would press the plot together.
      nameTruncate: { maxWidth: height - 70 },
      axisLabel: { formatter: (v: number) => `${tick(v)}${suffix}` },
    }),
    series: [
      ...targets.map((t) =>
        line(
          [
            [t.target, yRange.min],
            [t.target, yRange.max],
          ],
          'var(--guide)',
          'dashed',
          1.5,
        ),
      ),
      line(
        [
          [1, dense.metric.value * scale],
          [xRange.max, dense.metric.value * scale],
        ],
        'var(--ink-3)',
        'dotted',
        1.5,
      ),
      line(
        order.map((p) => [p.x, p.metric.value * scale]),
        SERIES[0],
        'solid',
        1.5,
        0.35,
      ),
      ...points.map((p) =>
        crossBars(p.x, p.metric.value * scale, p.xs, [p.metric.low * scale, p.metric.high * scale], p.color),
      ),
      ...points.map((p, i) => ({
        type: 'scatter',
        silent: true,
        z: 5,
        data: [[p.x, p.metric.value * scale]],
        ...symbol(p.mark, p.color),
        label: {
          show: true,
          position: 'right',
          // On a phone neighbours stand too close for one line of labels.
          offset: [2, width < 500 && i % 2 === 1 ? 12 : -12],
          color: INK,
          fontSize: FONT,
          fontWeight: 600,
          formatter: () => p.label,
        },
      })),
    ],
  };
  const spoken = targets.map(
    (t) =>
      `At ${times(t.target)} (${t.status}): ${ratio(t.speedup.median)}, ${metricValue(t.metric)}, change ${change(t.metric)}.`,
  );
  return {
    id,
    title: `${name} against measured speedup`,
    description: `The dense model: ${metricValue(dense.metric)}. ${spoken.join(' ')}`,
    width,
    height,
    option,
  };
}

/** How far from each target the measured interval and the prediction lie, in per cent of the target. */
export function promiseAgainstMeasurement(record: RunRecord, id: string, width: number): Picture {
  const { targets } = record;
  const off = (value: number, t: TargetRecord): number => (value / t.target - 1) * 100;
  const all = targets.flatMap((t) =>
    [t.speedup.low, t.speedup.high, t.predicted, ...(t.roundSpeedups ?? [])].map((v) => off(v, t)),
  );
  const range = niceRange(Math.min(-1, ...all), Math.max(1, ...all), width < 500 ? 4 : 8);
  const height = 72 + 46 * targets.length;
  const option = {
    grid: { left: 52, right: 20, top: 12, bottom: 48 },
    xAxis: axis({
      ...range,
      name: 'above or below the target',
      nameGap: 28,
      axisLabel: { formatter: (v: number) => `${v > 0 ? '+' : ''}${tick(v)}%` },
    }),
    yAxis: axis({
      type: 'category',
      inverse: true,
      data: targets.map((t) => times(t.target)),
      splitLine: { show: false },
      axisLabel: { color: INK, fontWeight: 600 },
    }),
    series: [
      upright(0),
      ...targets.map((t, row) =>
        line(
          [
            [off(t.speedup.low, t), row],
            [off(t.speedup.high, t), row],
          ],
          SERIES[0],
          'solid',
          10,
          0.28,
        ),
      ),
      {
        type: 'scatter',
        silent: true,
        z: 3,
        symbolSize: 5,
        itemStyle: { color: SERIES[0], opacity: 0.8 },
        data: targets.flatMap((t, row) => (t.roundSpeedups ?? []).map((r) => [off(r, t), row])),
      },
      ...targets.map((t, row) => ({
        type: 'scatter',
        silent: true,
        z: 5,
        data: [[off(t.speedup.median, t), row]],
        ...symbol(MARKS[t.status], SERIES[0]),
      })),
      {
        type: 'scatter',
        silent: true,
        z: 4,
        data: targets.map((t, row) => [off(t.predicted, t), row]),
        symbolOffset: [0, -14],
        symbolRotate: 180,
        ...symbol({ symbol: 'triangle', filled: true, size: 9 }, SERIES[3]),
      },
    ],
  };
  const spoken = targets.map(
    (t) =>
      `${times(t.target)}: predicted ${ratio(t.predicted)}, measured ${ratio(t.speedup.median)} between ${ratio(t.speedup.low)} and ${ratio(t.speedup.high)}, ${t.status}.`,
  );
  return {
    id,
    title: 'Predicted and measured speedup against the target',
    description: spoken.join(' '),
    width,
    height,
    option,
  };
}
