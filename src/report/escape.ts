/**
 * Strings from outside (a model's name, a GPU's, a warning, a path) made safe for the place where they are shown.
 * Nothing else in this room may put such a string into a document.
 * @module
 */

const MAX_LENGTH = 300;
/** Shown for a string of which nothing is left, so that a sentence or a list keeps its shape. */
const EMPTY = '(empty)';
/** Stops GitHub's filters, which look at rendered text and so see through entities and backslashes. */
const BREAK = '\u200b';

/**
 * One line that a terminal shows as it is: no control or escape sequences, no invisible or direction-changing
 * characters, no lone surrogates; cut at `maxLength` characters.
 */
export function plain(outside: string, maxLength: number = MAX_LENGTH): string {
  const line = outside
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/[\p{Cf}\p{Cs}\p{Co}\p{Default_Ignorable_Code_Point}]/gu, '')
    .replace(/\s+/gu, ' ')
    .trim();
  if (line === '') return EMPTY;
  const characters = [...line];
  return characters.length > maxLength ? `${characters.slice(0, maxLength - 1).join('')}…` : line;
}

const HTML: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text or a quoted attribute's value of an HTML document. */
export function html(outside: string, maxLength?: number): string {
  return plain(outside, maxLength).replace(/[&<>"']/g, (c) => HTML[c]);
}

const MARKDOWN: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  // Entities where a table or a code span would still see through a backslash.
  '|': '&#124;',
  '\\': '&#92;',
  '`': '&#96;',
  '*': '\\*',
  _: '\\_',
  '[': '\\[',
  ']': '\\]',
  '{': '\\{',
  '}': '\\}',
  '~': '\\~',
  '#': '\\#',
};

/**
 * Text inside GitHub-flavoured Markdown, table cells included: shown letter by letter; no markup, HTML, link,
 * mention, issue reference, emoji code or formula comes of it.
 */
export function markdown(outside: string, maxLength?: number): string {
  return unfiltered(plain(outside, maxLength))
    .replace(/[&<>|\\`*_[\]{}~#]/g, (c) => MARKDOWN[c])
    .replace(/^[-+]|(?<=^\d+)[.)](?=\s|$)/, (c) => `\\${c}`);
}

/** Text within an HTML element that stands in Markdown, where backslashes would show: a fold's summary. */
export function markdownHtml(outside: string, maxLength?: number): string {
  return unfiltered(plain(outside, maxLength)).replace(/[&<>"']/g, (c) => HTML[c]);
}

/** Nothing for the filters to find: mentions, references, addresses, emoji codes, formulas. */
const unfiltered = (line: string): string =>
  line.replace(/[@$]|#(?=\w)|:(?=\S)|(?<=\bGH)-(?=\d)|(?<=www)(?=\.)/gi, (c) => `${c}${BREAK}`);

/** A code-like string in Markdown (a path, a hash): an element, because a code span cannot hold every string. */
export function markdownCode(outside: string, maxLength?: number): string {
  return `<code>${markdown(outside, maxLength)}</code>`;
}

/** What may stand between the quotes of a mermaid string, which has no escapes. */
export function mermaid(outside: string): string {
  return plain(plain(outside, 60).replace(/[^\p{L}\p{N} %.,+()/-]/gu, ' '));
}
