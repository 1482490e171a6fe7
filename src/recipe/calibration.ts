/**
 * The rows that pruning looks at: of each domain those that its Hessian sums over, and those that candidates are judged by.
 * @module
 */
import { createHash } from 'node:crypto';
import { meaningOf } from '../data/feeds.ts';
import { randomRows, similarRows } from '../data/select.ts';
import { InputError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import { random } from '../tensor/random.ts';
import { filesOf, type OpenedModel, openDataset, readFile } from './job.ts';
import { taskOf } from './tasks/registry.ts';
import type { Dataset, TaskBatch, TaskConfig } from './tasks/task.ts';

export interface CalibrationDomain {
  readonly name: string;
  /** What the Hessians sum over. */
  readonly rows: Dataset;
  /** What candidates are judged by: some of them. */
  readonly judged: Dataset;
  /** All rows of the file, where rows are chosen among them. */
  readonly pool?: Dataset;
}

export interface Calibration {
  readonly domains: readonly CalibrationDomain[];
  /** Of the domains' `rows`, and of how they are put together. */
  readonly sha256: string;
}

/** @throws InputError for a missing or unsuitable file or row, and for a choice of rows that the task does not know */
export async function openCalibration(
  opened: OpenedModel,
  config: TaskConfig,
  progress: Progress,
): Promise<Calibration> {
  const domains: CalibrationDomain[] = [];
  for (const { name, file } of filesOf(config, 'calibration')) {
    const read = (limit?: number) => readFile(opened, config, 'calibration', file, progress, limit);
    const [count, judged] = rowCounts(config);
    if (config.calibration.select === 'first') {
      domains.push({ name, rows: await read(count), judged: await read(judged) });
      continue;
    }
    const pool = await read();
    const rows = await chosenRows(pool, count, opened, config, progress);
    domains.push({ ...partsOf(pool, rows, opened, config), name, pool });
  }
  return calibrationOf(domains, config);
}

export function calibrationOf(domains: readonly CalibrationDomain[], config: TaskConfig): Calibration {
  const [first] = domains;
  const { combine } = config.calibration;
  const all = JSON.stringify([combine, domains.map(({ rows }) => rows.sha256)]);
  const sha256 = domains.length === 1 ? first.rows.sha256 : createHash('sha256').update(all).digest('hex');
  return { domains, sha256 };
}

/** How many rows Hessians sum over, and how many of these candidates are judged by. */
export function rowCounts({ calibrationRows, search }: TaskConfig): [count: number, judged: number] {
  return [calibrationRows, Math.min(search.rows, calibrationRows)];
}

/** A domain of the rows chosen; those that candidates are judged by are drawn among them. */
export function partsOf(
  pool: Dataset,
  rows: readonly number[],
  opened: OpenedModel,
  config: TaskConfig,
): Pick<CalibrationDomain, 'rows' | 'judged'> {
  const [, count] = rowCounts(config);
  const next = random(config.search.seed);
  const judged = randomRows(rows.length, count, next).map((at) => rows[at]);
  return { rows: partOf(pool, rows, opened, config), judged: partOf(pool, judged, opened, config) };
}

/** @throws InputError where the task's rows cannot be taken apart */
export function partOf(
  pool: Dataset,
  rows: readonly number[],
  opened: OpenedModel,
  config: TaskConfig,
): Dataset {
  const part = taskOf(config).training?.part;
  if (part === undefined) {
    throw new InputError(
      `config: calibration.select is ${config.calibration.select}, but rows of ${config.task} are only taken from the first on. Use select: first.`,
    );
  }
  const chosen = new Set(rows);
  return part(pool, (row) => chosen.has(row), opened);
}

async function chosenRows(
  pool: Dataset,
  count: number,
  opened: OpenedModel,
  config: TaskConfig,
  progress: Progress,
): Promise<number[]> {
  const next = random(config.search.seed);
  if (config.calibration.select !== 'similar') return randomRows(pool.count, count, next);
  if (config.data.validation === undefined) {
    throw new InputError(
      'config: calibration.select is similar, expected data.validation: rows like those that the model will meet. Name a file there, or select otherwise.',
    );
  }
  const target = await openDataset(opened, config, 'validation', progress);
  return similarRows(tokensOf(pool), tokensOf(target), count, next);
}

/** How many tokens each row has. */
export function lengthsOf({ count, batches }: Dataset): number[] {
  const lengths = new Array<number>(count).fill(0);
  for (const { rows, shape, mask } of batches) {
    for (const [at, row] of rows.entries()) {
      lengths[row] = mask.subarray(at * shape[1], (at + 1) * shape[1]).reduce((sum, one) => sum + one, 0);
    }
  }
  return lengths;
}

/** The token ids of each row. @throws InputError for rows without any */
function tokensOf({ count, batches }: Dataset): number[][] {
  const tokens = Array.from({ length: count }, (): number[] => []);
  for (const batch of batches) {
    const [, s] = batch.shape;
    const ids = idsOf(batch);
    for (const [at, row] of batch.rows.entries()) {
      for (let i = at * s; i < (at + 1) * s; i++) if (batch.mask[i] === 1) tokens[row].push(Number(ids[i]));
    }
  }
  return tokens;
}

function idsOf({ feeds }: TaskBatch): ArrayLike<number | bigint> {
  const found = Object.entries(feeds).find(([name]) => meaningOf(name) === 'ids');
  if (found !== undefined) return found[1].data;
  throw new InputError(
    'config: calibration.select is similar, but the rows of this model are no text. Use select: random.',
  );
}
