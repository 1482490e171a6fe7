/**
 * The report as one HTML file that stands alone: pictures drawn beforehand as SVG, style inside, nothing fetched
 * and nothing run (its own content policy forbids both). For screens wide and narrow, light and dark, and paper.
 * @module
 */
import type { RunRecord, Status, TargetRecord } from '../record.ts';
import { KIND_WORDS, keptStructures, latencyTable } from './block-charts.ts';
import { accuracyAgainstSpeedup, promiseAgainstMeasurement } from './charts.ts';
import { html } from './escape.ts';
import {
  bytes,
  change,
  changeInterval,
  duration,
  metricInterval,
  metricStyle,
  metricValue,
  milliseconds,
  moment,
  quantity,
  ratio,
  relative,
  times,
  withinNoise,
} from './format.ts';
import { lossCurves } from './loss-chart.ts';
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
  trainingLines,
} from './story.ts';
import { STYLE } from './style.ts';
import { drawSvg, type Picture } from './svg.ts';

const MAX_SENTENCE = 1000;
const MAX_JSON = 100_000;
/** Widths in CSS pixels that pictures are drawn for: a page's column, half of it, and a phone. */
const WIDE = 960;
const HALF = 470;
const NARROW = 340;

/** One record, or several merged (a chapter each after an overview), as a whole HTML document. */
export function renderHtml(records: RunRecord | readonly RunRecord[]): string {
  const merged = mergeRecords([records].flat());
  const title = merged.length === 1 ? `ZipLM: ${html(merged[0].name)}` : `ZipLM: ${merged.length} models`;
  const chapters = merged.map((record, i) => chapter(record, `r${i}`));
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    `<title>${title}</title>`,
    `<style>${STYLE}</style>`,
    '</head>',
    '<body>',
    '<main>',
    ...(merged.length > 1 ? [contents(merged)] : []),
    ...chapters,
    '</main>',
    '</body>',
    '</html>',
    '',
  ].join('\n');
}

function contents(records: readonly RunRecord[]): string {
  const [header, ...rows] = overview(records, bdi);
  const linked = rows.map(([name, ...rest], i) => [`<a href="#r${i}">${name}</a>`, ...rest]);
  return (
    `<header class="overview"><p class="eyebrow">ZipLM report</p><h1>${records.length} models</h1></header>` +
    card('', grid(header, linked, 'The models of this report'))
  );
}

function chapter(record: RunRecord, id: string): string {
  const said = headline(record, bdi);
  const { targets, latencyTable: table } = record;
  const kinds = (['attention', 'mlp'] as const).filter((kind) =>
    table.some((e) => e.kind === kind && e.rows.length > 0),
  );
  const parts = [
    `<article id="${id}">`,
    '<header>',
    `<p class="eyebrow">ZipLM report · ${moment(record.createdAt)}</p>`,
    `<h1><bdi>${html(record.name)}</bdi></h1>`,
    `<p class="lead"><strong>${said.verdict}</strong> ${said.detail}</p>`,
    `<p class="setting">${setting(record, html)}</p>`,
    '</header>',
    targets.length > 0 ? `<div class="tiles">${targets.map((t) => tile(t, record)).join('')}</div>` : '',
    ...notes(record).map((note) => `<p class="note">${note}</p>`),
    ...record.warnings.map((warning) => `<p class="note">${html(warning, MAX_SENTENCE)}</p>`),
    targets.length > 0 ? accuracyCard(record, id) : '',
    card('Results', results(record)),
    targets.length > 0 ? promiseCard(record, id) : '',
    targets.some((t) => t.blocks.length > 0)
      ? card(
          'What each target keeps',
          figure((w, part) => keptStructures(record, `${id}-kept-${part}`, w), WIDE, keptCaption(record)),
        )
      : '',
    record.targets.some((t) => t.train !== undefined) ? trainingCard(record, id) : '',
    kinds.length > 0
      ? card(
          'The latency table',
          `<div class="pair">${kinds.map((kind) => `<div><h3>${KIND_WORDS[kind].block}</h3>${figure((w, part) => latencyTable(record, kind, `${id}-table-${kind}-${part}`, w), HALF, '')}</div>`).join('')}</div>` +
            `<p class="caption">Time of one block at each width, in the graph form and shape that runs; the band is the spread of its rounds, dots are widths that the targets use. The whole dense model took ${milliseconds(record.modelMs)} when this was measured, ${milliseconds(record.fixedMs)} of it outside the blocks.</p>` +
            rowsOfTable(record),
        )
      : '',
    card(
      'How it was measured',
      list(methodFacts(record, code)) + (targets.length > 0 ? measurements(record) : ''),
    ),
    `<div class="pair">${card('Hardware and versions', list(hardwareFacts(record, html, code)))}${card('Timings', timings(record))}</div>`,
    card('Files', list(fileFacts(record, code))),
    record.refused.length > 0
      ? card(
          'Not pruned',
          `<ul>${record.refused.map((r) => `<li>${code(r.at)}: ${html(r.reason, MAX_SENTENCE)}</li>`).join('')}</ul>`,
        )
      : '',
    card('', folded('Configuration', `<pre>${json(record.configuration)}</pre>`) + operators(record)),
    '</article>',
  ];
  return parts.filter((part) => part !== '').join('\n');
}

const bdi = (outside: string): string => `<bdi>${html(outside)}</bdi>`;
const code = (outside: string): string => `<code>${html(outside)}</code>`;

function tile(t: TargetRecord, record: RunRecord): string {
  const { label } = metricStyle(t.metric.name);
  return (
    `<section class="tile"><p class="asked">asked: ${times(t.target)}</p>` +
    `<p class="big">${ratio(t.speedup.median)}</p><p class="interval">${ratioInterval(t.speedup)}</p>` +
    `<p>${status(t.status)}</p>` +
    `<p class="facts">${html(label, 40)} ${metricValue(t.metric)} <span class="soft">(${change(t.metric)})</span><br>` +
    `${withinNoise(t.metric) ? '<span class="soft">within noise</span><br>' : ''}` +
    `${bytes(t.bytes)} <span class="soft">(${relative(t.bytes, record.dense.bytes)})</span></p></section>`
  );
}

const STATUS_SIGN: Readonly<Record<Status, string>> = { met: '✓', missed: '✕', inconclusive: '?' };

const status = (s: Status): string =>
  `<span class="status ${s}"><span aria-hidden="true">${STATUS_SIGN[s]}</span> ${s}</span>`;

function accuracyCard(record: RunRecord, id: string): string {
  const { label } = metricStyle(record.dense.metric.name);
  return card(
    `${capital(html(label, 40))} against speedup`,
    figure(
      (w, part) => accuracyAgainstSpeedup(record, `${id}-accuracy-${part}`, w),
      WIDE,
      `${legend(record)} Bars are the intervals of both; dashed lines the speedups asked for; the dotted line the dense model.`,
    ),
  );
}

function promiseCard(record: RunRecord, id: string): string {
  const rounds = record.targets.some((t) => t.roundSpeedups !== undefined);
  return card(
    'Asked, predicted, measured',
    figure(
      (w, part) => promiseAgainstMeasurement(record, `${id}-promise-${part}`, w),
      WIDE,
      `${legend(record)} <span class="key predicted" aria-hidden="true"></span> predicted by the latency table. ${rounds ? 'Small dots are the rounds. ' : ''}A target is met where the whole interval lies right of the line.`,
    ),
  );
}

function trainingCard(record: RunRecord, id: string): string {
  return card(
    'Recovery',
    figure(
      (w, part) => lossCurves(record, `${id}-loss-${part}`, w),
      WIDE,
      'Training loss of each target after its cut, one after the other; dots are the loss on the rows set aside.',
    ) +
      `<ul>${trainingLines(record)
        .map((line) => `<li>${line}</li>`)
        .join('')}</ul>`,
  );
}

/** The marks of the statuses that occur. */
function legend(record: RunRecord): string {
  const present = (['met', 'inconclusive', 'missed'] as const).filter((s) =>
    record.targets.some((t) => t.status === s),
  );
  return `${present.map((s) => `<span class="key ${s}" aria-hidden="true"></span> ${s}`).join(' ')}.`;
}

function keptCaption(record: RunRecord): string {
  const full = (['attention', 'mlp'] as const).flatMap((kind) => {
    const of = [...new Set(record.targets[0].blocks.filter((b) => b.kind === kind).map((b) => b.of))];
    return of.length === 0 ? [] : [`${of.join(' or ')} ${KIND_WORDS[kind].structures}`];
  });
  return `A full bar is the dense layer (${full.join(' and ')}); the number is what stays, 0 a module that is gone.`;
}

/** A picture at the given width, and again for a phone; the style shows one of them. */
function figure(picture: (width: number, part: string) => Picture, width: number, caption: string): string {
  return (
    `<figure><div class="wide">${drawSvg(picture(width, 'wide'))}</div>` +
    `<div class="narrow">${drawSvg(picture(NARROW, 'narrow'))}</div>` +
    `${caption === '' ? '' : `<figcaption class="caption">${caption}</figcaption>`}</figure>`
  );
}

function results(record: RunRecord): string {
  const { dense } = record;
  const { label, points } = metricStyle(dense.metric.name);
  return grid(
    [
      'target',
      'measured speedup',
      html(label, 40),
      `change${points && ', points'}`,
      'parameters',
      'size',
      'status',
      'model',
    ],
    [
      [
        'dense',
        ratio(1),
        `${metricValue(dense.metric)} ${metricInterval(dense.metric)}`,
        '',
        quantity(dense.parameters),
        bytes(dense.bytes),
        '',
        '',
      ],
      ...record.targets.map((t) => [
        times(t.target),
        `<strong>${ratio(t.speedup.median)}</strong> ${ratioInterval(t.speedup)}`,
        `${metricValue(t.metric)} ${metricInterval(t.metric)}`,
        `${change(t.metric)} ${changeInterval(t.metric)}`,
        parametersOf(t, record),
        sizeOf(t, record),
        status(t.status),
        code(t.file),
      ]),
    ],
    'Results: every target against the dense model',
  );
}

function measurements(record: RunRecord): string {
  const [header, ...rows] = proofs(record);
  return grid(
    header,
    rows.map((row) => row.map((cell) => html(cell))),
    'What backs the numbers of each target',
  );
}

function rowsOfTable(record: RunRecord): string {
  const tables = record.latencyTable.map(
    (e) =>
      `<h3><bdi>${html(e.signature)}</bdi></h3><p class="caption">Shared by ${e.blocks.map((b) => html(b)).join(', ')}.</p>` +
      grid(
        [`${KIND_WORDS[e.kind].structures} kept`, 'time', 'from', 'to'],
        e.rows.map((r) => [
          String(r.kept),
          milliseconds(r.medianMs),
          milliseconds(r.low),
          milliseconds(r.high),
        ]),
        `Latency table of ${html(e.signature)}`,
      ),
  );
  return folded('The table in numbers', tables.join(''));
}

function operators(record: RunRecord): string {
  const graphs = [
    { label: 'dense', operators: record.dense.operators },
    ...record.targets.map((t) => ({ label: times(t.target), operators: t.operators })),
  ].flatMap(({ label, operators }) =>
    operators === undefined ? [] : [{ label, counts: new Map(Object.entries(operators)) }],
  );
  if (graphs.length === 0) return '';
  const names = [...new Set(graphs.flatMap((g) => [...g.counts.keys()]))].sort();
  const rows = names.map((name) => [code(name), ...graphs.map((g) => String(g.counts.get(name) ?? 0))]);
  return folded(
    'Operators of the optimised graphs',
    grid(['operator', ...graphs.map((g) => g.label)], rows, 'Operators that run'),
  );
}

function timings(record: RunRecord): string {
  const stages = Object.entries(record.seconds);
  const longest = Math.max(...stages.map(([, s]) => s), 1e-9);
  const total = stages.reduce((sum, [, s]) => sum + s, 0);
  const rows = stages.map(
    ([stage, s]) =>
      `<dt>${html(stage)}</dt><dd><span class="bar" style="--share:${(s / longest).toFixed(3)}"></span><span>${duration(s)}${record.reused.includes(stage) ? ' <span class="soft">(reused)</span>' : ''}</span></dd>`,
  );
  return `<dl class="timings">${rows.join('')}<dt>all stages</dt><dd><strong>${duration(total)}</strong></dd></dl>`;
}

// The vocabulary of elements. Everything passed to these is HTML already.

const card = (title: string, body: string): string =>
  `<section class="card">${title === '' ? '' : `<h2>${title}</h2>`}${body}</section>`;

const folded = (summary: string, body: string): string =>
  `<details><summary>${summary}</summary>${body}</details>`;

const list = ({ lines }: Facts): string =>
  `<dl>${lines.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join('')}</dl>`;

/** A table that scrolls by itself where the page is too narrow for it. */
function grid(header: readonly string[], rows: readonly (readonly string[])[], label: string): string {
  const head = header.map((h) => `<th scope="col">${h}</th>`).join('');
  const body = rows.map((row) => {
    const [first, ...rest] = row;
    return `<tr><th scope="row">${first}</th>${rest.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  });
  return (
    `<div class="scroll" role="region" aria-label="${label}" tabindex="0">` +
    `<table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div>`
  );
}

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

/** Indented JSON, escaped line by line so that its breaks stay. */
function json(value: unknown): string {
  const text = JSON.stringify(value, null, 2).slice(0, MAX_JSON);
  return text
    .split('\n')
    .map((line) => `${/^ */.exec(line)?.[0] ?? ''}${html(line, MAX_SENTENCE)}`)
    .join('\n');
}
