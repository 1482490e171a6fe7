/**
 * The report for a terminal: plain lines and aligned columns, no colours, so that it survives a log and a pipe.
 * @module
 */
import type { RunRecord } from '../record.ts';
import { plain } from './escape.ts';
import {
  bytes,
  change,
  changeInterval,
  duration,
  metricInterval,
  metricStyle,
  metricValue,
  milliseconds,
  quantity,
  ratio,
  times,
} from './format.ts';
import { mergeRecords } from './merge.ts';
import { headline, notes, overview, parametersOf, ratioInterval, setting, trainingLines } from './story.ts';

/** One record, or several merged, as text that ends with a line break. */
export function renderText(records: RunRecord | readonly RunRecord[]): string {
  const merged = mergeRecords([records].flat());
  const contents = merged.length < 2 ? [] : [`${table(overview(merged, plain)).join('\n')}\n`];
  return [...contents, ...merged.map(one)].join(`\n${'─'.repeat(80)}\n\n`);
}

function one(record: RunRecord): string {
  const said = headline(record, plain);
  const parts = [
    [plain(record.name), setting(record, plain)],
    [said.verdict, said.detail],
    table(results(record)),
    notes(record).map((note) => `* ${note}`),
    keptLines(record),
    bullets('Trained', trainingLines(record)),
    bullets('Warnings', record.warnings),
    bullets(
      'Not pruned',
      record.refused.map((r) => `${plain(r.at)}: ${plain(r.reason)}`),
    ),
    [timing(record)],
  ];
  return `${parts
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

/** Header, dense row, one row per target. */
function results(record: RunRecord): readonly (readonly string[])[] {
  const { dense } = record;
  const { label, points } = metricStyle(dense.metric.name);
  return [
    [
      'target',
      'measured',
      'latency',
      plain(label),
      `change${points && ', points'}`,
      'parameters',
      'size',
      'status',
      'model',
    ],
    [
      'dense',
      ratio(1),
      milliseconds(dense.latencyMs.median),
      `${metricValue(dense.metric)} ${metricInterval(dense.metric)}`,
      '',
      quantity(dense.parameters),
      bytes(dense.bytes),
      '',
      plain(record.model.file),
    ],
    ...record.targets.map((t) => [
      times(t.target),
      `${ratio(t.speedup.median)} ${ratioInterval(t.speedup)}`,
      milliseconds(t.latencyMs.median),
      `${metricValue(t.metric)} ${metricInterval(t.metric)}`,
      `${change(t.metric)} ${changeInterval(t.metric)}`,
      parametersOf(t, record),
      bytes(t.bytes),
      t.status,
      plain(t.file),
    ]),
  ];
}

/** Columns two spaces apart; the first row is the header. */
function table(rows: readonly (readonly string[])[]): string[] {
  const width = rows[0].map((_, column) => Math.max(...rows.map((row) => [...row[column]].length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell + ' '.repeat(width[column] - [...cell].length))
      .join('  ')
      .trimEnd();
  return [line(rows[0]), width.map((w) => '─'.repeat(w)).join('  '), ...rows.slice(1).map(line)];
}

/** A row per target and a column per kind, layer by layer. */
function keptLines(record: RunRecord): string[] {
  const blocks = record.targets[0]?.blocks ?? [];
  const kinds = [...new Set(blocks.map((b) => b.kind))];
  if (kinds.length === 0) return [];
  const digits = (kind: string): number =>
    Math.max(...blocks.filter((b) => b.kind === kind).map((b) => String(b.of).length));
  const row = (label: string, of: (kind: string) => readonly number[]): string[] => [
    label,
    ...kinds.map((kind) =>
      of(kind)
        .map((n) => String(n).padStart(digits(kind)))
        .join(' '),
    ),
  ];
  return table([
    ['kept', ...kinds.map((kind) => KEPT[kind])],
    row('dense', (kind) => blocks.filter((b) => b.kind === kind).map((b) => b.of)),
    ...record.targets.map((t) =>
      row(times(t.target), (kind) => t.blocks.filter((b) => b.kind === kind).map((b) => b.kept)),
    ),
  ]);
}

const KEPT = { attention: 'heads, layer by layer', mlp: 'neurons, layer by layer' } as const;

function bullets(title: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`${title}:`, ...items.map((item) => `- ${plain(item, 1000)}`)];
}

function timing(record: RunRecord): string {
  const stages = Object.entries(record.seconds);
  const total = stages.reduce((sum, [, s]) => sum + s, 0);
  const each = stages.map(
    ([stage, s]) => `${plain(stage)} ${duration(s)}${record.reused.includes(stage) ? ' (reused)' : ''}`,
  );
  return `Time: ${duration(total)}${each.length > 0 ? ` (${each.join(', ')})` : ''}`;
}
