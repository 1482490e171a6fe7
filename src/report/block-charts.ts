/**
 * The pictures of a report that show blocks: what each target keeps of them, and what they cost at each width. Drawn
 * as `charts.ts` says.
 * @module
 */
import type { LatencyEntry, RunRecord } from '../record.ts';
import { plain } from './escape.ts';
import { milliseconds, times } from './format.ts';
import { axis, FONT, INK, line, niceRange, SERIES, SOFT, SURFACE, spread, tick } from './marks.ts';
import type { Picture } from './svg.ts';

const KIND_COLOR = { attention: SERIES[0], mlp: SERIES[1] } as const;
export const KIND_WORDS = {
  attention: { block: 'Attention', structures: 'heads' },
  mlp: { block: 'Feed-forward', structures: 'neurons' },
} as const;

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
