/**
 * The measuring process. It holds one session at a time and nothing else, so that no other work of the program's
 * own takes part in what it measures.
 *
 * It receives one job as a line of JSON on its standard input, answers with lines of JSON on file descriptor 3
 * (the standard streams are left to whatever a provider's libraries print), and ends with its parent.
 * @module
 */
import { writeSync } from 'node:fs';
import { InputError, MachineError } from '../errors.ts';
import { type Feeds, readFeeds } from './feeds.ts';
import { type Provider, type Trial, tryProvider } from './provider.ts';
import { openSession, type Session, type SessionOptions } from './session.ts';

export { childArgument, isMeasuringChild } from './entry.ts';

export type Job = TimeJob | TryJob;

/** Time each model alone, round robin: every model once in a round. */
export interface TimeJob {
  readonly kind: 'time';
  /** `feeds` names a set in the file of feeds. */
  readonly models: readonly { readonly key: string; readonly file: string; readonly feeds: string }[];
  readonly feedsFile: string;
  readonly session: SessionOptions;
  readonly rounds: number;
  /** Runs dropped after a session is opened, at least the first. */
  readonly warmup: number;
  /** Timed runs, at least, and seconds of them, at least. */
  readonly runs: number;
  readonly minSeconds: number;
}

/** Find out whether a provider works, where its libraries may print or crash. */
export interface TryJob {
  readonly kind: 'try';
  readonly provider: Provider;
}

export type Answer =
  /** A sign of life: a session was opened. */
  | { readonly kind: 'opened'; readonly key: string; readonly ms: number }
  | { readonly kind: 'timed'; readonly key: string; readonly latenciesMs: readonly number[] }
  | ({ readonly kind: 'tried' } & Trial)
  | { readonly kind: 'failed'; readonly error: 'input' | 'machine' | 'bug'; readonly message: string }
  | { readonly kind: 'done' };

/** Serves one job and ends the process's work. */
export async function serveChild(): Promise<void> {
  try {
    const job = await receive();
    if (job.kind === 'time') await timeModels(job);
    else answer({ kind: 'tried', ...(await tryProvider(job.provider)) });
    answer({ kind: 'done' });
  } catch (error) {
    const kind = error instanceof InputError ? 'input' : error instanceof MachineError ? 'machine' : 'bug';
    const message = error instanceof Error ? error.message : String(error);
    answer({ kind: 'failed', error: kind, message });
  }
  process.stdin.destroy();
}

function answer(message: Answer): void {
  writeSync(3, `${JSON.stringify(message)}\n`);
}

/** The job, and the end of this process with its parent: a closed input means that nobody waits for the answer. */
function receive(): Promise<Job> {
  return new Promise((resolve) => {
    let text = '';
    process.stdin.setEncoding('utf8');
    process.stdin.on('data', (piece: string) => {
      text += piece;
      if (text.endsWith('\n')) resolve(JSON.parse(text) as Job);
    });
    process.stdin.on('end', () => process.exit(1));
  });
}

async function timeModels(job: TimeJob): Promise<void> {
  const sets = readFeeds(job.feedsFile);
  for (let round = 0; round < job.rounds; round++) {
    for (const { key, file, feeds } of job.models) {
      const start = process.hrtime.bigint();
      {
        await using session = await openSession(file, job.session);
        answer({ kind: 'opened', key, ms: millisecondsSince(start) });
        const latenciesMs = await timeSession(session, file, pick(sets[feeds], session, file), job);
        answer({ kind: 'timed', key, latenciesMs });
      }
      // The results of the runs are garbage by now: collected here, not in the middle of the next model's runs.
      globalThis.gc?.();
    }
  }
}

async function timeSession(
  session: Session,
  file: string,
  feeds: Feeds,
  { warmup, runs, minSeconds }: TimeJob,
): Promise<number[]> {
  await session.run(feeds).catch((error: unknown) => {
    if (error instanceof MachineError) throw error;
    const inputs = Object.entries(feeds).map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
    throw new InputError(
      `runtime: "${file}" does not run on ${inputs.join(', ')}: ${(error as Error).message}. ` +
        'Give inputs of a shape that it takes (shape.batch, shape.sequence).',
    );
  });
  for (let i = 1; i < warmup; i++) await session.run(feeds);
  const latenciesMs: number[] = [];
  const begin = process.hrtime.bigint();
  while (latenciesMs.length < runs || millisecondsSince(begin) < minSeconds * 1000) {
    const start = process.hrtime.bigint();
    await session.run(feeds);
    latenciesMs.push(millisecondsSince(start));
  }
  return latenciesMs;
}

function millisecondsSince(start: bigint): number {
  return Number(process.hrtime.bigint() - start) / 1e6;
}

/** The feeds that the model has inputs for. */
function pick(feeds: Feeds, session: Session, file: string): Feeds {
  const missing = session.inputs.filter((name) => !(name in feeds));
  if (missing.length > 0) {
    throw new InputError(
      `runtime: "${file}" wants the inputs ${session.inputs.join(', ')}; nothing is given for ${missing.join(', ')}. ` +
        'Time models of the same inputs together.',
    );
  }
  return Object.fromEntries(session.inputs.map((name) => [name, feeds[name]]));
}

if (import.meta.main) void serveChild();
