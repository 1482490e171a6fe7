import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openTokenizer } from '../../../src/data/tokenizer.ts';

interface Reference {
  readonly tokenizer: string;
  readonly text: string;
  readonly ids: readonly number[];
  /** start, end, start, … in code points */
  readonly offsets: readonly number[];
}

const linesOf = (name: string) =>
  readFileSync(`test/data/spans/${name}.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const reference: readonly Reference[] = linesOf('offsets');
const definitions = new Map(linesOf('tokenizers').map(({ name, definition }) => [name, definition]));
const folder = mkdtempSync(join(tmpdir(), 'spans-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function openNamed(name: string) {
  if (name === 'spam-filter')
    return { tokenizer: await openTokenizer('examples/spam-filter'), spaces: new Set<number>() };
  const definition = definitions.get(name);
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(definition));
  const { vocab } = definition.model;
  const ids: [string, number][] = Array.isArray(vocab)
    ? vocab.map(([token], id) => [token, id])
    : Object.entries(vocab);
  const spaces = new Set(ids.filter(([token]) => token === 'Ġ' || token === '▁').map(([, id]) => id));
  return { tokenizer: await openTokenizer(folder), spaces };
}

/** Code points to UTF-16 units. */
function unitsOf(text: string): number[] {
  const units: number[] = [];
  let at = 0;
  for (const point of text) {
    units.push(at);
    at += point.length;
  }
  return [...units, at];
}

/**
 * What a span covers, without white space around it; of a letter whose marks or doubles the normaliser took, all, where the
 * library names now the letter and now the marks.
 */
function covered(text: string, [start, end]: readonly [number, number]): string {
  if (start === end) return '';
  const before = /\P{M}?\p{M}*$/u.exec(text.slice(0, start))![0];
  const first = /^\p{M}/u.test(text.slice(start)) ? start - before.length : start;
  const marks = /^\p{M}*/u.exec(text.slice(end))![0].length;
  return text
    .slice(first, end + marks)
    .trim()
    .replace(/^(``|'')$/, (quotes) => quotes[0]);
}

describe.each([...Map.groupBy(reference, ({ tokenizer }) => tokenizer)])('%s', async (name, cases) => {
  const { tokenizer, spaces } = await openNamed(name);

  test('every token stands where the library that trained it says', () => {
    let same = 0;
    for (const { text, ids, offsets } of cases) {
      const pieces = tokenizer.locate(text);
      // Where the ids differ, it is the library that is asked for them that does.
      if (JSON.stringify(pieces.map(({ id }) => id)) !== JSON.stringify(ids)) continue;
      same++;
      const units = unitsOf(text);
      const expected = ids.map((_, at) =>
        covered(text, [units[offsets[2 * at]], units[offsets[2 * at + 1]]]),
      );
      // A space that was only put before a word stands nowhere; the library lets it have the letter behind it.
      const got = pieces.map(({ id, span }, at) =>
        span[0] === span[1] && spaces.has(id) ? expected[at] : covered(text, span),
      );
      expect({ text, pieces: got }).toEqual({ text, pieces: expected });
    }
    expect(same).toBeGreaterThan(0.8 * cases.length);
  });
});
