/**
 * The run record, `run.json`: what a run found, and the only thing that reports are drawn from.
 *
 * Checked against one schema when it is written and when it is read: a record may come from another machine, or
 * from someone who would like to see something else reported. Shares (accuracy, F1) are fractions, not per cents;
 * every `delta` is the pruned model's value less the dense one's; every interval holds 95 % unless a warning says otherwise.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { posix } from 'node:path';
import { z } from 'zod';
import { InputError, MachineError } from './errors.ts';

export const SCHEMA = 'ziplm/run/1';

/** Nothing that a run writes comes near these: they bound what a hostile record can make a reader hold. */
const MAX_TEXT = 4096;
const MAX_LIST = 10_000;
const MAX_FILE_BYTES = 64 * 1024 * 1024;

const text = z.string().max(MAX_TEXT);
const list = <T extends z.ZodType>(item: T) => z.array(item).max(MAX_LIST);
const count = z.number().int().min(0);
const positive = z.number().gt(0);
const nonNegative = z.number().min(0);
const share = z.number().min(0).max(1);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** A path below the output folder: relative, with forward slashes, and never upwards. */
const inside = text
  .min(1)
  .refine(staysInside, { error: 'a relative path that stays inside the output folder' });

function staysInside(path: string): boolean {
  const clean = posix.normalize(path);
  return !/[\\\0:]/.test(path) && !posix.isAbsolute(path) && clean !== '..' && !clean.startsWith('../');
}

/** `low ≤ point ≤ high`, up to the rounding of whoever computed the interval. */
function ordered(low: number, point: number, high: number): boolean {
  const slack = 1e-9 * Math.max(1, Math.abs(point));
  return low <= point + slack && point <= high + slack;
}

const INTERVAL = { error: 'an interval that holds its point (low ≤ point ≤ high)' };

const median = z
  .strictObject({ median: positive, low: positive, high: positive })
  .refine((i) => ordered(i.low, i.median, i.high), INTERVAL);

const metric = z
  .strictObject({ name: text.min(1), value: z.number(), low: z.number(), high: z.number() })
  .refine((m) => ordered(m.low, m.value, m.high), INTERVAL);

const metricAgainstDense = z
  .strictObject({
    ...metric.shape,
    /** Pruned less dense, paired over the same rows. */
    delta: z.number(),
    deltaLow: z.number(),
    deltaHigh: z.number(),
    /** Of the paired test of "no change". */
    pValue: z.number().min(0).max(1).optional(),
  })
  .refine((m) => ordered(m.low, m.value, m.high) && ordered(m.deltaLow, m.delta, m.deltaHigh), INTERVAL);

const keptBlock = z
  .strictObject({
    id: text.min(1),
    kind: z.enum(['attention', 'mlp']),
    kept: count,
    of: count.min(1),
    /** Which structures stayed: indices along the consuming matrix, ascending. */
    keptIndices: z.array(count).optional(),
  })
  .refine((b) => b.kept <= b.of && (b.keptIndices === undefined || b.keptIndices.length === b.kept), {
    error: 'at most as many structures kept as there were, and as many indices as are kept',
  });

/** Operator → how many nodes of it the optimised graph runs. */
const operators = z.record(text, count);

const lossPoint = z.strictObject({ step: count, loss: z.number() });

/** How a target's model was trained after its cut. */
const training = z
  .strictObject({
    steps: count.min(1),
    epochs: positive,
    /** Wall time of the process that finished it. */
    seconds: nonNegative,
    /** `plateau`: the validation loss no longer fell. */
    stopped: z.enum(['finished', 'plateau']),
    /** The training loss, in means over the steps since the point before. */
    curve: list(lossPoint),
    /** The loss on the rows set aside, before the first step and after each epoch; empty where there were none. */
    validation: list(lossPoint),
    /** The evaluation whose weights were kept; at step 0 those that were there before. */
    best: lossPoint.optional(),
  })
  .refine(({ steps, curve, validation }) => [curve, validation].every((line) => rises(line, steps)), {
    error: 'curves whose steps rise, up to the steps that were done',
  });

function rises(line: readonly { readonly step: number }[], steps: number): boolean {
  return line.every(({ step }, i) => step <= steps && (i === 0 || step > line[i - 1].step));
}

const target = z
  .strictObject({
    /** The speedup that was asked for. */
    target: z.number().gt(1),
    /** Dense time over pruned time, over rounds of fresh processes spread in time. */
    speedup: median,
    rounds: count.min(1),
    /** 2 when the rounds fell into two groups: the machine was seen in two states. */
    groups: z.union([z.literal(1), z.literal(2)]),
    /** The ratio of each round, in order of time. */
    roundSpeedups: list(positive).optional(),
    /** What the latency table promised. */
    predicted: positive,
    status: z.enum(['met', 'missed', 'inconclusive']),
    metric: metricAgainstDense,
    latencyMs: median,
    parameters: count,
    bytes: count,
    /** The model, relative to the output folder. */
    file: inside,
    sha256,
    blocks: list(keptBlock),
    /** Cut model against masked model: the largest absolute difference of their outputs. */
    maskEquivalence: z.strictObject({ maxAbsDiff: nonNegative }),
    search: z.strictObject({
      /** Calibration losses computed, over all iterations. */
      evaluations: count,
      calibrationLoss: z.number(),
      /** Turns of the closed loop: search, cut, measure. */
      iterations: count,
    }),
    /** Only of gradual runs. */
    train: training.optional(),
    operators: operators.optional(),
  })
  .refine((t) => t.status !== 'met' || t.speedup.low >= t.target, {
    error: 'a lower end of the interval that reaches the target wherever the status is "met"',
    path: ['speedup', 'low'],
  });

const latencyRow = z
  .strictObject({ kept: count, medianMs: nonNegative, low: nonNegative, high: nonNegative })
  .refine((r) => ordered(r.low, r.medianMs, r.high), INTERVAL);

/** One that the run could use; all but the name is told by NVIDIA's alone, as it was when the run began. */
const gpu = z.strictObject({
  name: text,
  memoryBytes: count.optional(),
  driver: text.optional(),
  uuid: text.optional(),
  busy: share.optional(),
  clocksMHz: z
    .strictObject({
      sm: nonNegative.optional(),
      memory: nonNegative.optional(),
      maxSm: nonNegative.optional(),
    })
    .optional(),
  powerCapWatts: nonNegative.optional(),
  temperatureCelsius: z.number().optional(),
  /** What held the clocks down, in NVIDIA's words; "gpu_idle" is the resting state. */
  throttled: list(text).optional(),
  ecc: z.boolean().optional(),
  mig: z.boolean().optional(),
});

const runRecord = z.strictObject({
  schema: z.literal(SCHEMA),
  createdAt: z.iso.datetime(),
  /** The model's title in reports. */
  name: text.min(1),
  hardware: z.strictObject({
    cpu: text,
    cores: count.min(1),
    memoryBytes: count,
    os: text,
    gpus: list(gpu),
    /** Equal fingerprints mean comparable latencies. */
    fingerprint: text.min(1),
    physicalCores: count.optional(),
    /** On CUDA: whether float32 products were computed with ten bits of mantissa (TF32) where the GPU can. */
    tf32: z.boolean().optional(),
    virtual: z.boolean().optional(),
    /** When the run began: the share of the processors that was busy, and the memory that was free. */
    load: share.optional(),
    freeMemoryBytes: count.optional(),
    /** Other programs on the GPUs when the run began. */
    occupants: list(z.strictObject({ pid: count, name: text, memoryBytes: count.optional() })).optional(),
    /** Why these latencies are not to be trusted, a sentence each; empty on a quiet machine. */
    noise: list(text).optional(),
  }),
  versions: z.strictObject({ node: text, onnxruntime: text, ziplm: text }),
  provider: text.min(1),
  threads: count,
  /** The resolved configuration, every default spelled out. */
  configuration: z.record(text, z.unknown()),
  model: z.strictObject({
    file: text,
    sha256,
    bytes: count,
    parameters: count,
    /** Weights of the matrices that blocks own. */
    prunableParameters: count.optional(),
  }),
  /** The input shape that speed is promised for. */
  shape: z.strictObject({ batch: count.min(1), sequence: count.min(1) }),
  dense: z.strictObject({
    bytes: count,
    parameters: count,
    latencyMs: median,
    metric,
    operators: operators.optional(),
  }),
  targets: list(target),
  /** Blocks of equal signature share an entry; rows by falling width. */
  latencyTable: list(
    z.strictObject({
      signature: text,
      kind: z.enum(['attention', 'mlp']),
      blocks: list(text),
      rows: list(latencyRow),
    }),
  ),
  /** What no block accounts for, and the whole dense model, both when the table was measured. */
  fixedMs: nonNegative,
  modelMs: nonNegative,
  refused: list(z.strictObject({ at: text, reason: text })),
  /** Stage → seconds; a reused stage keeps the seconds of this run, near zero. */
  seconds: z.record(text, nonNegative),
  reused: list(text),
  warnings: list(text),
});

/** Arrays and objects read-only all the way down. */
type Frozen<T> = T extends readonly (infer U)[]
  ? readonly Frozen<U>[]
  : T extends object
    ? { readonly [K in keyof T]: Frozen<T[K]> }
    : T;

export type RunRecord = Frozen<z.infer<typeof runRecord>>;
export type TargetRecord = RunRecord['targets'][number];
export type Status = TargetRecord['status'];
export type LatencyEntry = RunRecord['latencyTable'][number];
/** A point estimate with its interval: a ratio, or milliseconds. */
export type MedianInterval = RunRecord['dense']['latencyMs'];
export type Metric = RunRecord['dense']['metric'];
export type MetricAgainstDense = TargetRecord['metric'];

/** The published JSON Schema (draft 2020-12) of `run.json`. */
export function recordJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(runRecord), title: 'The record of a ZipLM run', $id: SCHEMA };
}

/**
 * Checks a record: JSON text, or what such text parsed to.
 *
 * @param from what the message calls it, as a rule the file
 * @throws InputError naming the first field that is not as the schema has it
 */
export function parseRecord(input: unknown, from = 'run.json'): RunRecord {
  const value = typeof input === 'string' ? parseJson(input, from) : input;
  const result = runRecord.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const at = fieldName(issue.path);
  throw new InputError(
    `record: ${from}: ${at} should be ${expected(issue)}, got ${quote(valueAt(value, issue.path))}. ` +
      `Give a record of schema "${SCHEMA}", as \`ziplm run\` writes it.`,
  );
}

/** @throws InputError where the file is missing, too large to be a record, or not one */
export async function readRecord(file: string): Promise<RunRecord> {
  return parseRecord(await readText(file), file);
}

/**
 * Writes the record whole or not at all, and only when what is written passes the schema.
 *
 * @throws MachineError on a full disk
 */
export async function writeRecord(file: string, record: RunRecord): Promise<void> {
  const json = `${JSON.stringify(record, null, 2)}\n`;
  try {
    parseRecord(json, file);
  } catch (cause) {
    // Our own record: not the user's mistake, so neither their message nor their exit code.
    throw new Error(`record: refused to write ${file}, which would not be a valid record`, { cause });
  }
  const draft = `${file}.${randomUUID()}.part`;
  try {
    const handle = await open(draft, 'wx');
    try {
      await handle.writeFile(json);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (cause) {
    await rm(draft, { force: true });
    if (codeOf(cause) !== 'ENOSPC') throw cause;
    throw new MachineError(
      `record: no space left to write ${file} (${json.length} bytes). Free some and run again.`,
    );
  }
}

async function readText(file: string): Promise<string> {
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      if (size > MAX_FILE_BYTES) {
        throw new InputError(
          `record: ${file} has ${size} bytes, expected a record of at most ${MAX_FILE_BYTES}. Give the run.json of a run.`,
        );
      }
    } finally {
      await handle.close();
    }
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') {
      throw new InputError(`record: there is no file ${file}. Give the run.json of a finished run.`);
    }
    if (codeOf(cause) === 'EISDIR') {
      throw new InputError(`record: ${file} is a folder, expected a file. Give the run.json in it.`);
    }
    throw cause;
  }
}

function parseJson(json: string, from: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new InputError(
      `record: ${from} should be JSON, got something else (${(cause as Error).message}). Give the run.json of a finished run.`,
    );
  }
}

type Issue = z.core.$ZodIssue;

/** What the schema wanted, to complete "should be …". */
function expected(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return article(issue.expected);
    case 'invalid_value':
      return issue.values.map((v) => JSON.stringify(v)).join(' or ');
    case 'unrecognized_keys':
      return `without the unknown key${issue.keys.length > 1 ? 's' : ''} ${issue.keys.map(quote).join(', ')}`;
    case 'too_small':
      return `${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${unit(issue.origin)}`;
    case 'too_big':
      return `${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${unit(issue.origin)}`;
    case 'invalid_format':
      return issue.format === 'datetime' ? 'a time in UTC (2026-01-31T12:00:00Z)' : '64 hexadecimal digits';
    case 'invalid_union':
      return '1 or 2';
    default:
      return issue.message;
  }
}

const article = (type: string): string => (/^[aeio]/.test(type) ? `an ${type}` : `a ${type}`);
const unit = (origin: string): string =>
  origin === 'string' ? ' characters' : origin === 'array' ? ' entries' : '';

/** `targets[0].metric.value`; the record itself where the path is empty. */
function fieldName(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the record';
  return path
    .map((key, i) => {
      if (typeof key === 'string' && /^\w+$/.test(key)) return i === 0 ? key : `.${key}`;
      return `[${typeof key === 'number' ? key : quote(String(key))}]`;
    })
    .join('');
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) at = at === null || at === undefined ? undefined : Object(at)[key];
  return at;
}

/** A value as short JSON on one line. */
function quote(value: unknown): string {
  if (value === undefined) return 'nothing';
  const json = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value);
  return json.length > 60 ? `${json.slice(0, 57)}…` : json;
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;
