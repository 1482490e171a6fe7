/**
 * The parent's side of the measuring process: start it, listen to it, and say in one sentence how it ended when
 * it did not end well.
 * @module
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { InputError, MachineError } from '../errors.ts';
import type { Answer, Job } from './child.ts';
import { childArgument } from './entry.ts';

export interface ChildOptions {
  /** Ends the child; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Seconds without a word after which the child counts as hung. */
  readonly patienceSeconds?: number;
  /** The program to start instead of this project's own: Node's arguments. */
  readonly entry?: readonly string[];
}

/**
 * Node's arguments that start a measuring process. From source that is `child.ts` itself; in a bundle it is the
 * bundle's own file with an argument, which the bundle's program asks for with `isMeasuringChild`.
 */
function ownEntry(): string[] {
  const here = fileURLToPath(import.meta.url);
  return here.endsWith('.ts')
    ? [fileURLToPath(new URL('./child.ts', import.meta.url))]
    : [here, childArgument];
}

/**
 * Runs one job in a fresh process.
 * @param who names the job in errors
 * @param listen receives the child's answers as they come
 * @throws InputError, MachineError what the child reported; MachineError when it died, hung, or could not start
 */
export function runChild(
  job: Job,
  who: string,
  listen: (answer: Answer) => void,
  { signal, patienceSeconds = 600, entry = ownEntry() }: ChildOptions = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(process.execPath, ['--expose-gc', ...entry], {
      stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    });
    let ending: { error?: unknown } | undefined; // the first reason to end decides; later ones are its consequences
    let printed = '';
    let pending = '';

    const end = (how: { error?: unknown }) => {
      ending ??= how;
    };
    const kill = (error: unknown) => {
      end({ error });
      child.kill('SIGKILL');
    };
    const silence = setTimeout(() => {
      kill(
        new MachineError(`runtime: ${who} was silent for ${patienceSeconds} s and was ended. ${tryAgain}`),
      );
    }, patienceSeconds * 1000);
    const abort = () => kill(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });

    const hear = (line: string) => {
      const answer = JSON.parse(line) as Answer;
      if (answer.kind === 'done') end({});
      else if (answer.kind === 'failed') end({ error: errorOf(answer) });
      else listen(answer);
    };
    (child.stdio[3] as Readable).setEncoding('utf8').on('data', (piece: string) => {
      silence.refresh();
      const lines = (pending + piece).split('\n');
      pending = lines.pop()!;
      try {
        lines.forEach(hear);
      } catch (error) {
        kill(error);
      }
    });
    child.stderr!.setEncoding('utf8').on('data', (piece: string) => {
      printed = (printed + piece).slice(-4000);
    });
    child.on('error', (cause) =>
      end({ error: new MachineError(`runtime: ${who} did not start: ${cause.message}`, { cause }) }),
    );
    child.on('close', (code, killedBy) => {
      clearTimeout(silence);
      signal?.removeEventListener('abort', abort);
      end({ error: new MachineError(`runtime: ${who} ${deathOf(code, killedBy, printed)}`) });
      if (ending!.error === undefined) resolve();
      else reject(ending!.error);
    });
    child.stdin!.on('error', () => {}); // a child that died early; 'close' says why
    child.stdin!.write(`${JSON.stringify(job)}\n`);
  });
}

const tryAgain = 'Run again on a machine that does nothing else; what is finished is kept.';

function errorOf({ error, message }: Extract<Answer, { kind: 'failed' }>): Error {
  if (error === 'input') return new InputError(message);
  return error === 'machine' ? new MachineError(message) : new Error(message);
}

/** How a process ended that gave no answer, and what to do about it. */
function deathOf(code: number | null, killedBy: NodeJS.Signals | null, printed: string): string {
  const lastWords = printed.trim().split('\n').at(-1)?.trim();
  const said = lastWords ? ` after printing "${lastWords.slice(0, 200)}"` : '';
  if (killedBy === 'SIGKILL' || /out of memory|bad_alloc/i.test(printed)) {
    return `was ended for lack of memory, as it seems${said}. Lower shape.batch or use a machine with more memory.`;
  }
  if (killedBy) return `died of ${killedBy}${said}. ${tryAgain}`;
  return `ended with exit code ${code} and no result${said}. ${tryAgain}`;
}
