/**
 * The linear algebra of OBS as ONNX graphs, so that whatever runs the model runs this too.
 * @module
 */
import { float, type GraphBuilder, graphBuilder } from '../onnx/build.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { openSession, type Session, type SessionOptions } from '../runtime/session.ts';
import { tensor } from '../tensor/tensor.ts';
import type { Algebra } from './obs.ts';

export interface Kernels extends Algebra, AsyncDisposable {
  /**
   * H⁻¹ [n, n] of a symmetric positive definite H [n, n], computed in float64.
   * @returns undefined when the result shows that H is not positive definite
   */
  inverse(h: Float64Array, n: number): Promise<Float32Array | undefined>;
}

const OPSET = 18;

/**
 * The pass alternates between short products and JavaScript. Threads that spin in between take the cores from
 * JavaScript and its garbage collector: on two cores the pass over 1,536 columns took 0.45 s with spinning, 0.28 s without.
 */
const NO_SPINNING = { 'session.intra_op.allow_spinning': '0' };

/** Sessions are opened at first use and kept until disposal; inverses by size. */
export function openKernels(options: SessionOptions): Kernels {
  const sessions = new Map<string, Promise<Session>>();
  const session = (name: string, build: () => Model) => {
    const open =
      sessions.get(name) ??
      openSession(encodeModel(build()), { ...options, extra: { ...NO_SPINNING, ...options.extra } });
    sessions.set(name, open);
    return open;
  };

  return {
    async gram(wt, n, rows) {
      const run = await session('gram', gramGraph);
      const { gram } = await run.run({ wt: tensor('float32', [n, rows], wt) });
      return gram.data as Float32Array;
    },

    async columns({ hinv, wt, c, u, m, rows, k }, positions) {
      const run = await session('columns', columnsGraph);
      const out = await run.run({
        hinv: tensor('float32', [m, m], hinv),
        wt: tensor('float32', [m, rows], wt),
        c: tensor('float32', [k, m], c),
        u: tensor('float32', [k, rows], u),
        positions: tensor('int32', [positions.length], positions),
      });
      const data = (name: string) => out[name].data as Float32Array;
      return { hinv: data('hinvColumns'), wt: data('wtColumns'), gram: data('gramColumns') };
    },

    async weights({ wt, c, u, m, rows, k }) {
      const run = await session('weights', () => spanGraph('u', ['m', 'rows']));
      const feeds = { c: tensor('float32', [k, m], c), u: tensor('float32', [k, rows], u) };
      return (await run.run({ base: tensor('float32', [m, rows], wt), ...feeds })).next.data as Float32Array;
    },

    async inverseHessian({ hinv, c, m, k }) {
      const run = await session('inverse Hessian', () => spanGraph('c', ['m', 'm']));
      const feeds = { base: tensor('float32', [m, m], hinv), c: tensor('float32', [k, m], c) };
      return (await run.run(feeds)).next.data as Float32Array;
    },

    async inverse(h, n) {
      const run = await session(`inverse ${n}`, () => inverseGraph(n));
      const hinv = (await run.run({ h: tensor('float64', [n, n], h) })).hinv.data as Float32Array;
      for (let i = 0; i < n; i++) if (!(hinv[i * n + i] > 0 && hinv[i * n + i] < Infinity)) return undefined;
      return hinv;
    },

    async [Symbol.asyncDispose]() {
      for (const open of sessions.values()) await (await open)[Symbol.asyncDispose]();
      sessions.clear();
    },
  };
}

function gramGraph(): Model {
  const g = graphBuilder();
  const wt = g.input('wt', 'float32', ['n', 'rows']);
  g.output('gram', g.op('Gemm', [wt, wt], { transB: 1 }), 'float32', ['n', 'n']);
  return g.model({ opset: OPSET });
}

/** base − Cᵀ·X, where X is U or C itself. */
function spanGraph(other: 'c' | 'u', shape: readonly string[]): Model {
  const g = graphBuilder();
  const base = g.input('base', 'float32', shape);
  const c = g.input('c', 'float32', ['k', 'm']);
  const x = other === 'c' ? c : g.input('u', 'float32', ['k', 'rows']);
  g.output('next', g.op('Gemm', [c, x, base], { alpha: float(-1), transA: 1 }), 'float32', shape);
  return g.model({ opset: OPSET });
}

/** `Algebra.columns`: only what is asked for leaves the graph, since copying a result out costs as much as a product. */
function columnsGraph(): Model {
  const g = graphBuilder();
  const hinv = g.input('hinv', 'float32', ['m', 'm']);
  const wt = g.input('wt', 'float32', ['m', 'rows']);
  const c = g.input('c', 'float32', ['k', 'm']);
  const u = g.input('u', 'float32', ['k', 'rows']);
  const positions = g.input('positions', 'int32', ['count']);
  const minus = { alpha: float(-1), transA: 1 };
  const hinvThen = g.op('Gather', [hinv, positions], { axis: 0 });
  const cThere = g.op('Gather', [c, positions], { axis: 1 });
  const wtNow = g.op('Gemm', [c, u, wt], minus);
  const wtThere = g.op('Gather', [wtNow, positions], { axis: 0 });
  g.output('hinvColumns', g.op('Gemm', [cThere, c, hinvThen], minus), 'float32', ['count', 'm']);
  g.output('wtColumns', wtThere, 'float32', ['count', 'rows']);
  g.output('gramColumns', g.op('Gemm', [wtThere, wtNow], { transB: 1 }), 'float32', ['count', 'm']);
  return g.model({ opset: OPSET });
}

/** Below this size an inverse is one `Inverse` node. */
const INVERSE_LEAF = 128;

/**
 * The inverse of a symmetric positive definite matrix by halves: with the Schur complement S = D − BᵀA⁻¹B,
 *   [A B; Bᵀ D]⁻¹ = [A⁻¹ + T·S⁻¹·Tᵀ, −T·S⁻¹; ·ᵀ, S⁻¹],  T = A⁻¹B.
 * About ⅔·n³ multiply-adds, nearly all in matrix products.
 */
function inverseGraph(n: number): Model {
  const g = graphBuilder();
  const h = g.input('h', 'float64', [n, n]);
  const result = g.op('Cast', [inverseOf(g, h, n)], { to: 1 });
  g.output('hinv', result, 'float32', [n, n]);
  return g.model({ opset: OPSET, domains: { 'com.microsoft': 1 } });
}

function inverseOf(g: GraphBuilder, a: string, n: number): string {
  if (n <= INVERSE_LEAF) return g.op('Inverse', [a], {}, { domain: 'com.microsoft' });
  const p = n >> 1;
  const part = (rows: readonly number[], cols: readonly number[]) =>
    g.op('Slice', [a, g.ints(rows[0], cols[0]), g.ints(rows[1], cols[1]), g.ints(0, 1)]);
  const [first, second] = [
    [0, p],
    [p, n],
  ];
  const b = part(first, second);
  const aInverse = inverseOf(g, part(first, first), p);
  const t = g.op('MatMul', [aInverse, b]);
  const schur = g.op('Gemm', [b, t, part(second, second)], { alpha: float(-1), transA: 1 });
  const schurInverse = inverseOf(g, schur, n - p);
  const u = g.op('MatMul', [t, schurInverse]);
  const corner = g.op('Gemm', [u, t, aInverse], { transB: 1 });
  const right = g.op('Neg', [u]);
  const left = g.op('Transpose', [right], { perm: [1, 0] });
  return g.op(
    'Concat',
    [g.op('Concat', [corner, right], { axis: 1 }), g.op('Concat', [left, schurInverse], { axis: 1 })],
    { axis: 0 },
  );
}
