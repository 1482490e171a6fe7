import { describe, expect, test } from 'vitest';
import { InputError, MachineError } from '../src/errors.ts';
import { endingOf } from '../src/exit.ts';

/** An error as the file system throws it. */
function systemError(code: string, path?: string): Error {
  return Object.assign(new Error(`${code}: something, write`), { code, ...(path !== undefined && { path }) });
}

describe('an error becomes an exit code and one sentence', () => {
  test.each<[string, unknown, number, string | RegExp]>([
    ['the user’s mistake', new InputError('data: no rows.'), 2, 'data: no rows.'],
    ['the machine’s lack', new MachineError('runtime: no cuda.'), 3, 'runtime: no cuda.'],
    ['a sentence over two lines', new InputError('graph:\n  broken.'), 2, 'graph: broken.'],
    [
      'a full disk',
      systemError('ENOSPC', '/out/model.onnx'),
      3,
      'ziplm: this machine has no space left on the disk, needed for /out/model.onnx. Free some, or choose another --output; what is finished is kept.',
    ],
    [
      'a full disk of unknown path',
      systemError('ENOSPC'),
      3,
      /^ziplm: this machine has no space left on the disk\. /,
    ],
    ['no memory from the system', systemError('ENOMEM'), 3, /too little memory/],
    ['no memory from V8', new RangeError('Array buffer allocation failed'), 3, /too little memory/],
    [
      'no memory from ONNX Runtime',
      new Error('bfc_arena: Failed to allocate memory for 1 GB'),
      3,
      /too little memory/,
    ],
    [
      'a folder that may not be written',
      systemError('EACCES', '/root/x'),
      2,
      /^ziplm: \/root\/x: permission denied\./,
    ],
    [
      'a file where a folder must be',
      systemError('ENOTDIR', '/etc/passwd/x'),
      2,
      /a part of the path is a file/,
    ],
  ])('%s', (_, error, code, message) => {
    const ending = endingOf(error);
    expect(ending.code).toBe(code);
    if (typeof message === 'string') expect(ending.message).toBe(message);
    else expect(ending.message).toMatch(message);
    expect(ending.message).not.toContain('\n');
  });

  test('a cause counts as much as what wraps it', () => {
    const wrapped = new Error('stage failed', { cause: systemError('ENOSPC', '/out') });
    expect(endingOf(wrapped).code).toBe(3);
    expect(endingOf(new Error('stage failed', { cause: new InputError('no rows') }))).toEqual({
      code: 2,
      message: 'no rows',
    });
  });

  test('anything else is a bug, with its stack and what caused it', () => {
    const error = new TypeError('x is undefined', { cause: new Error('deeper') });
    const { code, message } = endingOf(error);
    expect(code).toBe(70);
    expect(message).toContain('This is a bug in ziplm');
    expect(message).toContain('exit.test.ts');
    expect(message).toContain('caused by: Error: deeper');
    expect(endingOf('a text').code).toBe(70);
  });

  test('causes that lead in a circle come to an end', () => {
    const error = new Error('a');
    error.cause = new Error('b', { cause: error });
    expect(endingOf(error).code).toBe(70);
  });
});

test('a name out of a hostile model cannot write to the terminal, nor fill it', () => {
  const name = `\u001b[2J\u001b]0;owned\u0007${'x'.repeat(10_000)}`;
  const { message } = endingOf(new InputError(`model.onnx: node "${name}" makes nothing.`));
  expect(message).toMatch(/^model\.onnx: node " ?\[2J \]0;owned x+…$/);
  expect(message.length).toBeLessThanOrEqual(4000);
});
