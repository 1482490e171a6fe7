/**
 * Masking for language models that fill gaps, as they are trained and judged: of the tokens 15 % are asked for, and of
 * these 80 % are replaced by the mask, 10 % by any token, and 10 % stand as they are.
 * @module
 */
import { integer, type Random } from '../tensor/random.ts';

const ASKED = 0.15;
const [MASKED, REPLACED] = [0.8, 0.1];

export interface Masked {
  /** What the model reads. */
  readonly ids: readonly number[];
  /** At each position the token that stood there, −1 where it is not asked for. */
  readonly targets: readonly number[];
}

/**
 * @param text where the tokens of the text begin and end; special tokens stand around them and are never asked for
 * @param vocabulary of which a token is drawn
 */
export function maskTokens(
  ids: readonly number[],
  text: readonly [from: number, to: number],
  { maskId, vocabulary }: { readonly maskId: number; readonly vocabulary: number },
  next: Random,
): Masked {
  const read = [...ids];
  const targets = ids.map(() => -1);
  for (let at = text[0]; at < text[1]; at++) {
    if (next() >= ASKED) continue;
    targets[at] = ids[at];
    const how = next();
    if (how < MASKED) read[at] = maskId;
    else if (how < MASKED + REPLACED) read[at] = integer(next, vocabulary);
  }
  return { ids: read, targets };
}
