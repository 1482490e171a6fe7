/**
 * Where each token of a text stands in it.
 *
 * The tokenizer's library gives ids and no places. Its parts are public, so the way is gone once more, part by part: added
 * tokens, normaliser, pre-tokenizer, model, each piece found again in what the part was given. Whoever calls
 * checks the ids against the library's.
 * @module
 */
import type { AddedToken, Tokenizer } from '@huggingface/tokenizers';
import { type Aligned, normalised, part, type Span, type Step } from './normalised.ts';

export interface Piece {
  readonly id: number;
  /** Without white space around it; empty for a token that no letter of the text made. */
  readonly span: Span;
}

export interface Pieces {
  /** @throws RangeError where a piece is not found again in the text */
  locate(text: string): Piece[];
}

export interface PieceOptions {
  /** What is done to a text before the library sees it, and what the library does by `tokenizer_config.json`. */
  readonly first: readonly Step[];
  readonly byteLevel: boolean;
  /** Of a WordPiece, before all tokens of a word but the first. */
  readonly continuing: string;
  /** Of a BPE, behind all tokens of a word but the last. */
  readonly continued: string;
}

export function openPieces(tokenizer: Tokenizer, options: PieceOptions): Pieces {
  const { normalizer } = tokenizer;
  const added = [...tokenizer.get_added_tokens_decoder().values()];
  const asTheyAre = added.filter((token) => !token.normalized || normalizer === null);
  const byContent = new Map<string, AddedToken>(asTheyAre.map((token) => [token.content, token]));
  const asNormalised = new Map<string, AddedToken>(
    added
      .filter((token) => !asTheyAre.includes(token))
      .map((token) => [normalizer!.normalize(token.content), token]),
  );
  const steps = [...options.first, ...stepsOf(normalizer)];
  return {
    locate(text) {
      const pieces: Piece[] = [];
      for (const [index, section] of sections(text, byContent).entries()) {
        const from = section.span[0];
        const put = (found: readonly Piece[]) => {
          for (const { id, span } of found)
            pieces.push({ id, span: trimmed(text, [span[0] + from, span[1] + from]) });
        };
        if (section.token) {
          put([{ id: section.token.id, span: [0, section.text.length] }]);
          continue;
        }
        const whole = normalised(section.text, steps);
        for (const inner of sections(whole.text, asNormalised)) {
          const aligned = part(whole, inner.span);
          if (inner.token) put([{ id: inner.token.id, span: spanOf(aligned, 0, aligned.text.length) }]);
          else put(piecesOf(aligned, index, tokenizer, options));
        }
      }
      return pieces;
    },
  };
}

type Normalizer = NonNullable<Tokenizer['normalizer']>;

/** The parts of a sequence one by one: each alone is easier to follow. */
function stepsOf(normalizer: Normalizer | null): Step[] {
  if (normalizer === null) return [];
  const inner = (normalizer as Normalizer & { readonly normalizers?: (Normalizer | null)[] }).normalizers;
  return inner ? inner.flatMap(stepsOf) : [(text) => normalizer.normalize(text)];
}

interface Section {
  readonly text: string;
  readonly span: Span;
  readonly token?: AddedToken;
}

/** Divides a text at added tokens, of two at one place the longer; they may take the white space beside them. */
function sections(text: string, added: ReadonlyMap<string, AddedToken>): Section[] {
  const contents = [...added.keys()].filter((content) => content !== '').sort((a, b) => b.length - a.length);
  if (text === '') return [];
  if (!contents.some((content) => text.includes(content))) return [{ text, span: [0, text.length] }];
  const cuts: Span[] = [];
  for (let at = 0; at < text.length; ) {
    const content = contents.find((candidate) => text.startsWith(candidate, at));
    if (content !== undefined) cuts.push([at, at + content.length]);
    at += content?.length ?? 1;
  }
  const spans = cuts.flatMap(([start, end], at): Span[] => [
    [cuts[at - 1]?.[1] ?? 0, start],
    [start, end],
  ]);
  spans.push([cuts.at(-1)![1], text.length]);
  const tokenAt = (at: number) =>
    at % 2 === 1 && spans[at] ? added.get(text.slice(...spans[at])) : undefined;
  // A part between two tokens that is empty is no section; the library counts without it.
  return spans.flatMap((span, at): Section[] => {
    if (span[0] === span[1]) return [];
    const token = tokenAt(at);
    if (token) return [{ text: token.content, span, token }];
    const between = text.slice(...span);
    const start = tokenAt(at - 1)?.rstrip ? between.length - between.trimStart().length : 0;
    const end = tokenAt(at + 1)?.lstrip ? between.trimEnd().length : between.length;
    return [{ text: between.slice(start, end), span: [span[0] + start, span[0] + Math.max(start, end)] }];
  });
}

/** What the pre-tokenizer and the model make of a normalised section. Spans are in the section before normalisation. */
function piecesOf(section: Aligned, index: number, tokenizer: Tokenizer, options: PieceOptions): Piece[] {
  const { pre_tokenizer: divide, model } = tokenizer;
  if (model === null) return [];
  const words = divide?.pre_tokenize(section.text, { section_index: index }) ?? [section.text];
  const surface = surfaceOf(section.text, options.byteLevel);
  const unitOf = options.byteLevel ? unitsOfBytes(section.text) : undefined;
  const span = (from: number, to: number) =>
    unitOf
      ? spanOf(section, unitOf[from], to > from ? unitOf[to - 1] + 1 : unitOf[from])
      : spanOf(section, from, to);
  const pieces: Piece[] = [];
  let cursor = 0;
  for (const word of words) {
    const own = options.byteLevel ? bytesOf(word) : surfaceOf(word, false);
    const { start, prefix } = find(surface, own, cursor);
    cursor = start + own.length - prefix;
    // What the pre-tokenizer put before the word belongs to no letter.
    const place = (at: number) => Math.max(0, at - prefix) + start;
    for (const { id, from, to } of tokensOf(word, own, model, options)) {
      pieces.push({ id, span: span(place(from), place(to)) });
    }
  }
  return model.fuse_unk ? fused(pieces, model.unk_token_id) : pieces;
}

/** What pieces are looked for in: a character a byte for a byte-level tokenizer, else the text with ▁ as the space that it is. */
function surfaceOf(text: string, byteLevel: boolean): string {
  return byteLevel ? Buffer.from(text).toString('latin1') : text.replaceAll('\u2581', ' ');
}

/** The UTF-16 unit that each byte of a text belongs to, and one more for the end. */
function unitsOfBytes(text: string): number[] {
  const units: number[] = [];
  let at = 0;
  for (const point of text) {
    for (let byte = Buffer.byteLength(point); byte > 0; byte--) units.push(at);
    at += point.length;
  }
  return [...units, at];
}

/** The letter by which a byte-level vocabulary writes a byte → the byte: printable ones as they are, the others from U+0100 on. */
const byteOfLetter: ReadonlyMap<string, number> = new Map(
  [...Array(256).keys()].map((byte) => [letterOfByte(byte), byte]),
);

function letterOfByte(byte: number): string {
  const isPrintable = (b: number) => (b > 32 && b < 127) || (b > 160 && b !== 173);
  if (isPrintable(byte)) return String.fromCharCode(byte);
  const before = [...Array(byte).keys()].filter((b) => !isPrintable(b)).length;
  return String.fromCharCode(256 + before);
}

function bytesOf(token: string): string {
  return Array.from(token, (char) => String.fromCharCode(byteOfLetter.get(char) ?? char.charCodeAt(0))).join(
    '',
  );
}

/** Where a word stands at or behind the cursor: as it is, or without the space that was put before it. */
function find(surface: string, word: string, cursor: number): { start: number; prefix: 0 | 1 } {
  const start = surface.indexOf(word, cursor);
  if (start === cursor || !word.startsWith(' ')) {
    if (start >= 0) return { start, prefix: 0 };
    throw new RangeError(`the piece "${word}" is not in the text`);
  }
  const without = surface.indexOf(word.slice(1), cursor);
  if (without < 0) throw new RangeError(`the piece "${word}" is not in the text`);
  return start >= 0 && start < without ? { start, prefix: 0 } : { start: without, prefix: 1 };
}

interface Placed {
  readonly id: number;
  /** In the surface of the word. */
  readonly from: number;
  readonly to: number;
}

/**
 * The tokens of one word. One that does not show its letters (unknown, or a byte of an unknown letter) has those that the
 * tokens beside it leave.
 */
function tokensOf(
  word: string,
  surface: string,
  model: NonNullable<Tokenizer['model']>,
  { byteLevel, continuing, continued }: PieceOptions,
): Placed[] {
  const placed: Placed[] = [];
  let hidden: number[] = [];
  let at = 0;
  const placeHidden = (to: number) => {
    const places = placesOf(surface, at, to).find(({ length }) => length === hidden.length);
    for (const [k, id] of hidden.entries()) {
      const [from, end] = places?.[k] ?? [at, to];
      placed.push({ id, from, to: end });
    }
    hidden = [];
  };
  const tokens = model.encode([word]);
  for (const [k, token] of tokens.entries()) {
    const id = model.tokens_to_ids.get(token) ?? (model.unk_token_id as number);
    if (token === model.unk_token || /^<0x[0-9A-F]{2}>$/.test(token)) {
      hidden.push(id);
      continue;
    }
    const end = model.end_of_word_suffix ?? '';
    let bare = token;
    if (k > 0 && continuing !== '' && bare.startsWith(continuing)) bare = bare.slice(continuing.length);
    if (k < tokens.length - 1 && continued !== '') bare = withoutEnd(bare, continued);
    if (k === tokens.length - 1 && end !== '') bare = withoutEnd(bare, end);
    const own = byteLevel ? bytesOf(bare) : surfaceOf(bare, false);
    const found = surface.indexOf(own, at + Math.min(hidden.length, 1));
    if (found < 0) throw new RangeError(`the token "${token}" is not in "${word}"`);
    placeHidden(found);
    placed.push({ id, from: found, to: found + own.length });
    at = found + own.length;
  }
  placeHidden(surface.length);
  return placed;
}

/** The code points of a part of a text, one by one; and each as often as it has bytes. */
function placesOf(text: string, from: number, to: number): Span[][] {
  const points: Span[] = [];
  for (const point of text.slice(from, to)) {
    const start = points.at(-1)?.[1] ?? from;
    points.push([start, start + point.length]);
  }
  const bytes = points.flatMap((span) => Array<Span>(Buffer.byteLength(text.slice(...span))).fill(span));
  return [points, bytes];
}

function withoutEnd(text: string, end: string): string {
  return text.endsWith(end) ? text.slice(0, -end.length) : text;
}

/** Unknown tokens beside each other are one. */
function fused(pieces: readonly Piece[], unknown: number | undefined): Piece[] {
  const out: Piece[] = [];
  for (const piece of pieces) {
    const last = out.at(-1);
    if (last?.id === unknown && piece.id === unknown)
      out[out.length - 1] = { id: last!.id, span: [last!.span[0], piece.span[1]] };
    else out.push(piece);
  }
  return out;
}

function spanOf({ starts, ends, text }: Aligned, from: number, to: number): Span {
  if (to > from) return [starts[from], Math.max(starts[from], ends[to - 1])];
  const at = from < text.length ? starts[from] : (ends[text.length - 1] ?? 0);
  return [at, at];
}

function trimmed(text: string, [start, end]: Span): Span {
  const part = text.slice(start, end);
  if (part.trim() === '') return [start, start];
  return [end - part.trimStart().length, start + part.trimEnd().length];
}
