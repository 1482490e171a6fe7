import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { openLog } from '../../src/action/log.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

function watched() {
  let text = '';
  let now = 0;
  vi.spyOn(process.stdout, 'write').mockImplementation((piece) => {
    text += piece;
    return true;
  });
  const log = openLog(() => now);
  return {
    log,
    lines: () => text.split('\n').slice(0, -1),
    wait: (ms: number) => {
      now += ms;
    },
  };
}

/** What the runner would take for a command: "::name" at a line's start, "##[name]" anywhere. */
const commandsIn = (lines: readonly string[]) =>
  lines.filter((line) => line.trim().startsWith('::') || line.includes('##['));

test('text from outside is never a command', () => {
  const hostile = fc.array(
    fc.oneof(
      fc.string(),
      fc.constantFrom('::', '\n', '\r', '##[', '::set-output name=x::', '%0A', '\u2028', '\x1b[2J', ' '),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(hostile, hostile, (some, other) => {
      const { log, lines, wait } = watched();
      const [text, more] = [some.join(''), other.join('')];
      log.say(text);
      log.show('title', text);
      const task = log.task(text, 3);
      wait(20_000);
      task.advance(1, more);
      task.done();
      log.warn(text);
      log.error(more);
      log.chapter(more);
      log.close();
      const names = commandsIn(lines()).map((line) => /^::([a-z]+)[ :]/.exec(line)?.[1]);
      expect(names).toEqual([
        'group',
        'endgroup',
        'group',
        'endgroup',
        'warning',
        'error',
        'group',
        'endgroup',
      ]);
    }),
  );
});

test('a task is a group with its lines throttled, and its end outside of it', () => {
  const { log, lines, wait } = watched();
  const task = log.task('measuring', 40);
  for (let i = 0; i < 40; i++) {
    wait(1_000);
    task.advance(1, `round ${i + 1}`);
  }
  task.done();
  task.done();
  expect(lines()).toEqual([
    '::group::measuring (40)',
    'measuring: 10/40, 30 s left, round 10',
    'measuring: 20/40, 20 s left, round 20',
    'measuring: 30/40, 10 s left, round 30',
    expect.stringMatching(/^measuring: 40\/40, .*round 40$/),
    '::endgroup::',
    'measuring: done in 40 s, round 40',
  ]);
});

test('chapters and tasks close what is open, since groups do not nest', () => {
  const { log, lines } = watched();
  log.chapter('one');
  const task = log.task('two', 1);
  log.chapter('three');
  task.done();
  log.close();
  const opened = lines().filter((line) => line.startsWith('::group'));
  const closed = lines().filter((line) => line === '::endgroup::');
  expect(opened).toHaveLength(3);
  expect(closed).toHaveLength(3);
  let depth = 0;
  for (const line of lines()) {
    depth += line.startsWith('::group') ? 1 : line === '::endgroup::' ? -1 : 0;
    expect(depth === 0 || depth === 1).toBe(true);
  }
});

test('the first ten warnings are annotations, each sentence once, the rest lines', () => {
  const { log, lines } = watched();
  for (let i = 0; i < 13; i++) log.warn(`warning ${i}`);
  log.warn('warning 3');
  expect(lines().filter((line) => line.startsWith('::warning'))).toHaveLength(10);
  expect(lines().slice(10)).toEqual(['Warning: warning 10', 'Warning: warning 11', 'Warning: warning 12']);
});

test('a warning of several lines keeps them, and their indentation', () => {
  const { log, lines } = watched();
  log.warn('Add to the job:\n\npermissions:\n  checks: write');
  expect(lines()).toEqual(['::warning title=ZipLM::Add to the job:%0Apermissions:%0A  checks: write']);
});
