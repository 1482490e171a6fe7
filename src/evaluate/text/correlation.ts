/**
 * How two series of numbers go together. Agrees with SciPy's `pearsonr` and `spearmanr`.
 * @module
 */

/** Pearson's correlation of the pairs; NaN where either series is constant. */
export function pearson(pairs: readonly (readonly [number, number])[]): number {
  const n = pairs.length;
  const meanOf = (side: 0 | 1) => pairs.reduce((sum, pair) => sum + pair[side], 0) / n;
  const [meanX, meanY] = [meanOf(0), meanOf(1)];
  let [xx, yy, xy] = [0, 0, 0];
  for (const [x, y] of pairs) {
    xx += (x - meanX) ** 2;
    yy += (y - meanY) ** 2;
    xy += (x - meanX) * (y - meanY);
  }
  // Equal numbers may differ from their mean in the last place.
  const isConstant = (side: 0 | 1) => pairs.every((pair) => pair[side] === pairs[0][side]);
  if (n < 2 || isConstant(0) || isConstant(1)) return Number.NaN;
  return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
}

/** Spearman's: Pearson's of the ranks, of which equal values share the mean; NaN where either series is constant. */
export function spearman(pairs: readonly (readonly [number, number])[]): number {
  const x = ranks(pairs.map((pair) => pair[0]));
  const y = ranks(pairs.map((pair) => pair[1]));
  return pearson(pairs.map((_, at) => [x[at], y[at]]));
}

/** From 1; equal values share the mean of theirs. */
export function ranks(values: readonly number[]): number[] {
  const order = [...values.keys()].sort((a, b) => values[a] - values[b]);
  const out = new Array<number>(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && values[order[to]] === values[order[from]]) to++;
    for (let at = from; at < to; at++) out[order[at]] = (from + to + 1) / 2;
    from = to;
  }
  return out;
}

/** The cosine of the angle between two vectors; 0 where either is 0. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [aa, bb, ab] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    aa += a[i] * a[i];
    bb += b[i] * b[i];
    ab += a[i] * b[i];
  }
  return aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb);
}
