/** Every message that docs/troubleshooting.md explains is one that the program can give. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const sources = globSync('src/**/*.ts', { cwd: root }).map((file) => readFileSync(join(root, file), 'utf8'));
const page = readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8');
const messages = [...page.matchAll(/^\| `([^`]+)` \|/gm)].map(([, message]) => message);

test('the page explains messages', () => {
  expect(messages.length).toBeGreaterThan(10);
});

test.each(messages)('"%s" is said somewhere', (message) => {
  expect(sources.some((source) => source.includes(message))).toBe(true);
});
