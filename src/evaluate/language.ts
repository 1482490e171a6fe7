/**
 * Language models on tokens: perplexity and accuracy of what was predicted.
 * @module
 */
import type { MeasureName } from './measures.ts';
import type { RowMetric } from './rows.ts';

/** Of a text: sums over its scored tokens. */
export interface TextLoss {
  /** Σ −log p(token), in nats. */
  readonly loss: number;
  /** How often the likeliest token was the one. */
  readonly right: number;
  readonly tokens: number;
}

/** What is said of texts: each of their tokens weighs the same. NaN where none is scored. */
export const languageMetrics = {
  /** exp of the mean loss; capped, since a broken model's would leave the numbers that JSON has. */
  perplexity: (texts) => Math.min(Math.exp(ratio(texts, 'loss')), 1e300),
  accuracy: (texts) => ratio(texts, 'right'),
} as const satisfies Partial<Record<MeasureName, RowMetric<TextLoss>>>;

export type LanguageMetric = keyof typeof languageMetrics;

function ratio(texts: readonly TextLoss[], of: 'loss' | 'right'): number {
  let sum = 0;
  let tokens = 0;
  for (const text of texts) {
    sum += text[of];
    tokens += text.tokens;
  }
  return sum / tokens;
}

/** Fewer documents than that say too little of the spread among documents. */
const FEWEST_DOCUMENTS = 20;

/**
 * What intervals are taken over: documents, where there are enough of them, else the windows that they were read in. Tokens near
 * to one another go together, so that neither is as many observations as it has tokens.
 * @param windows in order, each with the index of its document
 */
export function textsOf(windows: readonly (TextLoss & { readonly document: number })[]): TextLoss[] {
  const documents = [...Map.groupBy(windows, ({ document }) => document).values()];
  const units = documents.length < FEWEST_DOCUMENTS ? windows.map((one) => [one]) : documents;
  return units.map((unit) =>
    unit.reduce<TextLoss>(
      (sum, { loss, right, tokens }) => ({
        loss: sum.loss + loss,
        right: sum.right + right,
        tokens: sum.tokens + tokens,
      }),
      { loss: 0, right: 0, tokens: 0 },
    ),
  );
}
