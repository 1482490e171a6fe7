/**
 * The learning rate over the steps of a training, as graph nodes and as numbers.
 *
 * With s the steps done before, w of warm-up and n in all, the rate is peak·s/w while s < w, and after that goes down from
 * peak to final·peak with p = (s − w)/(n − w): linearly, by half a cosine, or not at all.
 * @module
 */
import type { GraphBuilder } from '../onnx/build.ts';

export interface Schedule {
  readonly kind: 'linear' | 'cosine' | 'constant';
  /** The greatest learning rate. */
  readonly peak: number;
  /** Steps in all. */
  readonly steps: number;
  /** Steps of warm-up; the first of them has the rate 0. */
  readonly warmup: number;
  /** The last rate as a share of the peak. */
  readonly final: number;
}

/** The rate of the step that follows `done` steps. */
export function rateAt({ kind, peak, steps, warmup, final }: Schedule, done: number): number {
  if (done < warmup) return (peak * done) / warmup;
  const p = Math.min(1, (done - warmup) / Math.max(1, steps - warmup));
  const left = { linear: 1 - p, cosine: (1 + Math.cos(Math.PI * p)) / 2, constant: 1 }[kind];
  return peak * (final + (1 - final) * left);
}

/**
 * Nodes for `rateAt`, in float32, which holds every step up to 2²⁴.
 * @param done the steps done before, float32 []
 */
export function rateNodes(g: GraphBuilder, schedule: Schedule, done: string): string {
  const { kind, peak, steps, warmup, final } = schedule;
  const number = (value: number) => g.scalar('float32', value);
  const after = g.op('Div', [g.op('Sub', [done, number(warmup)]), number(Math.max(1, steps - warmup))]);
  const p = g.op('Min', [after, number(1)]);
  const left = {
    linear: () => g.op('Sub', [number(1), p]),
    cosine: () => {
      const wave = g.op('Cos', [g.op('Mul', [p, number(Math.PI)])]);
      return g.op('Mul', [g.op('Add', [wave, number(1)]), number(0.5)]);
    },
    constant: () => number(1),
  }[kind]();
  const falling = g.op('Add', [number(final), g.op('Mul', [left, number(1 - final)])]);
  const factor =
    warmup === 0
      ? falling
      : g.op('Where', [g.op('Less', [done, number(warmup)]), g.op('Div', [done, number(warmup)]), falling]);
  return g.op('Mul', [factor, number(peak)]);
}
