/**
 * Which execution providers work here, found out by running a model on each: a provider that is compiled in may
 * still lack its libraries, its driver, or a device.
 * @module
 */
import { MachineError } from '../errors.ts';
import { encodeModel } from '../onnx/encode.ts';
import { loadRuntime, reasonOf } from './ort.ts';

export type Provider = 'cpu' | 'cuda' | 'webgpu';

const whatToDo = {
  cuda:
    "Lay libonnxruntime_providers_cuda.so of the same ONNX Runtime release beside onnxruntime-node's library, put CUDA and cuDNN " +
    'on LD_LIBRARY_PATH (the action has the inputs cuda-part and cuda-libraries for that), or choose provider: cpu.',
  webgpu: 'Install a Vulkan driver for the GPU, or choose provider: cpu.',
  cpu: 'Reinstall onnxruntime-node.',
} as const satisfies Record<Provider, string>;

/** The error for a provider that was asked for and does not work. */
export function missingProvider(provider: Provider, failure: string): MachineError {
  return new MachineError(`runtime: provider "${provider}" is not there: ${failure}. ${whatToDo[provider]}`);
}

export interface Trial {
  /** ONNX Runtime's reason, where the provider does not work. */
  readonly failure?: string;
  /** How long the trial's products took, where it does. */
  readonly ms?: number;
}

const width = 384;
const products = 8;

/** Computes xⁿ of x = 2·I on `provider`, and looks at the result. */
export async function tryProvider(provider: Provider): Promise<Trial> {
  const runtime = loadRuntime();
  try {
    const session = await runtime.InferenceSession.create(powers(), {
      executionProviders: [provider],
      logSeverityLevel: 4,
    });
    try {
      const x = new Float32Array(width * width);
      for (let i = 0; i < width; i++) x[i * width + i] = 2;
      const feeds = { x: new runtime.Tensor('float32', x, [width, width]) };
      const times: number[] = [];
      for (let i = 0; i < 4; i++) {
        const start = performance.now();
        const { y } = await session.run(feeds);
        if (i > 0) times.push(performance.now() - start); // the first compiles and allocates
        const [diagonal, beside] = y.data as Float32Array;
        if (diagonal !== 2 ** (products + 1) || beside !== 0) {
          return { failure: `it computed ${diagonal} and ${beside} for ${2 ** (products + 1)} and 0` };
        }
      }
      return { ms: Math.min(...times) };
    } finally {
      await session.release();
    }
  } catch (error) {
    return { failure: reasonOf(error) };
  }
}

/** The model y = x · x · … · x of `products` products, x float32 [width, width]. */
function powers(): Uint8Array {
  const shape = [width, width];
  const names = ['x', ...Array.from({ length: products - 1 }, (_, i) => `x${i + 2}`), 'y'];
  return encodeModel({
    irVersion: 8,
    opsets: new Map([['', 17]]),
    graph: {
      name: 'powers',
      nodes: names.slice(1).map((output, i) => ({
        name: output,
        opType: 'MatMul',
        domain: '',
        inputs: [names[i], 'x'],
        outputs: [output],
        attributes: new Map(),
      })),
      initializers: new Map(),
      inputs: [{ name: 'x', type: 'float32', shape }],
      outputs: [{ name: 'y', type: 'float32', shape }],
      valueInfo: new Map(),
    },
    functions: [],
    metadata: new Map(),
  });
}
