/**
 * The word that the user probably meant.
 * @module
 */
import { distance } from 'fastest-levenshtein';

/** The choice nearest to `word` (case aside); none when no choice shares at least half of its letters. */
export function nearest(word: string, choices: readonly string[]): string | undefined {
  const near = choices
    .map((choice) => ({ choice, edits: distance(word.toLowerCase(), choice.toLowerCase()) }))
    .filter(({ choice, edits }) => edits <= Math.max(word.length, choice.length) / 2)
    .sort((a, b) => a.edits - b.edits);
  return near[0]?.choice;
}
