/** Strings that someone outside may put into a record. */
import fc from 'fast-check';

// biome-ignore format: one line per sort of trouble
export const NASTY = [
  '|', '\\|', '\\', '`', '``', '```', '~~~', '*', '**', '_', '__', '~~', '&', '&#124;', '&lt;', '"', "'", '<', '>',
  '\n', '\r\n', '\n\n', '\n---\n', '\n| a | b |\n| - | - |\n', '\t', '\u0000', '\u001b[31m', '\u001b]0;x\u0007', '\u009b',
  '# ', '> ', '- ', '+ ', '1. ', '- [x] ', '=== ', '---', '[^1]', '[x]: http://evil.example', '%s', '{{x}}', '{a|b}',
  '@everyone', 'a@b.com', '#123', 'GH-7', 'owner/repo#1', ':tada:', '$x$', '$$', 'http://evil.example', 'www.evil.example',
  '[x](http://evil.example)', '![x](http://evil.example/x.png)', '<http://evil.example>', 'ftp://evil.example', 'mailto:a@b.com',
  '<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '</code>', '</details>', '<!-- x -->', '-->', ']]>', '</svg>',
  '\u202e', '\u2066', '\u200b', '\u200d', '\ufeff', '\u2028', '\ud800', '\u{e0041}', '\u115f', '\ufe0f', '名前', 'שלום', '🚀', 'é',
  'constructor', '__proto__', 'valueOf',
] as const;

const piece = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...NASTY) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
);

/** Several of them, one after the other, among random characters. */
export const outside: fc.Arbitrary<string> = fc
  .array(piece, { minLength: 1, maxLength: 8 })
  .map((pieces) => pieces.join(''));
