/**
 * Mutants of every fixture, by bytes and by fields, go the way of `inspect` and `cut`: each is refused with a sentence or
 * ends in a valid model, in bounded time and memory, and writes nothing elsewhere.
 *
 * FUZZ_RUNS is the number of mutants per fixture and kind, FUZZ_SEED where they begin.
 */
import { expect, test } from 'vitest';
import { cases as exported } from '../onnx/fixtures.ts';
import { bombs } from './bombs.ts';
import type { Case, Misdeed } from './child.ts';
import { type Watched, watch } from './watch.ts';

const runs = Number(process.env.FUZZ_RUNS ?? 8);
const first = Number(process.env.FUZZ_SEED ?? 1);
/** A mutant takes milliseconds; the machine may be busy. */
const timeout = 60_000 + exported.length * runs * 1000;

const tellFailed = (all: readonly Watched[]) =>
  all
    .filter(({ outcome }) => outcome.kind === 'failed')
    .map(({ mutant, outcome }) => `${mutant.fixture} ${mutant.kind} ${mutant.seed}: ${outcome.sentence}`);
const share = (all: readonly Watched[], kind: string) =>
  all.filter(({ outcome }) => outcome.kind === kind).length / all.length;

test.each<{ kind: Case['kind']; refused: number; good: number }>([
  { kind: 'bytes', refused: 0.2, good: 0.01 },
  { kind: 'fields', refused: 0.2, good: 0.1 },
])('$kind of every fixture', { timeout }, async ({ kind, refused, good }) => {
  const mutants = exported.flatMap(({ name }, i) =>
    Array.from(
      { length: runs },
      (_, at): Case => ({ fixture: name, kind, seed: first + 1000 * i + 100_003 * at }),
    ),
  );
  const all = await watch(mutants);
  expect(tellFailed(all)).toEqual([]);
  // Mutants that are all refused, or all good, would try nothing.
  expect(share(all, 'refused')).toBeGreaterThan(refused);
  expect(share(all, 'cut')).toBeGreaterThan(good);
});

test('graphs that unfold end in time, within memory and stack', { timeout: 600_000 }, async () => {
  const all = await watch(Object.keys(bombs).map((name) => ({ fixture: name, kind: 'bomb', seed: 1 })));
  expect(tellFailed(all)).toEqual([]);
});

test('untouched, every fixture with blocks is cut', { timeout }, async () => {
  const all = await watch(exported.map(({ name }) => ({ fixture: name, kind: 'untouched', seed: 1 })));
  expect(tellFailed(all)).toEqual([]);
  expect(share(all, 'refused')).toBe(0);
});

test('the watch sees a hang, a crash, a lack of memory, and what is written elsewhere, and goes on', {
  timeout,
}, async () => {
  const committing = (...kinds: Misdeed[]) => kinds.map((kind): Case => ({ fixture: '', kind, seed: 0 }));
  const hung = await watch(committing('hang'), { seconds: 3 });
  expect(tellFailed(hung)).toEqual([expect.stringContaining('did not end within 3 s')]);
  const all = await watch(committing('crash', 'memory', 'escape', 'litter'), { memoryMiB: 64, processes: 1 });
  expect(tellFailed(all)).toEqual([
    expect.stringMatching(/ended the process \(SIGABRT\)/),
    expect.stringMatching(/ended the process \(SIGABRT\).*heap/s),
    expect.stringContaining('--allow-fs-write'),
    expect.stringContaining('other files'),
  ]);
});
