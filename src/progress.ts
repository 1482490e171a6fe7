/**
 * How long work says how far it is. Rooms receive a `Progress`; who draws it (a terminal's bar, a log's lines, a
 * workflow's groups) is decided at the edge.
 * @module
 */

export interface Task {
  /** One more unit done (or `by` units), with a short remark that replaces the last one. */
  advance(by?: number, remark?: string): void;
  done(): void;
}

export interface Progress {
  /** One line for whoever watches. */
  say(message: string): void;
  /** Something that the reader of the result should know; it enters the record too. */
  warn(message: string): void;
  /** Begins counted work of `total` units. */
  task(label: string, total: number): Task;
}

export const silent: Progress = {
  say() {},
  warn() {},
  task: () => ({ advance() {}, done() {} }),
};
