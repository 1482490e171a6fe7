/**
 * The comment on a pull request, the check's text and the job summary: one report, from whole to shortest. Where it does
 * not fit, sections go in a fixed order, the least missed first; none is ever cut, so that no table or fold breaks.
 * @module
 */
import { markdownTable } from 'markdown-table';
import type { RunRecord, Status, TargetRecord } from '../record.ts';
import { againstBase, baseOf } from './base.ts';
import { markdown, markdownCode, markdownHtml } from './escape.ts';
import { change, metricInterval, metricStyle, metricValue, ratio, STATUS_MARK, times } from './format.ts';
import { folded, type ModelCell, overviewTable, type Section, sections } from './markdown.ts';
import { mergeRecords } from './merge.ts';
import { headline, parametersOf, ratioInterval, sizeOf } from './story.ts';

export interface CommentOptions {
  /** The comment's title; a sole record's name where it is left out. */
  readonly title?: string;
  /** Models' SHA-256 → where they can be had: an artifact or a release of GitHub's. */
  readonly artifacts?: ReadonlyMap<string, string>;
  /** The base branch's records; those on equal hardware are compared with. */
  readonly base?: { readonly branch: string; readonly records: readonly RunRecord[] };
  /** Where the whole report is, when this is not it. */
  readonly reportUrl?: string;
}

/** What goes, in this order, and how it is called when it is gone. */
const DROPS: readonly (readonly [Part, string])[] = [
  ['timings', 'timings'],
  ['files', 'hashes of the files'],
  ['refused', 'what is not pruned'],
  ['measurements', 'measurements behind the table'],
  ['method', 'the method'],
  ['training', 'the training'],
  ['widths', "the layers' widths"],
  ['hardware', 'hardware and versions'],
  ['chart', 'charts'],
  ['warnings', 'warnings'],
  ['base', 'the comparison with the base branch'],
  ['setting', 'settings'],
];
type Part = Section['about'] | 'base';

const NAME_LENGTH = 60;
/** What GitHub's artifacts and releases are called; nothing else is ever linked. */
const GITHUB_ADDRESS =
  /^https?:\/\/[\w.-]+(:\d+)?\/[\w.-]+\/[\w.-]+\/(actions\/runs\/\d+(\/artifacts\/\d+)?|releases\/(tag|download)\/[\w.%/-]+)$/;

/**
 * The same report from whole to shortest; the last is below 2,000 characters, whatever the records hold.
 *
 * One record is shown as it is in `report.md`; several share one table, and each has its details folded below it.
 */
export function* commentVersions(
  records: readonly RunRecord[],
  options: CommentOptions = {},
): Generator<string, void, undefined> {
  const merged = mergeRecords(records);
  const title = options.title ?? (merged.length === 1 ? merged[0].name : `${merged.length} models`);
  const head = `### ZipLM: ${markdown(title, NAME_LENGTH)}`;
  if (merged.length === 0) {
    yield text([head, 'There is no record to report.']);
    return;
  }
  const dropped = new Set<Part>();
  yield compose(head, merged, options, dropped);
  for (const [part] of DROPS) {
    dropped.add(part);
    yield compose(head, merged, options, dropped);
  }
  const all = ['everything but the table'];
  if (merged.length > 1) {
    yield text([head, tally(merged), together(merged, options), leftOut(all, options)]);
    yield text([head, tally(merged), overviewTable(merged), leftOut(all, options)]);
  }
  yield text([head, tally(merged), leftOut(['everything but the verdict'], options)]);
}

function compose(
  head: string,
  records: readonly RunRecord[],
  options: CommentOptions,
  dropped: ReadonlySet<Part>,
): string {
  const gone = leftOut(
    DROPS.filter(([part]) => dropped.has(part)).map(([, name]) => name),
    options,
  );
  if (records.length === 1) {
    return text([head, ...parts(records[0], options, dropped).map((part) => part.text), gone]);
  }
  const details = records.map((record) =>
    folded(
      `${markdownHtml(record.name, NAME_LENGTH)}: ${headline(record, markdownHtml).verdict}`,
      parts(record, options, dropped)
        .filter(({ about }) => about !== 'results')
        .map((part) => part.text)
        .join('\n\n'),
    ),
  );
  return text([head, tally(records), together(records, options), ...details, gone]);
}

/** A record's sections but the title, the comparison with the base after its table and chart. */
function parts(
  record: RunRecord,
  options: CommentOptions,
  dropped: ReadonlySet<Part>,
): readonly { readonly about: Part; readonly text: string }[] {
  const own = sections(record, modelCell(options)).filter(({ about }) => about !== 'title');
  const after = own.findIndex(({ about }) => about === 'setting') + 1;
  const compared = comparison(record, options);
  const base = compared === '' ? [] : [{ about: 'base' as const, text: compared }];
  return [...own.slice(0, after), ...base, ...own.slice(after)].filter(({ about }) => !dropped.has(about));
}

/** How many targets of how many models are met, missed and inconclusive. */
function tally(records: readonly RunRecord[]): string {
  const targets = records.flatMap((record) => record.targets);
  const count = (status: Status) => targets.filter((t) => t.status === status).length;
  const said = (['missed', 'inconclusive'] as const)
    .filter((status) => count(status) > 0)
    .map((status) => `${count(status)} ${status}`);
  return (
    `**${count('met')} of ${targets.length} speedup targets met**` +
    `${said.length > 0 ? `, ${said.join(', ')}` : ''}${records.length > 1 ? `, over ${records.length} models` : ''}.`
  );
}

/** All targets of all records in one table. */
function together(records: readonly RunRecord[], options: CommentOptions): string {
  const cell = modelCell(options);
  const rows = records.flatMap((record) =>
    record.targets.map((t) => {
      const { label } = metricStyle(t.metric.name);
      return [
        markdown(record.name, NAME_LENGTH),
        markdown([...record.hardware.gpus.map((gpu) => gpu.name), record.hardware.cpu][0], NAME_LENGTH),
        times(t.target),
        `**${ratio(t.speedup.median)}** ${ratioInterval(t.speedup)}`,
        `${markdown(label, NAME_LENGTH)} ${metricValue(t.metric)} ${metricInterval(t.metric)} (${change(t.metric)})`,
        parametersOf(t, record),
        sizeOf(t, record),
        `${STATUS_MARK[t.status]} ${t.status}`,
        cell(t) ?? markdownCode(t.file, NAME_LENGTH),
      ];
    }),
  );
  const header = [
    'model',
    'on',
    'target',
    'measured speedup',
    'metric',
    'parameters',
    'size',
    'status',
    'artifact',
  ];
  return markdownTable([header, ...rows], { alignDelimiters: false });
}

function comparison(record: RunRecord, { base }: CommentOptions): string {
  if (base === undefined) return '';
  const branch = markdownCode(base.branch, NAME_LENGTH);
  const other = baseOf(record, base.records);
  if (other === undefined) return `Nothing of ${branch} was measured on equal hardware to compare with.`;
  const table = markdownTable(againstBase(record, other).map((row) => [...row]));
  const legend = `The base is ${branch} of ${other.createdAt.slice(0, 10)}, on equal hardware; ≈: the intervals overlap.`;
  return folded(`Against ${markdownHtml(base.branch, NAME_LENGTH)}`, `${table}\n\n${legend}`);
}

/** A link where there is an artifact; else the path, by the renderer's own way. */
function modelCell({ artifacts }: CommentOptions): ModelCell {
  return (target: TargetRecord) => {
    const url = artifacts?.get(target.sha256);
    if (url === undefined || !GITHUB_ADDRESS.test(url)) return undefined;
    return `[${markdownCode(target.file, NAME_LENGTH)}](${url})`;
  };
}

function leftOut(names: readonly string[], { reportUrl }: CommentOptions): string {
  if (names.length === 0) return '';
  const where =
    reportUrl !== undefined && GITHUB_ADDRESS.test(reportUrl)
      ? `[the whole report](${reportUrl})`
      : "the run's artifacts";
  return `Left out to fit: ${names.join(', ')}. Look into ${where}.`;
}

const text = (all: readonly string[]): string => `${all.filter((part) => part !== '').join('\n\n')}\n`;
