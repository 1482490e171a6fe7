import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { documents } from '../scripts/docs.ts';
import { settings } from '../src/config.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

test.each([...documents()])('%s is what `npm run docs` writes', (path, text) => {
  expect(readFileSync(join(root, path), 'utf8')).toBe(text);
});

test('the configuration page has a row for every setting', () => {
  const page = documents().get('docs/configuration.md')!;
  for (const { key, flag } of settings) expect(page).toContain(`| \`${key}\` | \`--${flag}\` |`);
});

describe('links in the documents lead to files', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md', { cwd: root })];
  test.each(pages)('%s', (page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target]) => target);
    const broken = links.filter((target) => !existsSync(join(root, dirname(page), target)));
    expect(broken).toEqual([]);
  });
});
