/**
 * Records to render: one of a real shape (the pruning of a six-layer, 384-wide encoder on two cores, with the
 * latency table that such a machine gave), and ways to bend it.
 */
import type { RunRecord, TargetRecord } from '../../src/record.ts';

const HEADS_MS = [
  [12, 6.944],
  [11, 6.23],
  [10, 5.796],
  [9, 5.152],
  [8, 4.747],
  [7, 3.955],
  [6, 3.48],
  [5, 2.986],
  [4, 2.439],
  [3, 2.005],
  [2, 1.448],
  [1, 0.97],
  [0, 0.0],
] as const;
const NEURONS_MS = [
  [1536, 12.452],
  [1382, 10.556],
  [1244, 9.555],
  [1120, 8.345],
  [1008, 7.736],
  [907, 6.943],
  [816, 6.057],
  [735, 5.636],
  [661, 5.092],
  [595, 4.588],
  [536, 4.097],
  [482, 3.774],
  [434, 3.417],
  [390, 3.089],
  [351, 2.838],
  [316, 2.559],
  [285, 2.332],
  [256, 2.091],
  [231, 1.942],
  [207, 1.786],
  [187, 1.631],
  [168, 1.542],
  [151, 1.409],
  [136, 1.311],
  [123, 1.218],
  [110, 1.13],
  [99, 1.067],
  [89, 1.027],
  [80, 0.915],
  [72, 0.887],
  [65, 0.857],
  [59, 0.799],
  [53, 0.78],
  [47, 0.7],
  [43, 0.69],
  [38, 0.699],
  [35, 0.659],
  [31, 0.591],
  [28, 0.606],
  [25, 0.595],
  [23, 0.613],
  [20, 0.544],
  [18, 0.586],
  [17, 0.552],
  [0, 0.0],
] as const;

const rows = (table: readonly (readonly [number, number])[]) =>
  table.map(([kept, medianMs]) => ({ kept, medianMs, low: medianMs * 0.98, high: medianMs * 1.03 }));

/** Eight rounds around the median; with two groups, the first three at the low end. */
const rounds = ({ median, low }: TargetRecord['speedup'], groups: 1 | 2): number[] =>
  Array.from({ length: 8 }, (_, i) =>
    groups === 2 && i < 3 ? low * (1 + 0.003 * i) : median * (1 + 0.0008 * (i - 4)),
  );

const digest = (digit: string): string => digit.repeat(64);

function target(
  asked: number,
  given: Pick<TargetRecord, 'speedup' | 'predicted' | 'status' | 'parameters' | 'bytes'> & {
    readonly metric: readonly [value: number, deltaLow: number, deltaHigh: number, pValue: number];
    readonly heads: readonly number[];
    readonly neurons: readonly number[];
    readonly groups?: 1 | 2;
    readonly loss: number;
  },
): TargetRecord {
  const [value, deltaLow, deltaHigh, pValue] = given.metric;
  const ms = DENSE_MS / given.speedup.median;
  return {
    target: asked,
    speedup: given.speedup,
    rounds: 8,
    groups: given.groups ?? 1,
    roundSpeedups: rounds(given.speedup, given.groups ?? 1),
    predicted: given.predicted,
    status: given.status,
    metric: {
      name: 'accuracy',
      value,
      low: value - 0.0163,
      high: value + 0.0149,
      delta: value - ACCURACY,
      deltaLow,
      deltaHigh,
      pValue,
    },
    latencyMs: { median: ms, low: ms * 0.99, high: ms * 1.02 },
    parameters: given.parameters,
    bytes: given.bytes,
    file: `${asked}x/model.onnx`,
    sha256: digest(String(Math.floor(asked * 3) % 10)),
    blocks: [
      ...given.heads.map((kept, i) => ({ id: `attention.${i}`, kind: 'attention' as const, kept, of: 12 })),
      ...given.neurons.map((kept, i) => ({ id: `mlp.${i}`, kind: 'mlp' as const, kept, of: 1536 })),
    ],
    maskEquivalence: { maxAbsDiff: 7.2e-7 },
    search: { evaluations: 214, calibrationLoss: given.loss, iterations: 2 },
  };
}

const DENSE_MS = 108.5;
const ACCURACY = 0.888;

const layers = (kind: string): string[] => Array.from({ length: 6 }, (_, i) => `${kind}.${i}`);

export const sample: RunRecord = {
  schema: 'ziplm/run/1',
  createdAt: '2026-03-14T09:26:53.589Z',
  name: 'minilm-sst2',
  hardware: {
    cpu: 'AMD EPYC 7R13',
    cores: 2,
    memoryBytes: 8_243_179_520,
    os: 'linux x64 6.1.0',
    gpus: [],
    fingerprint: 'cpu-7f3a9c21',
  },
  versions: { node: '24.21.0', onnxruntime: '1.30.0', ziplm: '0.1.0' },
  provider: 'cpu',
  threads: 2,
  configuration: {
    model: 'models/minilm-sst2',
    task: 'text-classification',
    speedups: [1.25, 1.5, 2, 3],
    method: 'one-shot',
  },
  model: {
    file: 'models/minilm-sst2/model.onnx',
    sha256: digest('a'),
    bytes: 90_966_181,
    parameters: 22_713_986,
    prunableParameters: 10_646_784,
  },
  shape: { batch: 32, sequence: 64 },
  dense: {
    bytes: 90_966_181,
    parameters: 22_713_986,
    latencyMs: { median: DENSE_MS, low: 107.9, high: 109.8 },
    metric: { name: 'accuracy', value: ACCURACY, low: 0.8727, high: 0.9017 },
  },
  targets: [
    target(1.25, {
      speedup: { median: 1.268, low: 1.2571, high: 1.279 },
      predicted: 1.251,
      status: 'met',
      metric: [0.8803, -0.0154, 0.0001, 0.061],
      parameters: 20_440_790,
      bytes: 81_873_385,
      heads: [12, 12, 11, 12, 12, 12],
      neurons: [536, 1382, 735, 1382, 1382, 907],
      loss: 0.2132,
    }),
    target(1.5, {
      speedup: { median: 1.5291, low: 1.5004, high: 1.5466 },
      predicted: 1.538,
      status: 'met',
      metric: [0.8825, -0.0143, 0.0033, 0.263],
      parameters: 19_018_108,
      bytes: 76_182_653,
      heads: [12, 12, 11, 12, 11, 12],
      neurons: [536, 1382, 536, 351, 1382, 351],
      loss: 0.2243,
    }),
    target(2, {
      speedup: { median: 2.0103, low: 1.7362, high: 2.0391 },
      predicted: 2.056,
      status: 'inconclusive',
      groups: 2,
      metric: [0.866, -0.0335, -0.0105, 0.0002],
      parameters: 17_157_801,
      bytes: 68_741_417,
      heads: [11, 12, 8, 12, 12, 12],
      neurons: [136, 536, 187, 816, 351, 285],
      loss: 0.2879,
    }),
    target(3, {
      speedup: { median: 2.9449, low: 2.9185, high: 2.9712 },
      predicted: 3.057,
      status: 'missed',
      metric: [0.8446, -0.0577, -0.0291, 0.0001],
      parameters: 15_318_932,
      bytes: 61_372_821,
      heads: [11, 11, 11, 8, 0, 8],
      neurons: [35, 285, 59, 285, 351, 59],
      loss: 0.3206,
    }),
  ],
  latencyTable: [
    {
      signature: 'attention 384 → 12×32',
      kind: 'attention',
      blocks: layers('attention'),
      rows: rows(HEADS_MS),
    },
    { signature: 'mlp 384 → 1536', kind: 'mlp', blocks: layers('mlp'), rows: rows(NEURONS_MS) },
  ],
  fixedMs: 0.4649,
  modelMs: 108.5268,
  refused: [{ at: '/pooler/dense/Gemm', reason: 'its output is a graph output, which keeps its width' }],
  seconds: {
    open: 0.31,
    calibrate: 8.42,
    database: 21.6,
    profile: 55.2,
    search: 241.9,
    measure: 96.4,
    evaluate: 38.1,
  },
  reused: ['open', 'profile'],
  warnings: ['2.1 GB of memory were free, less than three times what the run held at its peak.'],
};

/** A record small enough to render hundreds of times: one target, two blocks, a row each. */
export const small: RunRecord = {
  ...sample,
  targets: sample.targets.slice(2, 3).map((t) => ({ ...t, blocks: [t.blocks[0], t.blocks[6]] })),
  latencyTable: sample.latencyTable.map((entry) => ({ ...entry, rows: entry.rows.slice(0, 2) })),
};

/** The same as a gradual run would leave it. */
export function recovered(record: RunRecord): RunRecord {
  const falling = (steps: readonly number[], from: number) =>
    steps.map((step, i) => ({ step, loss: from / (i + 1) }));
  const train: NonNullable<TargetRecord['train']> = {
    steps: 60,
    epochs: 2.5,
    seconds: 200,
    stopped: 'plateau',
    curve: falling([12, 24, 36, 48, 60], 0.5),
    validation: falling([24, 48], 0.05),
    best: { step: 48, loss: 0.025 },
  };
  return { ...record, targets: record.targets.map((t) => ({ ...t, train })) };
}

/** A record with one string from outside wherever the schema allows free text. */
export function hostile(text: string, record: RunRecord = small): RunRecord {
  return {
    ...record,
    name: text,
    hardware: {
      ...record.hardware,
      cpu: text,
      os: text,
      fingerprint: text,
      gpus: [{ name: text, memoryBytes: 2 ** 34, driver: text }],
    },
    versions: { node: text, onnxruntime: text, ziplm: text },
    provider: text,
    configuration: { [text]: text },
    model: { ...record.model, file: text },
    dense: { ...record.dense, operators: { [text]: 7 }, metric: { ...record.dense.metric, name: text } },
    targets: record.targets.map((t) => ({
      ...t,
      file: `${t.target}x/${text.replace(/[\\:\0]/g, '').replace(/\.\./g, '')}`,
      metric: { ...t.metric, name: text },
      operators: { MatMul: 3 },
      blocks: t.blocks.map((b) => ({ ...b, id: `${b.id}${text}` })),
    })),
    latencyTable: record.latencyTable.map((entry) => ({ ...entry, signature: text, blocks: [text] })),
    refused: [{ at: text, reason: text }],
    seconds: { [text]: 1 },
    reused: [text],
    warnings: [text],
  };
}
