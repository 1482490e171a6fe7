/**
 * Draws progress on standard error: bars that redraw themselves on a terminal, plain lines in a log. Both say how
 * long the rest will take.
 * @module
 */
import type { Progress, Task } from './progress.ts';
import { plain } from './report/escape.ts';
import { duration } from './report/format.ts';

/** As much of `process.stderr` as drawing needs. */
export interface Screen {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Terminal extends Progress {
  /** Wipes what is still drawn; later messages are plain. */
  close(): void;
}

interface Counted {
  readonly label: string;
  readonly total: number;
  readonly startedMs: number;
  count: number;
  remark: string;
  shownMs: number;
}

const REDRAW_MS = 100;
const LINE_EVERY_MS = 10_000;
const BAR_WIDTH = 24;
const MAX_LINE = 2000;
/** Before that, the rate says little. */
const ESTIMATE_AFTER_MS = 1_000;

/**
 * @param screen a terminal (bars) or anything else (lines)
 * @param nowMs a clock that never goes back
 */
export function openTerminal(screen: Screen, nowMs: () => number = () => performance.now()): Terminal {
  const isLive = screen.isTTY === true;
  const running: Counted[] = [];
  let drawnLines = 0;
  let drawnMs = Number.NEGATIVE_INFINITY;

  function erase(): void {
    if (drawnLines > 0) screen.write(`\x1b[${drawnLines}A\x1b[J`);
    drawnLines = 0;
  }

  function draw(): void {
    if (!isLive) return;
    erase();
    // One column short of the edge: a full line would wrap, and the next erase would miss a row.
    const width = (screen.columns ?? 80) - 1;
    for (const task of running) screen.write(`${clipped(bar(task, nowMs()), width)}\n`);
    drawnLines = running.length;
    drawnMs = nowMs();
  }

  function line(text: string): void {
    erase();
    screen.write(`${plain(text, MAX_LINE)}\n`);
    draw();
  }

  return {
    say: line,
    warn: (message) => line(`warning: ${message}`),
    task(label, total): Task {
      const startedMs = nowMs();
      const task: Counted = { label, total, startedMs, count: 0, remark: '', shownMs: startedMs };
      running.push(task);
      draw();
      return {
        advance(by = 1, remark) {
          task.count += by;
          if (remark !== undefined) task.remark = remark;
          const now = nowMs();
          if (isLive) {
            if (now - drawnMs >= REDRAW_MS) draw();
          } else if (now - task.shownMs >= LINE_EVERY_MS) {
            task.shownMs = now;
            line(`${label}: ${state(task, now)}`);
          }
        },
        done() {
          const at = running.indexOf(task);
          if (at < 0) return;
          running.splice(at, 1);
          line(`${label}: done in ${duration((nowMs() - startedMs) / 1000)}${remarkOf(task)}`);
        },
      };
    },
    close() {
      erase();
      running.length = 0;
    },
  };
}

/** `search 2× ━━━━━━━━──────── 120/200, 1 min 5 s left, loss 0.31` */
function bar(task: Counted, nowMs: number): string {
  const share = task.total > 0 ? Math.min(1, task.count / task.total) : 0;
  const filled = Math.round(share * BAR_WIDTH);
  return plain(`${task.label} ${'━'.repeat(filled)}${'─'.repeat(BAR_WIDTH - filled)} ${state(task, nowMs)}`);
}

function state(task: Counted, nowMs: number): string {
  const elapsed = nowMs - task.startedMs;
  const left = (elapsed / task.count) * Math.max(0, task.total - task.count);
  const isKnown = task.count > 0 && elapsed >= ESTIMATE_AFTER_MS;
  return `${task.count}/${task.total}${isKnown ? `, ${duration(left / 1000)} left` : ''}${remarkOf(task)}`;
}

const remarkOf = (task: Counted): string => (task.remark === '' ? '' : `, ${task.remark}`);

function clipped(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`;
}
