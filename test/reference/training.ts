/**
 * Losses and AdamW in float64, one number at a time.
 * @module
 */
import type { AdamW } from '../../src/train/adamw.ts';
import type { Losses } from '../../src/train/losses.ts';

type Row = readonly number[];

function softmax(row: Row): number[] {
  const greatest = Math.max(...row);
  const powers = row.map((z) => Math.exp(z - greatest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** −log of the label's probability, a mean over the rows whose label is not negative. */
export function crossEntropy(logits: readonly Row[], labels: readonly number[]): number {
  const labelled = labels.flatMap((label, i) => (label < 0 ? [] : [-Math.log(softmax(logits[i])[label])]));
  return mean(labelled);
}

/** T²·KL(teacher ‖ student) at temperature T, a mean over the rows that count. */
export function divergence(
  teacher: readonly Row[],
  student: readonly Row[],
  counts: readonly number[],
  T: number,
): number {
  const rows = counts.flatMap((count, i) => {
    if (count === 0) return [];
    const [q, p] = [teacher[i], student[i]].map((row) => softmax(row.map((z) => z / T)));
    return [q.reduce((sum, one, k) => sum + one * Math.log(one / p[k]), 0)];
  });
  return T * T * mean(rows);
}

/** Mean squared difference over the tokens that are there; relative: over the teacher's mean square. States [tokens][width]. */
export function stateError(
  teacher: readonly Row[],
  student: readonly Row[],
  mask: readonly number[],
  relative: boolean,
): number {
  const there = [...mask.keys()].filter((i) => mask[i] === 1);
  const error = mean(there.flatMap((i) => teacher[i].map((value, j) => (student[i][j] - value) ** 2)));
  return relative ? error / mean(there.flatMap((i) => teacher[i].map((value) => value ** 2))) : error;
}

export function weightedSum(
  losses: Losses,
  parts: Readonly<Partial<Record<'task' | 'logit' | 'token', number>>>,
): number {
  return Object.entries(parts).reduce((sum, [part, value]) => sum + losses[part as 'task'] * value, 0);
}

/** A weight with its moments m and v. */
export interface Moments {
  weight: number[];
  m: number[];
  v: number[];
}

/** One step of AdamW as its paper has it, in place. Decay falls on the weights that `decays` says. @param t the step, from 1 */
export function adamW(
  weights: readonly Moments[],
  gradients: readonly Row[],
  decays: readonly boolean[],
  { beta1, beta2, epsilon, decay, clip }: AdamW,
  rate: number,
  t: number,
): void {
  const norm = Math.sqrt(gradients.flat().reduce((sum, g) => sum + g * g, 0));
  const scale = clip > 0 && norm > clip ? clip / (norm + 1e-6) : 1;
  weights.forEach(({ weight, m, v }, k) => {
    for (let i = 0; i < weight.length; i++) {
      const g = gradients[k][i] * scale;
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      if (decays[k]) weight[i] -= rate * decay * weight[i];
      weight[i] -= (rate * (m[i] / (1 - beta1 ** t))) / (Math.sqrt(v[i] / (1 - beta2 ** t)) + epsilon);
    }
  });
}
