/**
 * Answers that are a span of a text: the best span of a question's windows, and how it is compared with the right answers,
 * as SQuAD's official script compares them.
 * @module
 */

/** What a model says of one window. */
export interface SpanScores {
  /** For each token of the window, padding left out: how well an answer would start there. */
  readonly start: ArrayLike<number>;
  /** … and end there. */
  readonly end: ArrayLike<number>;
  /** Where the first token of the context stands. */
  readonly first: number;
  /** Of each token of the context in the window its letters, [start, end) in UTF-16 units. */
  readonly spans: readonly (readonly [start: number, end: number])[];
}

export interface SpanOptions {
  /** So many of the best starts are tried with so many of the best ends. */
  readonly candidates?: number;
  /** Tokens of an answer, at most. */
  readonly longest: number;
  /** Whether a question may have no answer: then '' is chosen where the first token, as start and end, scores higher. */
  readonly mayBeNone: boolean;
}

/**
 * The text of the span with the greatest sum of start and end, over all windows of a question. That no answer is there has
 * to hold for the window that says it least.
 */
export function bestSpan(
  windows: readonly SpanScores[],
  context: string,
  { candidates = 20, longest, mayBeNone }: SpanOptions,
): string {
  let best = { score: Number.NEGATIVE_INFINITY, text: '' };
  let none = Number.POSITIVE_INFINITY;
  for (const { start, end, first, spans } of windows) {
    none = Math.min(none, start[0] + end[0]);
    const ends = greatest(end, candidates);
    for (const from of greatest(start, candidates)) {
      for (const to of ends) {
        const isInside =
          from >= first && to < first + spans.length && to >= first && from < first + spans.length;
        if (!isInside || to < from || to - from >= longest) continue;
        const score = start[from] + end[to];
        if (score <= best.score) continue;
        best = { score, text: context.slice(spans[from - first][0], spans[to - first][1]) };
      }
    }
  }
  return mayBeNone && none > best.score ? '' : best.text;
}

/** Indices of the greatest values, the greatest first; of equal ones the first. */
function greatest(values: ArrayLike<number>, count: number): number[] {
  return Array.from(values, (_, index) => index)
    .sort((a, b) => values[b] - values[a] || a - b)
    .slice(0, count);
}

const punctuation = /[!-/:-@[-`{-~]/g;
// What Python takes for a letter of a word, and for white space: four separators more, and no byte order mark.
const article = /(?<![\p{L}\p{N}_])(a|an|the)(?![\p{L}\p{N}_])/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const spaces = /(?:(?!\ufeff)\s|[\u001c-\u001f\u0085])+/u;

/** In lower case, without punctuation, articles, and white space more than one space between words. */
export function normaliseAnswer(text: string): string {
  return wordsOf(text).join(' ');
}

function wordsOf(text: string): string[] {
  const bare = text.toLowerCase().replace(punctuation, '').replace(article, ' ');
  return bare.split(spaces).filter((word) => word !== '');
}

/** 1 where the normalised prediction is one of the answers, else 0. Without an answer, '' is right. */
export function exactMatch(prediction: string, answers: readonly string[]): number {
  const own = normaliseAnswer(prediction);
  return rightAnswers(answers).some((answer) => normaliseAnswer(answer) === own) ? 1 : 0;
}

/** The harmonic mean of precision and recall of the prediction's words, by the answer that gives the most. */
export function wordF1(prediction: string, answers: readonly string[]): number {
  const own = wordsOf(prediction);
  return Math.max(...rightAnswers(answers).map((answer) => overlap(own, wordsOf(answer))));
}

/** Answers of which the normalisation leaves nothing do not count. */
function rightAnswers(answers: readonly string[]): readonly string[] {
  const some = answers.filter((answer) => normaliseAnswer(answer) !== '');
  return some.length > 0 ? some : [''];
}

function overlap(predicted: readonly string[], answer: readonly string[]): number {
  if (predicted.length === 0 || answer.length === 0) return Number(predicted.length === answer.length);
  const left = new Map<string, number>();
  for (const word of answer) left.set(word, (left.get(word) ?? 0) + 1);
  let same = 0;
  for (const word of predicted) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    same++;
  }
  const [precision, recall] = [same / predicted.length, same / answer.length];
  return same === 0 ? 0 : (2 * precision * recall) / (precision + recall);
}
