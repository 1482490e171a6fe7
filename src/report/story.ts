/**
 * What a report says, before any format says it: the sentences, the rows and the facts that the terminal, Markdown
 * and HTML all draw from, and how several records become one report.
 * @module
 */
import type { MedianInterval, RunRecord, TargetRecord } from '../record.ts';
import {
  bytes,
  change,
  changeInterval,
  decimal,
  duration,
  interval,
  memory,
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

/** How a format shows a string from outside. Every such string in this file passes through one. */
export type Escape = (outside: string) => string;

/** Above this the cut model is not the masked one up to rounding. */
const EQUIVALENCE_LIMIT = 1e-4;

/** "3 of 4 speedup targets met." and what the best of them is worth. */
export interface Headline {
  readonly verdict: string;
  readonly detail: string;
}

export function headline(record: RunRecord, safe: Escape): Headline {
  const { targets } = record;
  const met = targets.filter((t) => t.status === 'met');
  return { verdict: verdict(met.length, targets.length), detail: detail(record, met, safe) };
}

function verdict(met: number, all: number): string {
  if (all === 0) return 'No speedup was asked for.';
  if (all === 1) return met === 1 ? 'The speedup target is met.' : 'The speedup target is not met.';
  if (met === all) return `All ${all} speedup targets are met.`;
  return `${met === 0 ? 'None' : met} of ${all} speedup targets ${met === 1 ? 'is' : 'are'} met.`;
}

function detail(record: RunRecord, met: readonly TargetRecord[], safe: Escape): string {
  const name = safe(record.name);
  const dense = `The dense model takes ${milliseconds(record.dense.latencyMs.median)} and has ${safe(metricStyle(record.dense.metric.name).label)} ${metricValue(record.dense.metric)}.`;
  const best = [...(met.length > 0 ? met : record.targets)].sort((a, b) => b.target - a.target)[0];
  if (best === undefined) return `${name}: ${dense}`;
  const { metric } = best;
  const style = metricStyle(metric.name);
  return (
    `At ${times(best.target)}, ${name} runs ${ratio(best.speedup.median)} ${ratioInterval(best.speedup)} as fast as the dense model, ` +
    `with ${safe(style.label)} ${metricValue(metric)}: ${change(metric)}${style.points} ${changeInterval(metric)}` +
    `${withinNoise(metric) ? ', within noise' : ''}.`
  );
}

export const ratioInterval = (speedup: MedianInterval): string => interval(speedup.low, speedup.high, 2);

/** What the reader must know beside the table, one sentence each. */
export function notes(record: RunRecord): readonly string[] {
  const noise = record.hardware.noise?.length ?? 0;
  const loud =
    noise === 0
      ? []
      : [
          `The machine was not fit to measure on when the run began (see ${noise === 1 ? 'the warning' : 'the warnings'} about it): do not compare these latencies.`,
        ];
  return loud.concat(
    record.targets.flatMap((t) => {
      const at = `At ${times(t.target)}`;
      const said: string[] = [];
      if (t.groups === 2) {
        said.push(
          `${at} the ${t.rounds} rounds fell into two groups: the machine was seen in two states, and a target is met ` +
            'only if the slower one reaches it.',
        );
      }
      if (t.status === 'inconclusive' && t.groups === 1) {
        said.push(
          `${at} the interval ${ratioInterval(t.speedup)} holds the target: faster or slower than it, the rounds do not say.`,
        );
      }
      if (t.maskEquivalence.maxAbsDiff > EQUIVALENCE_LIMIT) {
        said.push(
          `${at} the cut model's outputs differ from the masked model's by up to ` +
            `${scientific(t.maskEquivalence.maxAbsDiff)}: look before you use it.`,
        );
      }
      return said;
    }),
  );
}

/** One line for "on what, and for which shape". */
export function setting(record: RunRecord, safe: Escape): string {
  const { hardware: h, shape } = record;
  const machine = [h.cpu, ...h.gpus.map((g) => g.name)].map((name) => safe(name)).join(', ');
  return (
    `${machine}, ${h.cores} ${h.cores === 1 ? 'core' : 'cores'} · ${safe(record.provider)}` +
    `${record.threads > 0 ? `, ${record.threads} ${record.threads === 1 ? 'thread' : 'threads'}` : ''}` +
    ` · batch ${shape.batch} × ${shape.sequence} tokens`
  );
}

/** What several records come to: a header, and a row for each, ready to show. */
export function overview(records: readonly RunRecord[], safe: Escape): readonly (readonly string[])[] {
  return [
    ['model', 'measured on', 'targets met', 'fastest met', 'with'],
    ...records.map((record) => {
      const met = record.targets.filter((t) => t.status === 'met');
      const best = met.toSorted((a, b) => b.target - a.target)[0];
      return [
        safe(record.name),
        setting(record, safe),
        `${met.length} of ${record.targets.length}`,
        ...(best === undefined
          ? ['', '']
          : [
              `${ratio(best.speedup.median)} ${ratioInterval(best.speedup)}`,
              `${safe(metricStyle(best.metric.name).label)} ${metricValue(best.metric)} (${change(best.metric)})`,
            ]),
      ];
    }),
  ];
}

/** A heading and its `name: value` lines. Names are ours or escaped; values are ready to show. */
export interface Facts {
  readonly title: string;
  readonly lines: readonly (readonly [name: string, value: string])[];
}

/** `safe` for words, `code` for paths and hashes. */
export function hardwareFacts(record: RunRecord, safe: Escape, code: Escape): Facts {
  const { hardware: h, versions: v } = record;
  const gpus = h.gpus.map((g) =>
    [
      safe(g.name),
      ...(g.memoryBytes === undefined ? [] : [memory(g.memoryBytes)]),
      ...(g.driver === undefined ? [] : [`driver ${safe(g.driver)}`]),
      ...gpuState(g, safe),
    ].join(', '),
  );
  return {
    title: 'Hardware and versions',
    lines: [
      [
        'CPU',
        `${safe(h.cpu)}, ${h.cores} ${h.cores === 1 ? 'core' : 'cores'}, ${memory(h.memoryBytes)} memory`,
      ],
      ...gpus.map((gpu) => ['GPU', gpu] as const),
      ...(h.load === undefined
        ? []
        : [['Load when it began', `${Math.round(h.load * 100)} % of the processors`] as const]),
      ...(h.occupants ?? []).map((o) => ['Other program on the GPU', safe(o.name)] as const),
      ['System', safe(h.os)],
      [
        'Provider',
        `${safe(record.provider)}, ${record.threads} intra-op threads${h.tf32 === undefined ? '' : `, TF32 ${h.tf32 ? 'on' : 'off'}`}`,
      ],
      ['Versions', `ziplm ${safe(v.ziplm)}, ONNX Runtime ${safe(v.onnxruntime)}, Node ${safe(v.node)}`],
      ['Fingerprint', code(h.fingerprint)],
    ],
  };
}

/** What NVIDIA's tool said of a GPU when the run began; nothing of others. */
function gpuState(gpu: RunRecord['hardware']['gpus'][number], safe: Escape): string[] {
  const { uuid, clocksMHz, powerCapWatts, temperatureCelsius, ecc, mig, throttled = [] } = gpu;
  const held = throttled.filter((reason) => reason !== 'gpu_idle');
  return [
    ...(uuid === undefined ? [] : [safe(uuid)]),
    ...(clocksMHz?.sm === undefined ? [] : [`${clocksMHz.sm} of ${clocksMHz.maxSm ?? '?'} MHz`]),
    ...(powerCapWatts === undefined ? [] : [`at most ${powerCapWatts} W`]),
    ...(temperatureCelsius === undefined ? [] : [`${temperatureCelsius} °C`]),
    ...(ecc === undefined ? [] : [`ECC ${ecc ? 'on' : 'off'}`]),
    ...(mig === true ? ['MIG'] : []),
    ...(held.length === 0 ? [] : [`held down by ${safe(held.join(', '))}`]),
  ];
}

export function methodFacts(record: RunRecord, code: Escape): Facts {
  const { model, shape, latencyTable, targets } = record;
  const rounds = [...new Set(targets.map((t) => t.rounds))].sort((a, b) => a - b);
  const blocks = targets[0]?.blocks.length ?? latencyTable.reduce((n, entry) => n + entry.blocks.length, 0);
  return {
    title: 'Method',
    lines: [
      ['Dense model', `${code(model.file)}, ${bytes(model.bytes)}, ${quantity(model.parameters)} parameters`],
      [
        'Can be pruned',
        `${blocks} blocks${model.prunableParameters === undefined ? '' : ` with ${quantity(model.prunableParameters)} parameters`}; ${record.refused.length === 1 ? '1 place' : `${record.refused.length} places`} refused`,
      ],
      ['Shape', `batch ${shape.batch} × ${shape.sequence} tokens`],
      [
        'Speedup',
        'dense time over pruned time of the written files, each timed alone in fresh processes' +
          `${rounds.length > 0 ? `; ${rounds.join(' to ')} rounds spread over the run` : ''}; the interval holds the spread between rounds`,
      ],
      ['Met', "the interval's lower end reaches the target"],
      [
        'Latency table',
        `the dense model took ${milliseconds(record.modelMs)} when it was made, ${milliseconds(record.fixedMs)} of it outside the blocks`,
      ],
      ['Created', moment(record.createdAt)],
    ],
  };
}

/** What backs each target's numbers: a header and a row per target, all cells ready to show. */
export function proofs(record: RunRecord): readonly (readonly string[])[] {
  const { points } = metricStyle(record.dense.metric.name);
  return [
    [
      'target',
      'predicted',
      'measured',
      'rounds',
      'latency',
      `change${points && ', points'}`,
      'p',
      'searches',
      'evaluations',
      'calibration loss',
      'cut − masked',
    ],
    ...record.targets.map((t) => [
      times(t.target),
      ratio(t.predicted),
      ratio(t.speedup.median),
      `${t.rounds}${t.groups === 2 ? ' in 2 groups' : ''}`,
      milliseconds(t.latencyMs.median),
      `${change(t.metric)} ${changeInterval(t.metric)}`,
      probability(t.metric.pValue),
      String(t.search.iterations),
      String(t.search.evaluations),
      decimal(t.search.calibrationLoss, 4),
      scientific(t.maskEquivalence.maxAbsDiff),
    ]),
  ];
}

type Training = NonNullable<TargetRecord['train']>;

/** 312 steps (4 epochs) in 3 min 20 s, loss 0.412 → 0.081, validation 0.0231; stopped at a plateau */
export function trainingLine(
  training: Pick<Training, 'steps' | 'epochs' | 'seconds' | 'stopped' | 'best'> & {
    readonly curve: readonly { readonly loss: number }[];
  },
): string {
  const { steps, epochs, seconds, stopped, curve, best } = training;
  const [first, last] = [curve.at(0), curve.at(-1)];
  return (
    `${steps} steps (${Number(epochs.toFixed(1))} ${epochs === 1 ? 'epoch' : 'epochs'}) in ${duration(seconds)}` +
    `${first && last ? `, loss ${lossValue(first.loss)} → ${lossValue(last.loss)}` : ''}` +
    `${best === undefined ? '' : `, validation ${lossValue(best.loss)}`}` +
    `${stopped === 'plateau' ? '; stopped at a plateau' : ''}`
  );
}

/** Three digits, however small. */
export const lossValue = (loss: number): string => String(Number(loss.toPrecision(3))).replace('-', '\u2212');

/** How each target was trained: `2×: …`. Empty where nothing was. */
export function trainingLines(record: RunRecord): readonly string[] {
  return record.targets.flatMap(({ target, train }) =>
    train === undefined ? [] : [`${times(target)}: ${trainingLine(train)}`],
  );
}

/** Every file that the report speaks of, with its hash. */
export function fileFacts(record: RunRecord, code: Escape): Facts {
  const files = [record.model, ...record.targets];
  return { title: 'Files (SHA-256)', lines: files.map((f) => [code(f.file), code(f.sha256)] as const) };
}

function probability(p: number | undefined): string {
  return p === undefined ? '' : p < 0.001 ? '< 0.001' : decimal(p, 3);
}

export function timingFacts(record: RunRecord, safe: Escape): Facts {
  const stages = Object.entries(record.seconds);
  const total = stages.reduce((sum, [, seconds]) => sum + seconds, 0);
  return {
    title: 'Timings',
    lines: [
      ...stages.map(
        ([stage, seconds]) =>
          [safe(stage), `${duration(seconds)}${record.reused.includes(stage) ? ' (reused)' : ''}`] as const,
      ),
      ['all stages', duration(total)],
    ],
  };
}

/** Kept structures: one row per block, one column per target. */
export interface Widths {
  readonly targets: readonly string[];
  readonly rows: readonly { readonly id: string; readonly of: number; readonly kept: readonly string[] }[];
}

export function widths(record: RunRecord): Widths {
  const blocks = new Map<string, number>();
  for (const t of record.targets) for (const b of t.blocks) blocks.set(b.id, b.of);
  const kept = record.targets.map((t) => new Map(t.blocks.map((b) => [b.id, b.kept])));
  return {
    targets: record.targets.map((t) => times(t.target)),
    rows: [...blocks].map(([id, of]) => ({ id, of, kept: kept.map((k) => String(k.get(id) ?? '')) })),
  };
}

/** 14.2 M (−38%) */
export const parametersOf = (t: TargetRecord, record: RunRecord): string =>
  `${quantity(t.parameters)} (${relative(t.parameters, record.dense.parameters)})`;

export const sizeOf = (t: TargetRecord, record: RunRecord): string =>
  `${bytes(t.bytes)} (${relative(t.bytes, record.dense.bytes)})`;

/** 3.1e-7 */
function scientific(value: number): string {
  return value === 0 ? '0' : value.toExponential(1).replace('e-', 'e\u2212').replace('e+', 'e');
}
