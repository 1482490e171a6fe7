/**
 * The perplexity of a fixed-length model over one long text, window by window and each alone, as the field's guides have it: a window
 * ends `stride` further than the one before, and only what is new in it counts; the model gives no prediction for a window's first token.
 */
import { naivePerplexity, naiveTokenLoss } from './token-loss.ts';

/** @param logitsOf of a window [tokens], row-major [tokens, vocabulary] */
export async function slidingPerplexity(
  ids: readonly number[],
  { size, stride }: { readonly size: number; readonly stride: number },
  logitsOf: (window: readonly number[]) => Promise<ArrayLike<number>>,
): Promise<{ perplexity: number; tokens: number }> {
  const losses: number[] = [];
  let previousEnd = 0;
  for (let begin = 0; begin < ids.length; begin += stride) {
    const end = Math.min(begin + size, ids.length);
    const window = ids.slice(begin, end);
    const logits = await logitsOf(window);
    const vocabulary = logits.length / window.length;
    const fresh = end - previousEnd;
    for (let at = Math.max(1, window.length - fresh); at < window.length; at++) {
      const row = Array.from({ length: vocabulary }, (_, k) => logits[(at - 1) * vocabulary + k]);
      losses.push(...naiveTokenLoss(row, [window[at]]));
    }
    previousEnd = end;
    if (end === ids.length) break;
  }
  return { perplexity: naivePerplexity(losses), tokens: losses.length };
}
