/**
 * Progress in a workflow's log: every counted task a group that folds away, its lines throttled, warnings as
 * annotations. Text from outside never becomes a workflow command.
 * @module
 */
import { endGroup, error, info, startGroup, warning } from '@actions/core';
import type { Progress, Task } from '../progress.ts';
import { plain } from '../report/escape.ts';
import { duration } from '../report/format.ts';

export interface Log extends Progress {
  /** Begins a chapter: a group that lasts until the next one. */
  chapter(title: string): void;
  /** Text of several lines, as it is, in a group of its own. */
  show(title: string, text: string): void;
  error(message: string): void;
  /** Closes what is open. */
  close(): void;
}

/** Of each step, GitHub shows so many annotations; further warnings are lines of the log. */
const MAX_ANNOTATIONS = 10;
const TITLE = 'ZipLM';
const MAX_LINE = 2000;
const LINE_EVERY_MS = 10_000;

/** @param nowMs a clock that never goes back */
export function openLog(nowMs: () => number = () => performance.now()): Log {
  const warned = new Set<string>();
  let isOpen = false;

  const line = (text: string) => info(harmless(plain(text, MAX_LINE)));
  const close = () => {
    if (isOpen) endGroup();
    isOpen = false;
  };
  const open = (title: string) => {
    close();
    startGroup(plain(title));
    isOpen = true;
  };

  return {
    say: line,
    warn(message) {
      if (warned.has(message)) return;
      warned.add(message);
      const text = message
        .split('\n')
        .filter((part) => part.trim() !== '')
        .map((part) => part.match(/^ */)![0] + plain(part, MAX_LINE))
        .join('\n');
      if (warned.size <= MAX_ANNOTATIONS) warning(text, { title: TITLE });
      else for (const each of `Warning: ${text}`.split('\n')) line(each);
    },
    error(message) {
      error(plain(message, MAX_LINE), { title: TITLE });
    },
    chapter: open,
    close,
    show(title, text) {
      open(title);
      for (const each of text.split('\n')) info(harmless(each));
      close();
    },
    task(label, total): Task {
      const began = nowMs();
      let count = 0;
      let shown = began;
      let isDone = false;
      let said = '';
      open(`${label} (${total})`);
      const state = (now: number) => {
        const left = count > 0 ? ((now - began) / count) * Math.max(0, total - count) : undefined;
        return `${label}: ${count}/${total}${left === undefined ? '' : `, ${duration(left / 1000)} left`}${said}`;
      };
      return {
        advance(by = 1, remark) {
          count += by;
          if (remark !== undefined) said = `, ${remark}`;
          const now = nowMs();
          if (now - shown < LINE_EVERY_MS) return;
          shown = now;
          line(state(now));
        },
        done() {
          if (isDone) return;
          isDone = true;
          close();
          line(`${label}: done in ${duration((nowMs() - began) / 1000)}${said}`);
        },
      };
    },
  };
}

/** A line that the runner takes for text: a command begins with "::", or, in the old form, holds "##[". */
export function harmless(line: string): string {
  return line
    .replace(/^(\s*)::/, '$1: :')
    .replaceAll('##[', '# #[')
    .replaceAll('\r', ' ');
}
