/**
 * Which execution providers work here, found out by running a model on each: a provider that is compiled in may
 * still lack its libraries, its driver, or a device.
 * @module
 */
import { MachineError } from '../errors.ts';
import { loadRuntime, reasonOf } from './ort.ts';

export type Provider = 'cpu' | 'cuda' | 'webgpu';

const whatToDo = {
  cuda:
    "Lay libonnxruntime_providers_cuda.so of the same ONNX Runtime release beside onnxruntime-node's library, put CUDA and cuDNN " +
    'on LD_LIBRARY_PATH, or choose provider: cpu.',
  webgpu: 'Install a Vulkan driver for the GPU, or choose provider: cpu.',
  cpu: 'Reinstall onnxruntime-node.',
} as const satisfies Record<Provider, string>;

/** The error for a provider that was asked for and does not work. */
export function missingProvider(provider: Provider, failure: string): MachineError {
  return new MachineError(`runtime: provider "${provider}" is not there: ${failure}. ${whatToDo[provider]}`);
}

/** Runs y = x + x on `provider`. The result holds ONNX Runtime's reason when that fails. */
export async function tryProvider(provider: Provider): Promise<{ failure?: string }> {
  const runtime = loadRuntime();
  try {
    const session = await runtime.InferenceSession.create(doubling, {
      executionProviders: [provider],
      logSeverityLevel: 4,
    });
    try {
      const { y } = await session.run({ x: new runtime.Tensor('float32', new Float32Array([1, 2]), [2]) });
      const [first, second] = y.data as Float32Array;
      return first === 2 && second === 4
        ? {}
        : { failure: `it computed 1 + 1 = ${first}, 2 + 2 = ${second}` };
    } finally {
      await session.release();
    }
  } catch (error) {
    return { failure: reasonOf(error) };
  }
}

/** A model of one node, y = Add(x, x) over float32 [2]: IR 8, opset 17. */
const doubling = Uint8Array.from(
  Buffer.from(
    'CAg6NQoOCgF4CgF4EgF5IgNBZGQSAWRaDwoBeBIKCggIARIECgIIAmIPCgF5EgoKCAgBEgQKAggCQgQKABAR',
    'base64',
  ),
);
