/**
 * Operators that ONNX Runtime computes in float32 only, in float64, by their definitions.
 * @module
 */

/** erf by its Taylor series, which converges everywhere and is exact to rounding for |x| < 3. */
export function erf(x: number): number {
  let sum = 0;
  let term = x;
  for (let n = 0; n < 200; n++) {
    sum += term / (2 * n + 1);
    term *= -(x * x) / (n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

export const gelu = (x: number): number => (x / 2) * (1 + erf(x / Math.SQRT2));

export const tanhGelu = (x: number): number =>
  (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

export const swish =
  (alpha: number) =>
  (x: number): number =>
    x / (1 + Math.exp(-alpha * x));

/** x [n, c, h, w] ⋆ w [m, c, kh, kw] (+ bias [m]) → [n, m, …], with equal strides, dilations and pads in both directions. */
export function conv(
  x: ArrayLike<number>,
  [n, c, h, width]: readonly number[],
  w: ArrayLike<number>,
  [m, , kh, kw]: readonly number[],
  bias: ArrayLike<number> | undefined,
  { stride = 1, dilation = 1, pad = 0 },
): number[] {
  const out = (dim: number, k: number) => Math.floor((dim + 2 * pad - dilation * (k - 1) - 1) / stride) + 1;
  const y: number[] = [];
  for (let i = 0; i < n; i++)
    for (let o = 0; o < m; o++)
      for (let r = 0; r < out(h, kh); r++)
        for (let s = 0; s < out(width, kw); s++) {
          let sum = bias?.[o] ?? 0;
          for (let j = 0; j < c; j++)
            for (let p = 0; p < kh; p++)
              for (let q = 0; q < kw; q++) {
                const row = r * stride + p * dilation - pad;
                const col = s * stride + q * dilation - pad;
                if (row < 0 || col < 0 || row >= h || col >= width) continue;
                sum += x[((i * c + j) * h + row) * width + col] * w[((o * c + j) * kh + p) * kw + q];
              }
          y.push(sum);
        }
  return y;
}

/** Each run of `width` elements less its mean (if it is to be), over its deviation, times the scale, plus the bias. */
export function normalise(
  x: Float64Array,
  scale: Float64Array,
  bias: Float64Array | undefined,
  { epsilon, centre = true }: { epsilon: number; centre?: boolean },
): Float64Array {
  const width = scale.length;
  return x.map((value, i) => {
    const row = x.subarray(i - (i % width), i - (i % width) + width);
    const mean = centre ? row.reduce((sum, one) => sum + one, 0) / width : 0;
    const variance = row.reduce((sum, one) => sum + (one - mean) ** 2, 0) / width;
    return ((value - mean) / Math.sqrt(variance + epsilon)) * scale[i % width] + (bias?.[i % width] ?? 0);
  });
}

/** Rotary positions: pairs of x [b, n, s, d], turned by the angle whose index `angle` tells from b, s and the pair. */
export function rotate(
  x: Float64Array,
  [, n, length, d]: readonly number[],
  angle: (b: number, s: number, pair: number) => number,
  isInterleaved: boolean,
): Float64Array {
  return x.map((value, i) => {
    const at = i % d;
    const s = Math.floor(i / d) % length;
    const b = Math.floor(i / (d * length * n));
    const half = d / 2;
    const isFirst = isInterleaved ? at % 2 === 0 : at < half;
    const pair = isInterleaved ? Math.floor(at / 2) : at % half;
    const other = x[i + (isFirst ? 1 : -1) * (isInterleaved ? 1 : half)];
    const turn = angle(b, s, pair);
    return value * Math.cos(turn) + (isFirst ? -1 : 1) * other * Math.sin(turn);
  });
}
