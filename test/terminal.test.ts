import { describe, expect, test } from 'vitest';
import { openTerminal } from '../src/terminal.ts';

/** A terminal of thirty lines of code: what a reader would see after the escape sequences that we write. */
class Emulator {
  readonly isTTY = true;
  readonly lines: string[] = [''];
  writes = 0;
  readonly columns: number;
  constructor(columns = 60) {
    this.columns = columns;
  }
  write(text: string): void {
    this.writes++;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what it reads
    for (const [, up, , plain] of text.matchAll(/\x1b\[(\d+)A|(\x1b\[J)|([^\x1b]+)/g)) {
      if (up !== undefined)
        this.lines.splice(this.lines.length - 1 - Number(up), Number.POSITIVE_INFINITY, '');
      else if (plain !== undefined) {
        const [first, ...rest] = plain.split('\n');
        this.lines[this.lines.length - 1] += first;
        this.lines.push(...rest);
      }
    }
  }
}

class Log {
  text = '';
  write(text: string): void {
    this.text += text;
  }
}

function clock() {
  const at = { ms: 0 };
  return { at, now: () => at.ms };
}

describe('on a terminal', () => {
  test('a bar shows the share done and the time left, and is replaced by one line when done', () => {
    const screen = new Emulator();
    const { at, now } = clock();
    const terminal = openTerminal(screen, now);
    const task = terminal.task('search', 200);
    at.ms = 5000;
    task.advance(50, 'loss 0.3');
    expect(screen.lines).toEqual([
      `search ${'━'.repeat(6)}${'─'.repeat(18)} 50/200, 15 s left, loss 0.3`,
      '',
    ]);
    at.ms = 6000;
    task.done();
    expect(screen.lines).toEqual(['search: done in 6.0 s, loss 0.3', '']);
  });

  test('messages go above the bars, and every running task keeps its own', () => {
    const screen = new Emulator(100);
    const terminal = openTerminal(screen, () => 0);
    const outer = terminal.task('targets', 4);
    const inner = terminal.task('search', 10);
    terminal.say('hello');
    terminal.warn('careful');
    expect(screen.lines.map((line) => line.replace(/ [━─].*/, ''))).toEqual([
      'hello',
      'warning: careful',
      'targets',
      'search',
      '',
    ]);
    inner.done();
    inner.done();
    outer.done();
    expect(screen.lines).toEqual([
      'hello',
      'warning: careful',
      'search: done in 0.0 s',
      'targets: done in 0.0 s',
      '',
    ]);
  });

  test('no line is as wide as the terminal, so none wraps', () => {
    const screen = new Emulator(20);
    openTerminal(screen, () => 0).task('a label that is far too long for it', 10);
    expect(screen.lines[0]).toHaveLength(19);
  });

  test('a million steps in one instant draw once', () => {
    const screen = new Emulator();
    const task = openTerminal(screen, () => 0).task('fast', 1e6);
    const before = screen.writes;
    for (let i = 0; i < 1e6; i++) task.advance();
    expect(screen.writes).toBe(before);
  });

  test('closing wipes the bars and keeps the messages', () => {
    const screen = new Emulator();
    const terminal = openTerminal(screen, () => 0);
    terminal.task('left behind', 10);
    terminal.say('kept');
    terminal.close();
    expect(screen.lines).toEqual(['kept', '']);
  });
});

describe('in a log', () => {
  test('lines are plain and at most one every ten seconds', () => {
    const log = new Log();
    const { at, now } = clock();
    const terminal = openTerminal(log, now);
    terminal.say('hello');
    const task = terminal.task('calibrate', 100);
    for (let i = 1; i <= 100; i++) {
      at.ms = i * 250;
      task.advance();
    }
    task.done();
    expect(log.text).toBe(
      'hello\ncalibrate: 40/100, 15 s left\ncalibrate: 80/100, 5.0 s left\ncalibrate: done in 25 s\n',
    );
  });
});

test('text from outside cannot carry escape sequences to the terminal', () => {
  const screen = new Emulator();
  openTerminal(screen, () => 0).say('node "\x1b[2J\x9b31m\rx"');
  expect(screen.lines[0]).toBe('node " [2J 31m x"');
});
