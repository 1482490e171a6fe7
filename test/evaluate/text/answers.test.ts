import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contextWindows } from '../../../src/data/labelled/contexts.ts';
import { openTokenizer } from '../../../src/data/tokenizer.ts';
import {
  bestSpan,
  exactMatch,
  normaliseAnswer,
  type SpanScores,
  wordF1,
} from '../../../src/evaluate/text/answers.ts';

const linesOf = (name: string) =>
  readFileSync(`test/evaluate/text/${name}.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test("normalisation, exact match and F1 are the official script's", () => {
  const cases = linesOf('answers');
  expect(cases.length).toBeGreaterThan(80);
  for (const { prediction, answers, normalised, exact, f1 } of cases) {
    const got = {
      prediction,
      normalised: normaliseAnswer(prediction),
      exact: exactMatch(prediction, answers),
      f1: wordF1(prediction, answers),
    };
    expect(got).toEqual({ prediction, normalised, exact, f1: expect.closeTo(f1, 12) });
  }
});

describe('the best span of overlapping windows', async () => {
  const tokenizer = await openTokenizer('examples/spam-filter');

  test.each(linesOf('windows').map((line) => [line.context.slice(0, 30), line]))(
    'windows and answers are those of the field: %s',
    (_, { question, context, length, stride, ids, typeIds, starts, ends, ...answers }) => {
      const windows = contextWindows([{ question, context, answers: [] }], tokenizer, { length, stride });
      expect(windows.map((window) => window.ids)).toEqual(ids);
      expect(windows.map((window) => window.typeIds)).toEqual(typeIds);
      const scored = windows.map(({ first, spans }, k) => ({ start: starts[k], end: ends[k], first, spans }));
      const best = (candidates: number, longest: number, mayBeNone: boolean) =>
        bestSpan(scored, context, { candidates, longest, mayBeNone });
      expect({
        best: best(20, 30, false),
        short: best(5, 3, false),
        none: best(20, 30, true),
        few: best(2, 2, true),
      }).toEqual(answers);
    },
  );
});

test('with all candidates, no span within the limits scores more', () => {
  const context = 'abcdefghij';
  const score = fc.integer({ min: -9, max: 9 });
  const window = fc
    .record({ size: fc.integer({ min: 1, max: 6 }), first: fc.integer({ min: 1, max: 3 }) })
    .chain(({ size, first }) => {
      const scores = fc.array(score, { minLength: first + size + 1, maxLength: first + size + 1 });
      return fc.record({
        start: scores,
        end: scores,
        first: fc.constant(first),
        spans: fc.constant(Array.from({ length: size }, (_, k) => [k, k + 1] as const)),
      });
    });
  fc.assert(
    fc.property(
      fc.array(window, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 6 }),
      fc.boolean(),
      (windows: SpanScores[], longest, mayBeNone) => {
        let greatest = Number.NEGATIVE_INFINITY;
        let best = new Set(['']);
        for (const { start, end, first, spans } of windows) {
          for (let from = 0; from < spans.length; from++) {
            for (let to = from; to < Math.min(spans.length, from + longest); to++) {
              const sum = start[first + from] + end[first + to];
              if (sum > greatest) best = new Set();
              greatest = Math.max(greatest, sum);
              if (sum === greatest) best.add(context.slice(spans[from][0], spans[to][1]));
            }
          }
        }
        const none = Math.min(...windows.map(({ start, end }) => start[0] + end[0]));
        const got = bestSpan(windows, context, { longest, mayBeNone, candidates: 99 });
        expect(mayBeNone && none > greatest ? new Set(['']) : best).toContain(got);
      },
    ),
  );
});
