/**
 * AdamW as graph nodes: Adam with bias correction, weight decay apart from the gradient, and the gradient clipped by its
 * norm over all weights.
 *
 *   g ← g·min(1, max/(‖g‖ + 10⁻⁶))
 *   m ← β₁m + (1 − β₁)g        v ← β₂v + (1 − β₂)g²
 *   W ← W − η·λW − η·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)
 *
 * Representation: the state holds M = m/(1 − β₁) and V = v/(1 − β₂), which saves two passes over all weights. Then
 *   M ← β₁M + g,  V ← β₂V + g²,  W ← (1 − ηλ)W − a·M/(√V + e)
 * with the numbers a = η·(1 − β₁)/(1 − β₁ᵗ)/s and e = ε/s, s = √((1 − β₂)/(1 − β₂ᵗ)), which are computed in float64:
 * 1 − 0.999ᵗ loses four of its seven digits in float32.
 * @module
 */
import type { GraphBuilder } from '../onnx/build.ts';

export interface AdamW {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** λ: of matrices and tables; biases and the scales and shifts of normalisations are not decayed. */
  readonly decay: number;
  /** The greatest norm of the gradient over all weights; 0 does not clip. */
  readonly clip: number;
}

/** Names of float32 values of one shape: a weight, its two moments, and its gradient. */
export interface Slot {
  readonly weight: string;
  readonly first: string;
  readonly second: string;
  readonly gradient: string;
  readonly decays: boolean;
}

export interface Updated {
  readonly weight: string;
  readonly first: string;
  readonly second: string;
}

/** ‖g‖ over all gradients, before clipping: float32 []. */
export function gradientNorm(g: GraphBuilder, gradients: readonly string[]): string {
  const squares = gradients.map((gradient) => g.op('ReduceSumSquare', [gradient], { keepdims: 0 }));
  return g.op('Sqrt', [squares.length === 1 ? squares[0] : g.op('Sum', squares)]);
}

/** The step's numbers a, e and 1 − ηλ, float32 []. */
interface Numbers {
  readonly a: string;
  readonly e: string;
  readonly keep: string;
}

/**
 * Nodes of one step.
 * @param rate η, float32 []
 * @param done the steps done before, int64 []
 * @param norm `gradientNorm` of the slots' gradients
 */
export function adamWNodes(
  g: GraphBuilder,
  slots: readonly Slot[],
  optimiser: AdamW,
  { rate, done, norm }: { readonly rate: string; readonly done: string; readonly norm: string },
): Updated[] {
  const { beta1, beta2, clip } = optimiser;
  const numbers = stepNumbers(g, optimiser, rate, done);
  const scale = clip > 0 ? clipScale(g, norm, clip) : undefined;
  const [b1, b2] = [g.scalar('float32', beta1), g.scalar('float32', beta2)];
  return slots.map(({ weight, first, second, gradient, decays }) => {
    const clipped = scale === undefined ? gradient : g.op('Mul', [gradient, scale]);
    const m = g.op('Add', [g.op('Mul', [first, b1]), clipped]);
    const v = g.op('Add', [g.op('Mul', [second, b2]), g.op('Mul', [clipped, clipped])]);
    const direction = g.op('Div', [m, g.op('Add', [g.op('Sqrt', [v]), numbers.e])]);
    const kept = decays && optimiser.decay > 0 ? g.op('Mul', [weight, numbers.keep]) : weight;
    const next = g.op('Sub', [kept, g.op('Mul', [direction, numbers.a])]);
    return { weight: next, first: m, second: v };
  });
}

function clipScale(g: GraphBuilder, norm: string, clip: number): string {
  const safe = g.op('Add', [norm, g.scalar('float32', 1e-6)]);
  return g.op('Min', [g.op('Div', [g.scalar('float32', clip), safe]), g.scalar('float32', 1)]);
}

function stepNumbers(
  g: GraphBuilder,
  { beta1, beta2, epsilon, decay }: AdamW,
  rate: string,
  done: string,
): Numbers {
  const double = (value: number) => g.scalar('float64', value);
  const single = (value: string) => g.op('Cast', [value], { to: 1 });
  const t = g.op('Add', [g.op('Cast', [done], { to: 11 }), double(1)]);
  const eta = g.op('Cast', [rate], { to: 11 });
  /** 1 − βᵗ. */
  const correction = (beta: number) => g.op('Sub', [double(1), g.op('Pow', [double(beta), t])]);
  const s = g.op('Sqrt', [g.op('Div', [double(1 - beta2), correction(beta2)])]);
  const share = g.op('Div', [double(1 - beta1), correction(beta1)]);
  const a = g.op('Div', [g.op('Mul', [eta, share]), s]);
  const e = g.op('Div', [double(epsilon), s]);
  const keep = g.op('Sub', [double(1), g.op('Mul', [eta, double(decay)])]);
  return { a: single(a), e: single(e), keep: single(keep) };
}
