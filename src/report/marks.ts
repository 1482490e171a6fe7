/**
 * The vocabulary that the pictures are drawn in: colours, axes, lines, intervals and points.
 * @module
 */
import type { LatencyEntry, Status } from '../record.ts';
import type { CustomSeriesOption, EChartsCoreOption } from './svg.ts';

export const INK = 'var(--ink)';
export const SOFT = 'var(--ink-2)';
export const RULE = 'var(--rule)';
export const SURFACE = 'var(--surface)';
export const SERIES = ['var(--series-1)', 'var(--series-2)', 'var(--series-3)', 'var(--series-4)'] as const;
export const FONT = 12;

/** One mark per status, by shape and not only by colour: filled is met. */
export const MARKS: Readonly<Record<Status, { symbol: string; filled: boolean; size: number }>> = {
  met: { symbol: 'circle', filled: true, size: 11 },
  inconclusive: { symbol: 'diamond', filled: false, size: 14 },
  missed: { symbol: 'rect', filled: false, size: 10 },
};

export const axis = (more: EChartsCoreOption): EChartsCoreOption => ({
  type: 'value',
  nameTextStyle: { color: SOFT, fontSize: FONT },
  nameLocation: 'middle',
  axisLabel: { color: SOFT, fontSize: FONT, hideOverlap: true, ...(more.axisLabel as object) },
  axisLine: { show: true, lineStyle: { color: RULE } },
  axisTick: { show: false },
  splitLine: { lineStyle: { color: RULE } },
  ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== 'axisLabel')),
});

export function line(
  data: readonly (readonly unknown[])[],
  color: string,
  type: string,
  width: number,
  opacity = 1,
): EChartsCoreOption {
  return {
    type: 'line',
    silent: true,
    symbol: 'none',
    z: 2,
    data,
    lineStyle: { color, type, width, opacity },
  };
}

export function symbol(
  mark: { symbol: string; filled: boolean; size: number },
  color: string,
): EChartsCoreOption {
  return {
    symbol: mark.symbol,
    symbolSize: mark.size,
    itemStyle: mark.filled
      ? { color, borderColor: SURFACE, borderWidth: 1.5, opacity: 1 }
      : { color: SURFACE, borderColor: color, borderWidth: 2.5, opacity: 1 },
  };
}

/** Two crossed intervals with end caps. An interval of no length is not drawn. */
export function crossBars(
  x: number,
  y: number,
  xs: readonly number[],
  ys: readonly number[],
  color: string,
  width = 1.5,
): CustomSeriesOption {
  const stroke = { stroke: color, lineWidth: width, fill: 'none' };
  const segment = (x1: number, y1: number, x2: number, y2: number) => ({
    type: 'line' as const,
    shape: { x1, y1, x2, y2 },
    style: stroke,
  });
  return {
    type: 'custom',
    silent: true,
    z: 3,
    data: [[x, y]],
    renderItem: (_, api) => {
      const [left, right] = xs.map((at) => api.coord([at, y]));
      const [low, high] = ys.map((at) => api.coord([x, at]));
      const cap = 4;
      const across = [
        segment(left[0], left[1], right[0], right[1]),
        ...[left, right].map(([px, py]) => segment(px, py - cap, px, py + cap)),
      ];
      const upright = [
        segment(low[0], low[1], high[0], high[1]),
        ...[low, high].map(([px, py]) => segment(px - cap, py, px + cap, py)),
      ];
      return {
        type: 'group',
        children: [...(xs[0] === xs[1] ? [] : across), ...(ys[0] === ys[1] ? [] : upright)],
      };
    },
  };
}

/** An upright line through the whole plot. */
export function upright(at: number): CustomSeriesOption {
  return {
    type: 'custom',
    silent: true,
    z: 2,
    data: [[at, 0]],
    renderItem: (params, api) => {
      const [x] = api.coord([at, 0]);
      const plot = params.coordSys as unknown as { readonly y: number; readonly height: number };
      return {
        type: 'line',
        shape: { x1: x, x2: x, y1: plot.y, y2: plot.y + plot.height },
        style: { stroke: INK, lineWidth: 1.5, fill: 'none' },
      };
    },
  };
}

/** A band between the low and the high of each row. */
export function spread(rows: LatencyEntry['rows'], color: string): CustomSeriesOption {
  return {
    type: 'custom',
    silent: true,
    z: 1,
    data: [[0, 0]],
    renderItem: (_, api) => ({
      type: 'polygon',
      shape: {
        points: [
          ...rows.map((r) => api.coord([r.kept, r.high])),
          ...[...rows].reverse().map((r) => api.coord([r.kept, r.low])),
        ],
      },
      style: { fill: color, opacity: 0.18 },
    }),
  };
}

/** An axis from a round number below `low` to one above `high`, in about `ticks` round steps. */
export function niceRange(
  low: number,
  high: number,
  ticks: number,
): { min: number; max: number; interval: number } {
  const span = Math.max(high - low, Math.abs(high) * 1e-6, 1e-9);
  const rough = span / ticks;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const interval =
    [1, 2, 2.5, 5, 10].map((m) => m * magnitude).find((step) => step >= rough * (1 - 1e-9)) ?? rough;
  const tidy = (value: number): number => Number(value.toPrecision(12));
  return {
    min: tidy(Math.floor(low / interval + 1e-9) * interval),
    max: tidy(Math.ceil(high / interval - 1e-9) * interval),
    interval: tidy(interval),
  };
}

/** An axis label: as many decimals as the tick needs, a true minus sign. */
export function tick(value: number): string {
  return String(Number(value.toPrecision(6))).replace('-', '\u2212');
}
