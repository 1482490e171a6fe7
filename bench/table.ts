/**
 * A run of bench/minilm.yml beside the one-shot peers, and whether it is good enough.
 *
 *   npx node bench/table.ts RUN.json [--peers ../shared/peers/results.json] [--reference SECONDS]
 *
 * Prints Markdown; exits with 1 when a criterion fails. Wall time and memory come from `OUTPUT.measured.json` where
 * bench/run.ts left one; --reference is what bench/reference.sh took on this machine in the same hour.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { markdownTable } from 'markdown-table';
import { type RunRecord, readRecord, type TargetRecord } from '../src/record.ts';
import { mean } from '../src/tensor/statistics.ts';
import type { Measured } from './run.ts';

/** The noise of 1,821 rows: how far a target may lie below the best peer. */
const NOISE = 0.005;
const OVERSHOOT = 1.08;
const MASK_TOLERANCE = 1e-4;
const WALL_SECONDS = 600;
const PEAK_BYTES = 3e9;

interface Peer {
  readonly name: string;
  /** Target → accuracy, a fraction. */
  readonly accuracy: ReadonlyMap<number, number>;
}

interface Criterion {
  readonly what: string;
  /** Undefined where it was not measured. */
  readonly passed: boolean | undefined;
  readonly found: string;
}

/** The peers that have all of these targets, the best on average first. */
function readPeers(file: string, targets: readonly number[]): Peer[] {
  const results = JSON.parse(readFileSync(file, 'utf8')) as Record<string, { accuracy?: number }>;
  const byName = new Map<string, Map<number, number>>();
  for (const [key, { accuracy }] of Object.entries(results)) {
    const [name, target] = key.split('@');
    if (target === undefined || accuracy === undefined) continue;
    byName.set(name, (byName.get(name) ?? new Map()).set(Number(target), accuracy));
  }
  return [...byName]
    .map(([name, accuracy]) => ({ name, accuracy }))
    .filter(({ accuracy }) => targets.every((target) => accuracy.has(target)))
    .sort((a, b) => meanAccuracy(b, targets) - meanAccuracy(a, targets));
}

const meanAccuracy = ({ accuracy }: Peer, targets: readonly number[]) =>
  mean(targets.map((target) => accuracy.get(target)!));
const meanOfRun = ({ targets }: RunRecord) => mean(targets.map(({ metric }) => metric.value));

const percent = (share: number, digits = 2) => (100 * share).toFixed(digits);
const ratio = (value: number) => value.toFixed(3);
const times = ({ target }: TargetRecord) => `${target}×`;

function accuracyTable(record: RunRecord, peers: readonly Peer[]): string {
  const { dense, targets } = record;
  const goals = targets.map(({ target }) => target);
  return markdownTable(
    [
      [
        'target',
        'measured speedup [95 %]',
        'status',
        'accuracy, % [95 %]',
        'against dense',
        ...peers.map(({ name }) => name),
      ],
      [
        'dense',
        '1',
        '',
        `${percent(dense.metric.value)} [${percent(dense.metric.low, 1)}, ${percent(dense.metric.high, 1)}]`,
        '',
        ...peers.map(() => ''),
      ],
      ...targets.map((t) => [
        times(t),
        `${ratio(t.speedup.median)} [${ratio(t.speedup.low)}, ${ratio(t.speedup.high)}]`,
        t.groups === 2 ? `${t.status}, two states` : t.status,
        `**${percent(t.metric.value)}** [${percent(t.metric.low, 1)}, ${percent(t.metric.high, 1)}]`,
        percent(t.metric.delta),
        ...peers.map(({ accuracy }) => percent(accuracy.get(t.target)!)),
      ]),
      [
        'mean',
        '',
        '',
        `**${percent(meanOfRun(record))}**`,
        '',
        ...peers.map((peer) => percent(meanAccuracy(peer, goals))),
      ],
    ],
    { align: ['r', 'l', 'l', 'l', 'r', ...peers.map(() => 'r')] },
  );
}

function criteria(
  record: RunRecord,
  peers: readonly Peer[],
  measured: Measured | undefined,
  referenceSeconds: number | undefined,
): Criterion[] {
  const { targets, dense } = record;
  const goals = targets.map(({ target }) => target);
  const bestMean = meanAccuracy(peers[0], goals);
  const over = targets.filter(
    (t) => t.speedup.median > t.target * OVERSHOOT && t.groups === 1 && t.metric.value < dense.metric.value,
  );
  const worstMask = Math.max(...targets.map(({ maskEquivalence }) => maskEquivalence.maxAbsDiff));
  const wall = measured?.wallSeconds;
  return [
    ...targets.map((t) => {
      const best = peers.reduce((a, b) => (b.accuracy.get(t.target)! > a.accuracy.get(t.target)! ? b : a));
      const peak = best.accuracy.get(t.target)!;
      return {
        what: `accuracy at ${times(t)} no worse than the best peer's, less half a point`,
        passed: t.metric.value >= peak - NOISE,
        found: `${percent(t.metric.value)}; ${best.name} ${percent(peak)}`,
      };
    }),
    {
      what: `mean accuracy of the ${targets.length} above every peer's`,
      passed: meanOfRun(record) > bestMean,
      found: `${percent(meanOfRun(record))}; ${peers[0].name} ${percent(bestMean)}`,
    },
    {
      what: 'all targets met',
      passed: targets.every(({ status }) => status === 'met'),
      found: targets.map((t) => `${times(t)} ${t.status}`).join(', '),
    },
    {
      what: 'none more than 8 % above its target, unless as accurate as dense or seen in two states',
      passed: over.length === 0,
      found: targets.map((t) => `${percent(t.speedup.median / t.target - 1, 1)} %`).join(', '),
    },
    {
      what: 'cut against masked model: logits differ by at most 1e-4',
      passed: worstMask <= MASK_TOLERANCE,
      found: worstMask.toExponential(1),
    },
    {
      what: 'the whole family, evaluation included, in under ten minutes',
      passed: wall === undefined || record.reused.length > 0 ? undefined : wall < WALL_SECONDS,
      found: wall === undefined ? 'run it by bench/run.ts' : `${wall.toFixed(0)} s`,
    },
    {
      what: 'no slower than the PyTorch reference on the same machine in the same hour',
      passed: wall === undefined || referenceSeconds === undefined ? undefined : wall <= referenceSeconds,
      found:
        referenceSeconds === undefined
          ? 'give --reference SECONDS, of bench/reference.sh'
          : `${wall?.toFixed(0)} s; ${referenceSeconds} s`,
    },
    {
      what: 'peak memory of all processes under 3 GB',
      passed: measured === undefined ? undefined : measured.peakBytes < PEAK_BYTES,
      found:
        measured === undefined ? 'run it by bench/run.ts' : `${(measured.peakBytes / 1e9).toFixed(2)} GB`,
    },
  ];
}

const verdict = (passed: boolean | undefined) =>
  passed === undefined ? 'not measured' : passed ? 'pass' : '**FAIL**';

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: {
      peers: {
        type: 'string',
        default: fileURLToPath(new URL('../../shared/peers/results.json', import.meta.url)),
      },
      reference: { type: 'string' },
    },
    allowPositionals: true,
  });
  if (positionals.length !== 1) {
    console.error('usage: npx node bench/table.ts RUN.json [--peers results.json] [--reference SECONDS]');
    process.exit(2);
  }
  const record = await readRecord(positionals[0]);
  const peers = readPeers(
    values.peers,
    record.targets.map(({ target }) => target),
  );
  if (peers.length === 0) {
    console.error(`bench: no peer in ${values.peers} has all of the targets of ${positionals[0]}`);
    process.exit(2);
  }
  const beside = `${dirname(resolve(positionals[0]))}.measured.json`;
  const measured = existsSync(beside) ? (JSON.parse(readFileSync(beside, 'utf8')) as Measured) : undefined;
  const reference = values.reference === undefined ? undefined : Number(values.reference);
  const { hardware, versions, threads, shape, seconds, reused } = record;
  console.log(
    `${hardware.cpu}, ${hardware.cores} cores, ${hardware.os}; fingerprint ${hardware.fingerprint}; node ${versions.node}, ` +
      `onnxruntime ${versions.onnxruntime}, ${threads === 0 ? "onnxruntime's own number of" : threads} threads; batch ` +
      `${shape.batch} × ${shape.sequence} tokens; ${record.createdAt}\n`,
  );
  console.log(accuracyTable(record, peers));
  const found = criteria(record, peers, measured, reference);
  console.log(
    `\n${markdownTable([['criterion', 'found', ''], ...found.map((c) => [c.what, c.found, verdict(c.passed)])])}`,
  );
  const stages = Object.entries(seconds).map(([stage, s]) => `${stage} ${s.toFixed(1)}`);
  console.log(
    `\nSeconds: ${stages.join(', ')}${reused.length > 0 ? `. Reused from an earlier run: ${reused.join(', ')}` : ''}.`,
  );
  process.exitCode = found.some(({ passed }) => passed === false) ? 1 : 0;
}
