/**
 * One class per reaction. Whatever is none of these is a bug and keeps its stack.
 * The message is one sentence: who, what, expected against got, what to do.
 * @module
 */

/** The user's input or configuration is wrong: message only, exit code 2. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

/** The machine lacks something (provider, memory, disk): message only, exit code 3. */
export class MachineError extends Error {
  override readonly name = 'MachineError';
}
