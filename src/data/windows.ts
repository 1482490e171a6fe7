/**
 * Windows over documents that are longer than a model reads at once, as the perplexity of fixed-length models is computed:
 * each window begins `stride` tokens after the one before, and of its tokens only those that no window before it held are
 * scored; the others are context. A document's first token is never scored, nor is a window's: nothing comes before it.
 * @module
 */

export interface Window {
  /** At most `size` of the document's. */
  readonly ids: readonly number[];
  /** Index of the document. */
  readonly document: number;
  /** The first token that is scored: at least 1, less than `ids.length`. */
  readonly from: number;
}

/**
 * The windows of documents, in order; the last of a document may be shorter. One that has nothing to score is left out.
 * @param documents token ids
 * @param size of a window, in tokens: at least 2
 * @param stride from 1 to `size`; `size` gives windows that do not overlap
 */
export function windowsOf(
  documents: readonly (readonly number[])[],
  { size, stride }: { readonly size: number; readonly stride: number },
): Window[] {
  if (!(size >= 2 && stride >= 1 && stride <= size)) {
    throw new RangeError(`windows: a size of ${size} tokens and a stride of ${stride}`);
  }
  const windows: Window[] = [];
  for (const [document, all] of documents.entries()) {
    for (let begin = 0, held = 0; held < all.length; begin += stride) {
      const end = Math.min(begin + size, all.length);
      const from = Math.max(1, held - begin);
      if (begin + from < end) windows.push({ ids: all.slice(begin, end), document, from });
      held = end;
    }
  }
  return windows;
}
