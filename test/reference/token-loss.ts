/** −log softmax(logits)[label] of each token, in double precision. */

/** @param logits [tokens, vocabulary] @param labels [tokens] */
export function naiveTokenLoss(logits: ArrayLike<number>, labels: readonly number[]): number[] {
  const vocabulary = logits.length / labels.length;
  return labels.map((label, token) => {
    const row = Array.from({ length: vocabulary }, (_, k) => logits[token * vocabulary + k]);
    const greatest = Math.max(...row);
    const sum = row.reduce((total, z) => total + Math.exp(z - greatest), 0);
    return Math.log(sum) + greatest - row[label];
  });
}

/** exp of the mean loss over the tokens of the rows, each token once: by the textbook. */
export function naivePerplexity(losses: readonly number[]): number {
  return Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / losses.length);
}
