/**
 * The report as GitHub-flavoured Markdown: a headline, one table, a picture that nothing depends on, and the rest
 * folded away. Survives GitHub's sanitizer: no HTML but `details`, `summary` and `code`, no images, and no links but
 * those to artifacts that the caller names.
 * @module
 */
import { markdownTable } from 'markdown-table';
import type { RunRecord, TargetRecord } from '../record.ts';
import { markdown, markdownCode, mermaid } from './escape.ts';
import {
  bytes,
  change,
  metricInterval,
  metricStyle,
  metricValue,
  quantity,
  ratio,
  STATUS_MARK,
  times,
} from './format.ts';
import { mergeRecords } from './merge.ts';
import {
  type Facts,
  fileFacts,
  hardwareFacts,
  headline,
  methodFacts,
  notes,
  overview,
  parametersOf,
  proofs,
  ratioInterval,
  setting,
  sizeOf,
  timingFacts,
  trainingLines,
  widths,
} from './story.ts';

/** More points than this are not readable in GitHub's charts. */
const MAX_CHART_POINTS = 12;
const MAX_SENTENCE = 1000;

/** A part of a record's report: what it is about, and its text. */
export interface Section {
  readonly about:
    | 'title'
    | 'verdict'
    | 'results'
    | 'chart'
    | 'setting'
    | 'notes'
    | 'widths'
    | 'training'
    | 'hardware'
    | 'method'
    | 'measurements'
    | 'files'
    | 'timings'
    | 'refused'
    | 'warnings';
  readonly text: string;
}

/** What the cell "model" of a target says, where that is not its path. */
export type ModelCell = (target: TargetRecord) => string | undefined;

/** One record, or several merged (a section each), as Markdown that ends with a line break. */
export function renderMarkdown(records: RunRecord | readonly RunRecord[]): string {
  const merged = mergeRecords([records].flat());
  const texts = merged.map((record) =>
    sections(record)
      .map(({ text }) => text)
      .join('\n\n'),
  );
  return `${[...contents(merged), ...texts].join('\n\n---\n\n')}\n`;
}

function contents(records: readonly RunRecord[]): string[] {
  if (records.length < 2) return [];
  return [`### ZipLM: ${records.length} models\n\n${overviewTable(records)}`];
}

/** A row for each record. */
export const overviewTable = (records: readonly RunRecord[]): string =>
  markdownTable(overview(records, markdown).map((row) => [...row]));

/** A record's report in its parts, in the order in which they are read. Parts without a text are left out. */
export function sections(record: RunRecord, modelCell: ModelCell = () => undefined): Section[] {
  const said = headline(record, markdown);
  const list: readonly (readonly [Section['about'], string])[] = [
    ['title', `### ZipLM: ${markdown(record.name)}`],
    ['verdict', `**${said.verdict}** ${said.detail}`],
    ['results', results(record, modelCell)],
    ['chart', record.targets.length > 0 ? accuracyChart(record.targets, record) : ''],
    ['setting', setting(record, markdown)],
    ...notes(record).map((note) => ['notes', `> ${STATUS_MARK.inconclusive} ${note}`] as const),
    ['widths', folded('Kept heads and neurons', widthTable(record))],
    ['training', foldedList('Training after each cut', trainingLines(record))],
    ['hardware', foldedFacts(hardwareFacts(record, markdown, markdownCode))],
    ['method', foldedFacts(methodFacts(record, markdownCode))],
    [
      'measurements',
      folded(
        'Measurements',
        record.targets.length > 0 ? markdownTable(proofs(record).map((row) => [...row])) : '',
      ),
    ],
    ['files', foldedFacts(fileFacts(record, markdownCode))],
    ['timings', foldedFacts(timingFacts(record, markdown))],
    [
      'refused',
      foldedList(
        `Not pruned (${record.refused.length})`,
        record.refused.map((r) => `${markdownCode(r.at)}: ${markdown(r.reason, MAX_SENTENCE)}`),
      ),
    ],
    [
      'warnings',
      foldedList(
        `Warnings (${record.warnings.length})`,
        record.warnings.map((w) => markdown(w, MAX_SENTENCE)),
      ),
    ],
  ];
  return list.filter(([, text]) => text !== '').map(([about, text]) => ({ about, text }));
}

function results(record: RunRecord, modelCell: ModelCell): string {
  const { dense } = record;
  const { label } = metricStyle(dense.metric.name);
  return markdownTable(
    [
      ['target', 'measured speedup', markdown(label), 'parameters', 'size', 'status', 'model'],
      [
        'dense',
        ratio(1),
        `${metricValue(dense.metric)} ${metricInterval(dense.metric)}`,
        quantity(dense.parameters),
        bytes(dense.bytes),
        '',
        markdownCode(record.model.file),
      ],
      ...record.targets.map((t) => [
        times(t.target),
        `**${ratio(t.speedup.median)}** ${ratioInterval(t.speedup)}`,
        `${metricValue(t.metric)} ${metricInterval(t.metric)} (${change(t.metric)})`,
        parametersOf(t, record),
        sizeOf(t, record),
        `${STATUS_MARK[t.status]} ${t.status}`,
        modelCell(t) ?? markdownCode(t.file),
      ]),
    ],
    { align: ['r', 'l', 'l', 'r', 'r', 'l', 'l'] },
  );
}

/** The metric over the targets. The table above holds the same numbers. */
function accuracyChart(targets: readonly TargetRecord[], record: RunRecord): string {
  if (targets.length >= MAX_CHART_POINTS) return '';
  const { label, scale, suffix } = metricStyle(record.dense.metric.name);
  const values = [record.dense.metric.value, ...targets.map((t) => t.metric.value)].map((v) => v * scale);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const pad = Math.max((high - low) * 0.15, scale * 0.005);
  const unit = suffix === '' ? '' : ', %';
  const axis = ['dense', ...targets.map((t) => `${Number(t.target.toFixed(4))}x`)].map((x) => `"${x}"`);
  return [
    '```mermaid',
    'xychart-beta',
    `  title "${mermaid(label)} over target speedup"`,
    `  x-axis "target speedup" [${axis.join(', ')}]`,
    `  y-axis "${mermaid(label)}${unit}" ${number(low - pad)} --> ${number(high + pad)}`,
    `  line [${values.map(number).join(', ')}]`,
    '```',
  ].join('\n');
}

/** As mermaid's grammar has numbers: no exponent, an ASCII sign. */
const number = (value: number): string =>
  value.toFixed(Math.abs(value) >= 1e15 ? 0 : 3).replace(/^-(0\.0+)$/, '$1');

function widthTable(record: RunRecord): string {
  const { targets, rows } = widths(record);
  if (rows.length === 0) return '';
  return markdownTable(
    [['block', 'dense', ...targets], ...rows.map((row) => [markdown(row.id), String(row.of), ...row.kept])],
    { align: ['l', ...Array<string>(targets.length + 1).fill('r')] },
  );
}

/** A body under a line that opens it; nothing where there is no body. The summary is ours or escaped. */
export function folded(summary: string, body: string): string {
  return body === '' ? '' : `<details><summary>${summary}</summary>\n\n${body}\n\n</details>`;
}

function foldedList(summary: string, items: readonly string[]): string {
  return folded(summary, items.map((item) => `- ${item}`).join('\n'));
}

function foldedFacts({ title, lines }: Facts): string {
  return foldedList(
    title,
    lines.map(([name, value]) => `${name}: ${value}`),
  );
}
