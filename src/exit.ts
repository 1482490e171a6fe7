/**
 * How the program ends: what it says on standard error and with which exit code.
 * @module
 */
import { InputError, MachineError } from './errors.ts';
import { plain } from './report/escape.ts';

export const exitCodes = { done: 0, missed: 1, input: 2, machine: 3, bug: 70 } as const;

export interface Ending {
  readonly code: number;
  readonly message: string;
}

/** What the file system refuses because of what it was asked for, to complete "PATH: …". */
const refusals: Readonly<Partial<Record<string, string>>> = {
  EACCES: 'permission denied. Choose another place or change its permissions.',
  EPERM: 'not permitted. Choose another place or change its permissions.',
  EROFS: 'the file system is read-only. Choose another place.',
  ENOTDIR: 'a part of the path is a file, expected a folder. Choose another place.',
  EEXIST:
    'there is a file of that name already, expected a folder or nothing. Move it or choose another place.',
  EISDIR: 'it is a folder, expected a file. Name a file.',
  ENAMETOOLONG: 'the name is too long. Choose a shorter one.',
  ELOOP: 'its symbolic links lead in a circle. Name the file itself.',
};

/** What the machine may run out of, to complete "this machine has …". */
const shortages: Readonly<Partial<Record<string, string>>> = {
  ENOSPC: 'no space left on the disk. Free some, or choose another --output; what is finished is kept.',
  EDQUOT: 'no disk quota left. Free some, or choose another --output; what is finished is kept.',
  ENOMEM: 'too little memory. Lower shape.batch, or use a larger machine.',
  EMFILE: 'no file handles left. Raise the limit (ulimit -n).',
};

/** The reaction to whatever was thrown. */
export function endingOf(error: unknown): Ending {
  const chain = causes(error);
  const known = chain.find((e) => e instanceof InputError || e instanceof MachineError);
  if (known instanceof InputError) return { code: exitCodes.input, message: oneLine(known.message) };
  if (known instanceof MachineError) return { code: exitCodes.machine, message: oneLine(known.message) };
  for (const { code, path } of chain as NodeJS.ErrnoException[]) {
    const shortage = shortages[code ?? ''];
    if (shortage !== undefined) {
      const where = path === undefined ? '' : `, needed for ${path}`;
      return {
        code: exitCodes.machine,
        message: oneLine(`ziplm: this machine has ${shortage.replace('. ', `${where}. `)}`),
      };
    }
    const refusal = refusals[code ?? ''];
    if (refusal !== undefined && path !== undefined) {
      return { code: exitCodes.input, message: oneLine(`ziplm: ${path}: ${refusal}`) };
    }
  }
  if (chain.some(isOutOfMemory)) {
    return { code: exitCodes.machine, message: `ziplm: this machine has ${shortages.ENOMEM}` };
  }
  return {
    code: exitCodes.bug,
    message: `This is a bug in ziplm. Please report it with these lines:\n${stackOf(error)}`,
  };
}

/** The error and what caused it, outermost first. */
function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let at = error; at instanceof Error && !chain.includes(at); at = at.cause) chain.push(at);
  return chain;
}

/** V8 and ONNX Runtime have no error class of their own for it. */
const isOutOfMemory = (error: Error): boolean =>
  /array buffer allocation failed|invalid array buffer length|std::bad_alloc|failed to allocate memory/i.test(
    error.message,
  );

/** A message may quote names out of a hostile model: no escape sequences, and an end. */
const oneLine = (message: string): string => plain(message, 4000);

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return causes(error)
    .map((e) => e.stack ?? `${e.name}: ${e.message}`)
    .join('\ncaused by: ');
}
