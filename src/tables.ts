/**
 * What the verbs that make no record print for people: aligned columns, plain text.
 * @module
 */
import type { LatencyEntry, Metric } from './record.ts';
import { plain } from './report/escape.ts';
import { interval, metricInterval, metricStyle, metricValue, milliseconds, ratio } from './report/format.ts';
import type { Comparison } from './runtime/compare.ts';
import type { Block, Refusal } from './structure/block.ts';

export interface Inspection {
  readonly blocks: readonly Pick<
    Block,
    'id' | 'kind' | 'structures' | 'headDim' | 'queryHeadsPerStructure' | 'gated'
  >[];
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

export function inspectionText({ blocks, refused }: Inspection): string {
  const rows = blocks.map((block) => [block.id, String(block.structures), plain(shapeOf(block))]);
  const found =
    blocks.length === 0 ? 'Nothing can be removed.' : table(['block', 'structures', 'each'], rows);
  const kept = refused.map(({ at, reason }) => `  ${plain(at)}: ${plain(reason, 1000)}`);
  return [found, ...(kept.length === 0 ? [] : ['', `Refused (${kept.length}):`, ...kept])].join('\n');
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

const lengthOf = (text: string): number => [...text].length;
