/**
 * The pictures of the HTML report, each as a chart option and words for those who do not see it. Every picture is
 * drawn for a given width in CSS pixels, so that its letters are as large on a phone as on a screen.
 * @module
 */
import type { LatencyEntry, RunRecord, TargetRecord } from '../record.ts';
import { plain } from './escape.ts';
import { change, metricStyle, metricValue, milliseconds, ratio, times } from './format.ts';
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
  SURFACE,
  spread,
  symbol,
  tick,
  upright,
} from './marks.ts';
import type { Picture } from './svg.ts';

const KIND_COLOR = { attention: SERIES[0], mlp: SERIES[1] } as const;
export const KIND_WORDS = {
  attention: { block: 'Attention', structures: 'heads' },
  mlp: { block: 'Feed-forward', structures: 'neurons' },
} as const;

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

/** For each target, every block as a bar as high as the share of structures that it keeps. */
export function keptStructures(record: RunRecord, id: string, width: number): Picture {
  const { targets } = record;
  const kinds = (['attention', 'mlp'] as const).filter((kind) =>
    targets.some((t) => t.blocks.some((b) => b.kind === kind)),
  );
  const side = width >= 640;
  const gap = 36;
  const left = 52;
  const panel = side ? (width - left - 12 - gap * (kinds.length - 1)) / kinds.length : width - left - 12;
  const rowHeight = 62;
  const head = 34;
  const block = head + targets.length * rowHeight + 40;
  const cells = kinds.flatMap((kind, k) =>
    targets.map((t, row) => ({
      kind,
      t,
      row,
      x: left + (side ? k * (panel + gap) : 0),
      y: (side ? 0 : k * block) + head + row * rowHeight,
      blocks: t.blocks.filter((b) => b.kind === kind),
      last: row === targets.length - 1,
      first: k === 0 || !side,
    })),
  );
  const option = {
    title: [
      ...kinds.map((kind, k) => ({
        text: `${KIND_WORDS[kind].block}: ${KIND_WORDS[kind].structures}`,
        left: left + (side ? k * (panel + gap) : 0),
        top: 3 + (side ? 0 : k * block),
        padding: 0,
        textStyle: { color: INK, fontSize: 13, fontWeight: 600 },
      })),
      ...cells
        .filter((c) => c.first)
        .map((c) => ({
          text: times(c.t.target),
          left: 0,
          top: c.y + 22,
          padding: 0,
          textStyle: { color: INK, fontSize: FONT, fontWeight: 600 },
        })),
    ],
    grid: cells.map((c) => ({ left: c.x, top: c.y + 14, width: panel, height: rowHeight - 22 })),
    xAxis: cells.map((c, i) =>
      axis({
        type: 'category',
        gridIndex: i,
        data: c.blocks.map((_, layer) => String(layer)),
        splitLine: { show: false },
        axisLabel: { show: c.last },
        name: c.last ? 'layer' : '',
        nameGap: 24,
      }),
    ),
    yAxis: cells.map((_, i) => ({ type: 'value', gridIndex: i, min: 0, max: 1, show: false })),
    series: cells.map((c, i) => ({
      type: 'bar',
      silent: true,
      xAxisIndex: i,
      yAxisIndex: i,
      data: c.blocks.map((b) => b.kept / b.of),
      barCategoryGap: '22%',
      showBackground: true,
      backgroundStyle: { color: 'var(--ghost)', borderRadius: 3 },
      itemStyle: { color: KIND_COLOR[c.kind], borderRadius: 3 },
      label: {
        show: fits(record, c.kind, panel),
        position: 'top',
        distance: 2,
        color: INK,
        fontSize: 10.5,
        formatter: ({ dataIndex }: { dataIndex: number }) => String(c.blocks[dataIndex].kept),
      },
    })),
  };
  const spoken = targets.map(
    (t) =>
      `At ${times(t.target)}: ${kinds
        .map(
          (kind) =>
            `${KIND_WORDS[kind].structures} ${t.blocks
              .filter((b) => b.kind === kind)
              .map((b) => `${b.kept} of ${b.of}`)
              .join(', ')}`,
        )
        .join('; ')}.`,
  );
  return {
    id,
    title: 'Heads and neurons that each target keeps, layer by layer',
    description: spoken.join(' '),
    width,
    height: (side ? block : block * kinds.length) + 4,
    option,
  };
}

/** Whether every bar of a kind has room for its number, at every target: all are numbered or none. */
function fits(record: RunRecord, kind: LatencyEntry['kind'], panel: number): boolean {
  return record.targets.every((t) => {
    const blocks = t.blocks.filter((b) => b.kind === kind);
    const digits = Math.max(1, ...blocks.map((b) => String(b.kept).length));
    return panel / Math.max(1, blocks.length) >= digits * 6.2 + 3;
  });
}

/** A block's time at each width, with the spread of its rounds; dots are the widths that the targets use. */
export function latencyTable(
  record: RunRecord,
  kind: LatencyEntry['kind'],
  id: string,
  width: number,
): Picture {
  const entries = record.latencyTable.filter((e) => e.kind === kind && e.rows.length > 0);
  const { block, structures } = KIND_WORDS[kind];
  const widest = Math.max(1, ...entries.flatMap((e) => e.rows.map((r) => r.kept)));
  const slowest = Math.max(...entries.flatMap((e) => e.rows.map((r) => r.high)), 1e-6);
  const xRange = niceRange(0, widest, width < 400 ? 4 : 6);
  const yRange = niceRange(0, slowest, 5);
  const color = (i: number): string => (entries.length === 1 ? KIND_COLOR[kind] : SERIES[i % SERIES.length]);
  const option = {
    grid: { left: 52, right: 20, top: 26, bottom: 48 },
    title: {
      text: 'ms per block',
      left: 0,
      top: 3,
      padding: 0,
      textStyle: { color: SOFT, fontSize: FONT, fontWeight: 400 },
    },
    xAxis: axis({
      ...xRange,
      max: Math.max(widest, 1),
      name: `${structures} kept`,
      nameGap: 28,
      axisLabel: { formatter: tick },
      splitLine: { show: false },
    }),
    yAxis: axis({
      ...yRange,
      axisLabel: { formatter: tick },
    }),
    series: entries.flatMap((entry, i) => {
      const rows = [...entry.rows].sort((a, b) => a.kept - b.kept);
      return [
        spread(rows, color(i)),
        line(
          rows.map((r) => [r.kept, r.medianMs]),
          color(i),
          'solid',
          2,
        ),
        {
          type: 'scatter',
          silent: true,
          z: 5,
          symbolSize: 8,
          itemStyle: { color: color(i), borderColor: SURFACE, borderWidth: 1.5, opacity: 1 },
          data: usedWidths(record, entry).flatMap((kept) =>
            rows.filter((r) => r.kept === kept).map((r) => [kept, r.medianMs]),
          ),
        },
      ];
    }),
  };
  const spoken = entries.map((e) => {
    const rows = [...e.rows].sort((a, b) => b.kept - a.kept);
    const [first, last] = [rows[0], rows[rows.length - 1]];
    return `${plain(e.signature, 60)}: ${milliseconds(first.medianMs)} with ${first.kept} ${structures}, ${milliseconds(last.medianMs)} with ${last.kept}.`;
  });
  return {
    id,
    title: `${block}: measured time by ${structures} kept`,
    description: spoken.join(' '),
    width,
    height: 260,
    option,
  };
}

function usedWidths(record: RunRecord, entry: LatencyEntry): readonly number[] {
  const ids = new Set(entry.blocks);
  return [
    ...new Set(record.targets.flatMap((t) => t.blocks.filter((b) => ids.has(b.id)).map((b) => b.kept))),
  ];
}
