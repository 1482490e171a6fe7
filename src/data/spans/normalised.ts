/**
 * Where the letters of a normalised text come from.
 *
 * A normaliser is a function from text to text, and says nothing of what it did. What it did is found out from outside:
 * letter by letter where the normalised letters make up the normalised text (lower case, accents, compatibility forms,
 * white space), and by the prefixes of the text otherwise (a run of spaces that becomes one).
 *
 * A *letter* is a code point with the combining marks behind it. One that the normaliser changes is not divided, so that no
 * span ends between a letter and the accent that it lost.
 * @module
 */

/** [start, end) in UTF-16 units. */
export type Span = readonly [start: number, end: number];

/** A text, and for each of its UTF-16 units where in the text before normalisation it comes from. */
export interface Aligned {
  readonly text: string;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

export type Step = (text: string) => string;

// Vowels and finals of Hangul in parts join the consonant before them.
const letter = /[^\p{M}\u1160-\u11ff]?[\p{M}\u1160-\u11ff]*/gsu;

/** The text that the steps make one after the other, with its alignment to the first. */
export function normalised(text: string, steps: readonly Step[]): Aligned {
  return steps.reduce((aligned, step) => through(aligned, afterStep(aligned.text, step)), identity(text));
}

/** A part of an aligned text. */
export function part({ text, starts, ends }: Aligned, [from, to]: Span): Aligned {
  return { text: text.slice(from, to), starts: starts.slice(from, to), ends: ends.slice(from, to) };
}

function identity(text: string): Aligned {
  return ofSpans(text, pointsOf(text, 0));
}

/** For each unit of a text that stands at `from` the span of its code point. */
function pointsOf(text: string, from: number): Span[] {
  const spans: Span[] = [];
  let at = from;
  for (const point of text) {
    for (let unit = 0; unit < point.length; unit++) spans.push([at, at + point.length]);
    at += point.length;
  }
  return spans;
}

function ofSpans(text: string, spans: readonly Span[]): Aligned {
  return { text, starts: spans.map(([start]) => start), ends: spans.map(([, end]) => end) };
}

/** Follows the spans of `after`, which are in the text of `before`, to what that came from. */
function through(before: Aligned, after: Aligned): Aligned {
  const length = before.text.length;
  const startOf = (at: number) => (at < length ? before.starts[at] : (before.ends[length - 1] ?? 0));
  return {
    text: after.text,
    starts: after.starts.map(startOf),
    ends: after.ends.map((end, at) => (end > after.starts[at] ? before.ends[end - 1] : startOf(end))),
  };
}

function afterStep(text: string, step: Step): Aligned {
  const out = step(text);
  if (out === text) return identity(text);
  return shifted(text, out) ?? byLetters(text, out, step) ?? byPrefixes(text, out, step);
}

/** One of the texts is a part of the other: ends were stripped, or something was put before or after. */
function shifted(text: string, out: string): Aligned | undefined {
  if (text === '' || out === '')
    return ofSpans(
      out,
      [...out].flatMap((point) => Array(point.length).fill([0, 0])),
    );
  const stripped = text.indexOf(out);
  const { starts, ends } = identity(stripped >= 0 ? out : text);
  if (stripped >= 0) {
    return { text: out, starts: starts.map((at) => at + stripped), ends: ends.map((at) => at + stripped) };
  }
  const before = out.indexOf(text);
  if (before < 0) return undefined;
  const after = Array<number>(out.length - before - text.length).fill(text.length);
  const front = Array<number>(before).fill(0);
  return { text: out, starts: [...front, ...starts, ...after], ends: [...front, ...ends, ...after] };
}

/** Each letter normalised for itself, if together they are the normalised text. */
function byLetters(text: string, out: string, step: Step): Aligned | undefined {
  const spans: Span[] = [];
  const parts: string[] = [];
  let at = 0;
  for (const [found] of text.matchAll(letter)) {
    const part = step(found);
    const whole: Span = [at, at + found.length];
    // A letter that nothing was done to keeps its marks apart, as the tokens may.
    if (part === found) spans.push(...pointsOf(part, at));
    else for (let unit = 0; unit < part.length; unit++) spans.push(whole);
    parts.push(part);
    at += found.length;
  }
  return parts.join('') === out ? ofSpans(out, spans) : undefined;
}

/**
 * A normaliser that reads from left to right has made of the first k letters what the normalised text begins with. Where
 * it has not, because what follows changes it, the letters up to the next such place stay together.
 */
function byPrefixes(text: string, out: string, step: Step): Aligned {
  const spans: Span[] = [];
  let from = 0;
  const advance = (to: number, made: number) => {
    if (made > spans.length) {
      while (spans.length < made) spans.push([from, to]);
    }
    from = to;
  };
  let at = 0;
  for (const [found] of text.matchAll(letter)) {
    at += found.length;
    const made = step(text.slice(0, at));
    if (made.length >= spans.length && made.length <= out.length && out.startsWith(made))
      advance(at, made.length);
  }
  advance(text.length, out.length);
  return ofSpans(out, spans);
}
