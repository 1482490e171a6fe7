/**
 * What the verbs that make no record print for people: aligned columns, plain text.
 * @module
 */
import type { LatencyEntry, Metric } from './record.ts';
import { plain } from './report/escape.ts';
import { interval, metricInterval, metricStyle, metricValue, milliseconds, ratio } from './report/format.ts';
import { trainingLine } from './report/story.ts';
import type { Comparison } from './runtime/compare.ts';
import type { Block, Refusal } from './structure/block.ts';
import type { Drawn, Lane, Step } from './structure/explain.ts';

export interface Inspection {
  readonly blocks: readonly Omit<Block, 'columns'>[];
  readonly refused: readonly Refusal[];
}

export interface Profile {
  readonly hardware: { readonly cpu: string; readonly fingerprint: string };
  readonly provider: string;
  readonly shape: { readonly batch: number; readonly sequence: number };
  readonly latencyTable: readonly LatencyEntry[];
  readonly fixedMs: number;
  readonly modelMs: number;
}

export interface Evaluation {
  readonly metric: Metric;
  readonly rows: number;
}

/** Columns two spaces apart under a header; columns of numbers are flush right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => lengthOf(row[column]))));
  const isNumeric = header.map((_, column) => rows.every((row) => /^[-−+\d.,%× ]*(ms)?$/.test(row[column])));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const space = ' '.repeat(widths[column] - lengthOf(cell));
        return isNumeric[column] ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd();
  return all.map(line).join('\n');
}

/** What can be removed; what each block is made by, is cut with, and is read by; what stays whole, and why. */
export function inspectionText({ blocks, refused }: Inspection): string {
  const rows = blocks.map((block) => [block.id, String(block.structures), plain(shapeOf(block))]);
  const found =
    blocks.length === 0 ? 'Nothing can be removed.' : table(['block', 'structures', 'each'], rows);
  const kept = refused.map(({ at, reason }) => `  ${plain(at)}: ${plain(reason, 1000)}`);
  return [
    found,
    ...blocks.flatMap((block) => ['', ...partsOf(block)]),
    ...(kept.length === 0 ? [] : ['', `Refused (${kept.length}):`, ...kept]),
  ].join('\n');
}

function partsOf({
  id,
  consumer,
  producers,
  coupled,
  caches = [],
  uses,
}: Inspection['blocks'][number]): string[] {
  const tensor = (name: string, axis: number): string => `${plain(name)}, axis ${axis}`;
  const list = (title: string, lines: readonly string[]): string[] =>
    [...new Set(lines)].map((line, i) => `  ${(i === 0 ? title : '').padEnd(10)}${line}`);
  return [
    id,
    ...list(
      'made by',
      producers.map(({ node, weight, axis }) => `${plain(node)} (${tensor(weight, axis)})`),
    ),
    ...list('cut with', [
      ...coupled.map(({ initializer, axis }) => tensor(initializer, axis)),
      ...caches.map(({ name, end, axis }) => `${tensor(name, axis)}, an ${end} of the model`),
    ]),
    ...list('read by', [
      `${plain(consumer.node)} (${tensor(consumer.weight, consumer.axis)})` +
        (uses > 1 ? `, in ${uses} places` : '') +
        (consumer.bias === undefined ? '' : `; its bias ${plain(consumer.bias)} stays`),
    ]),
  ];
}

/** A block as steps under each other, from the matrix that reads its structures back to those that make them. */
export function graphText(id: string, lane: Lane): string {
  const named = ({ name, axes }: Drawn): string => `${plain(name)} [${plain(axes.join(', '))}]`;
  const ends = ({ end, from }: Lane): string[] => [...(end ? [end.name] : []), ...from.flatMap(ends)];
  const elsewhere = new Set(ends(lane));
  const step = ({ node, opType, makes, reads }: Step): string => {
    const line = `${plain(opType)} [${plain(makes.axes.join(', '))}]`;
    const name = reads.length > 0 || elsewhere.has(node) ? `  ${plain(node)}` : '';
    return `${line}${name}${reads.length > 0 ? ` ← ${reads.map(named).join(', ')}` : ''}`;
  };
  const lines = ({ steps, end, from }: Lane): string[] => [
    ...steps.map(step),
    ...(end ? [`↑ ${named(end)}`] : []),
    ...from.flatMap((one, i) => {
      const isLast = i === from.length - 1;
      return lines(one).map(
        (line, j) => (j === 0 ? (isLast ? '└─ ' : '├─ ') : isLast ? '   ' : '│  ') + line,
      );
    }),
  ];
  return [`${id}: each step reads those below it; * marks what is cut`, '', ...lines(lane)].join('\n');
}

function shapeOf({ kind, headDim, queryHeadsPerStructure = 1, gated }: Inspection['blocks'][number]): string {
  if (kind === 'mlp') return gated ? 'a neuron with its gate' : 'a neuron';
  return queryHeadsPerStructure === 1
    ? `a head of ${headDim}`
    : `a key-value head of ${headDim} with its ${queryHeadsPerStructure} query heads`;
}

export function profileText(profile: Profile): string {
  const { hardware, provider, shape, latencyTable, fixedMs, modelMs } = profile;
  const parts = latencyTable.map(({ kind, blocks, rows }) => {
    const dense = rows.reduce((most, row) => (row.kept > most.kept ? row : most), rows[0]);
    const title = `${kind} (${blocks.length === 1 ? blocks[0] : `${blocks.length} blocks alike: ${blocks.join(', ')}`})`;
    const body = rows.map((row) => [
      String(row.kept),
      milliseconds(row.medianMs),
      `[${milliseconds(row.low)}, ${milliseconds(row.high)}]`,
      row.medianMs > 0 ? ratio(dense.medianMs / row.medianMs) : '',
    ]);
    return `${title}\n${table(['kept', 'median', '95 %', 'speedup'], body)}`;
  });
  return [
    `${plain(hardware.cpu)}, ${provider}, batch ${shape.batch} × ${shape.sequence} tokens (fingerprint ${hardware.fingerprint})`,
    `whole model ${milliseconds(modelMs)}, of which outside the blocks ${milliseconds(fixedMs)}`,
    ...parts,
  ].join('\n\n');
}

export function comparisonText({ models, rounds }: Comparison): string {
  const rows = models.map(({ name, latencyMs, speedup }) => [
    plain(name),
    milliseconds(latencyMs.median),
    speedup === undefined ? 'dense' : ratio(speedup.median),
    speedup === undefined ? '' : interval(speedup.low, speedup.high, 2),
  ]);
  const states = models.flatMap(({ name, speedup }) =>
    speedup?.groups === 2
      ? [
          `${plain(name)}: the machine was seen in two states, ${ratio(speedup.slower!.median)} and ${ratio(speedup.faster!.median)}.`,
        ]
      : [],
  );
  const caption = `${rounds.length} rounds of fresh processes; intervals hold 95 %.`;
  return [table(['model', 'latency', 'speedup', '95 %'], rows), '', caption, ...states].join('\n');
}

export function evaluationText({ metric, rows }: Evaluation): string {
  const { label } = metricStyle(metric.name);
  return `${plain(label)} ${metricValue(metric)} ${metricInterval(metric)} on ${rows} rows`;
}

/** How a training went, and what the model is worth now. */
export function trainingText(report: {
  readonly folder: string;
  readonly metric?: Metric;
  readonly before?: Metric;
  readonly steps: number;
  readonly epochs: number;
  readonly seconds: number;
  readonly stopped: 'finished' | 'plateau';
  readonly curve: readonly { readonly loss: number }[];
  readonly best?: { readonly step: number; readonly loss: number };
}): string {
  const { folder, metric, before, best } = report;
  const shown = (of: Metric) => `${metricValue(of)} ${metricInterval(of)}`;
  return [
    `${plain(folder)}: ${trainingLine(report)}`,
    ...(best === undefined ? [] : [`kept: the weights after step ${best.step}`]),
    ...(metric && before
      ? [`${plain(metricStyle(metric.name).label)} ${shown(metric)}, before ${shown(before)}`]
      : []),
  ].join('\n');
}

const lengthOf = (text: string): number => [...text].length;

/** What was written, and, where caches were cut too, what their shapes are now. */
export function cutText({
  file,
  maxAbsDiff,
  caches,
}: {
  readonly file: string;
  readonly maxAbsDiff: number;
  readonly caches?: readonly {
    readonly name: string;
    readonly axis: number;
    readonly from: number;
    readonly to: number;
  }[];
}): string {
  const wrote = `Wrote ${plain(file)}, which differs from the masked model by ${maxAbsDiff.toExponential(1)} at most.`;
  if (caches === undefined || caches.length === 0) return wrote;
  const rows = caches.map(({ name, axis, from, to }) => [
    plain(name),
    String(axis),
    String(from),
    String(to),
  ]);
  return [
    wrote,
    '',
    'Caches are compact: these inputs and outputs have other shapes now.',
    table(['name', 'axis', 'before', 'now'], rows),
  ].join('\n');
}
