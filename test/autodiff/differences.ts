/** Gradients of small graphs, by our backward nodes and by central differences of the forward graph. */
import { differentiate } from '../../src/autodiff/differentiate.ts';
import { type GraphBuilder, graphBuilder } from '../../src/onnx/build.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import type { Dim, Model } from '../../src/onnx/model.ts';
import { openSession } from '../../src/runtime/session.ts';
import { type Random, random } from '../../src/tensor/random.ts';
import { sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts';

export interface Trial {
  /** Of the inputs whose gradients are asked for. */
  readonly shapes: readonly (readonly number[])[];
  /** Writes the operator, and returns the outputs that the loss reads. */
  readonly build: (g: GraphBuilder, inputs: readonly string[]) => string | readonly string[];
  /** What the model says of the shapes; the shapes themselves when left out. */
  readonly declared?: readonly (readonly Dim[])[];
  readonly opset?: number;
  readonly domains?: Readonly<Record<string, number>>;
  /** An element of an input: uniform in (−1, 1) when left out. */
  readonly element?: (next: Random, input: number) => number;
  /**
   * The outputs in float64, end to end, for operators that ONNX Runtime has in float32 only: these are differenced then.
   */
  readonly naive?: (inputs: readonly Float64Array[]) => ArrayLike<number>;
  readonly seed?: number;
}

type Type = 'float32' | 'float64';

const STEP = 1e-5;

function vectorOf(type: Type, shape: readonly number[], data: Float64Array): Tensor {
  return type === 'float64' ? tensor(type, shape, data) : tensor(type, shape, Float32Array.from(data));
}

/** The model of a trial: `flat` is all outputs end to end, and `loss` = Σ rᵢ·flatᵢ with random r, once their number is known. */
function modelOf(trial: Trial, type: Type, size?: number): Model {
  const g = graphBuilder();
  const inputs = trial.shapes.map((shape, i) => g.input(`x${i}`, type, trial.declared?.[i] ?? shape));
  const outputs = [trial.build(g, inputs)].flat();
  const parts = outputs.map((output) => g.op('Reshape', [output, g.ints(-1)]));
  const flat = parts.length === 1 ? parts[0] : g.op('Concat', parts, { axis: 0 });
  if (size !== undefined) {
    const r = g.constant(vectorOf(type, [size, 1], coefficients(size)));
    g.output('loss', g.op('MatMul', [g.op('Reshape', [flat, g.ints(1, -1)]), r]));
  }
  g.output('flat', flat);
  const { opset = 18, domains } = trial;
  return g.model({ opset, ...(domains && { domains }) });
}

function coefficients(size: number): Float64Array {
  const next = random(7);
  return Float64Array.from({ length: size }, () => 2 * next() - 1);
}

/**
 * The largest difference between the gradients and the central differences, relative to the largest of these; and between the
 * naive outputs and ONNX Runtime's, where there are naive ones.
 */
export async function compare(trial: Trial): Promise<{ gradients: number; outputs: number }> {
  const type: Type = trial.naive ? 'float32' : 'float64';
  const next = random(trial.seed ?? 1);
  const element = trial.element ?? (() => 2 * next() - 1);
  const values = trial.shapes.map((shape, i) =>
    // Exact in float32, so that both types see the same numbers.
    Float64Array.from({ length: sizeOf(shape) }, () => Math.fround(element(next, i))),
  );
  const feeds = (at: readonly Float64Array[]) =>
    Object.fromEntries(at.map((data, i) => [`x${i}`, vectorOf(type, trial.shapes[i], data)]));

  await using probe = await openSession(encodeModel(modelOf(trial, type)), quick);
  const { flat } = await probe.run(feeds(values), ['flat']);
  const size = flat.data.length;
  const differentiated = differentiate(
    modelOf(trial, type, size),
    'loss',
    trial.shapes.map((_, i) => `x${i}`),
  );
  const { gradients } = differentiated;
  differentiated.model.graph.outputs = [...gradients.values()].map((name) => ({ name }));
  await using backward = await openSession(encodeModel(differentiated.model), quick);
  const found = await backward.run(feeds(values));

  const r = coefficients(size);
  const lossAt = async (at: readonly Float64Array[]) => {
    const outputs = trial.naive
      ? trial.naive(at)
      : ((await probe.run(feeds(at), ['flat'])).flat.data as Float64Array);
    return r.reduce((sum, coefficient, i) => sum + coefficient * outputs[i], 0);
  };
  let [worst, largest] = [0, 0];
  for (const [i, data] of values.entries()) {
    const name = gradients.get(`x${i}`);
    const gradient = name === undefined ? undefined : found[name];
    if (gradient && gradient.shape.join() !== trial.shapes[i].join())
      throw new Error(
        `the gradient of x${i} has the shape [${gradient.shape}], expected [${trial.shapes[i]}]`,
      );
    for (const at of data.keys()) {
      const moved = (step: number) => values.with(i, data.with(at, data[at] + step));
      const difference = ((await lossAt(moved(STEP))) - (await lossAt(moved(-STEP)))) / (2 * STEP);
      const own = gradient ? Number(gradient.data[at]) : 0;
      if (!Number.isFinite(own)) throw new Error(`the gradient of x${i} is ${own} at ${at}`);
      worst = Math.max(worst, Math.abs(own - difference));
      largest = Math.max(largest, Math.abs(difference));
    }
  }
  const naive = trial.naive?.(values);
  const outputs = naive
    ? Math.max(...Array.from(naive, (value, i) => Math.abs(value - Number(flat.data[i]))))
    : 0;
  return { gradients: worst / Math.max(largest, 1e-3), outputs };
}

/** No fusions: what is tested is the nodes as they were written. */
const quick = { threads: 1, optimization: 'basic' } as const;
