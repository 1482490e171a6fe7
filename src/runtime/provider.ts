/**
 * Which execution providers work here, found out by running a model on each: a provider that is compiled in may
 * still lack its libraries, its driver, or a device.
 * @module
 */
import { MachineError } from '../errors.ts';
import { loadRuntime, reasonOf } from './ort.ts';
import type { Provider } from './session.ts';

/** From the fastest to the one that is always there. */
const byPreference = ['cuda', 'webgpu', 'cpu'] as const satisfies readonly Provider[];

const whatToDo = {
  cuda:
    "Lay libonnxruntime_providers_cuda.so of the same ONNX Runtime release beside onnxruntime-node's library, put CUDA and cuDNN " +
    'on LD_LIBRARY_PATH, or choose provider: cpu.',
  webgpu: 'Install a Vulkan driver for the GPU, or choose provider: cpu.',
  cpu: 'Reinstall onnxruntime-node.',
} as const satisfies Record<Provider, string>;

export interface ProviderChoice {
  readonly provider: Provider;
  /** One line on why this one: for the log and the record. */
  readonly why: string;
}

/** The providers on which a model was made to run, the best first. */
export async function availableProviders(): Promise<Provider[]> {
  const working: Provider[] = [];
  for (const provider of byPreference) if ((await failureOf(provider)) === undefined) working.push(provider);
  return working;
}

/**
 * The provider to use: the one asked for, or under `auto` the best that works.
 * @throws MachineError when the one asked for does not work, with ONNX Runtime's reason
 */
export async function chooseProvider(wanted: Provider | 'auto'): Promise<ProviderChoice> {
  if (wanted !== 'auto') {
    await explainProvider(wanted);
    return { provider: wanted, why: 'as asked' };
  }
  const passedOver: string[] = [];
  for (const provider of byPreference) {
    const failure = await failureOf(provider);
    if (failure === undefined) {
      return { provider, why: passedOver.length === 0 ? 'the best there is' : passedOver.join('; ') };
    }
    passedOver.push(`no ${provider}: ${failure}`);
  }
  throw missing('cpu', passedOver.at(-1)!);
}

/** @throws MachineError when `provider` does not work, with ONNX Runtime's reason and what to do */
export async function explainProvider(provider: Provider): Promise<void> {
  const failure = await failureOf(provider);
  if (failure !== undefined) throw missing(provider, failure);
}

function missing(provider: Provider, failure: string): MachineError {
  return new MachineError(`runtime: provider "${provider}" is not there: ${failure}. ${whatToDo[provider]}`);
}

/** Runs y = x + x on `provider`; ONNX Runtime's reason when that fails. */
async function failureOf(provider: Provider): Promise<string | undefined> {
  const runtime = loadRuntime();
  try {
    const session = await runtime.InferenceSession.create(doubling, {
      executionProviders: [provider],
      logSeverityLevel: 4,
    });
    try {
      const { y } = await session.run({ x: new runtime.Tensor('float32', new Float32Array([1, 2]), [2]) });
      const [first, second] = y.data as Float32Array;
      return first === 2 && second === 4 ? undefined : `it computed 1 + 1 = ${first}, 2 + 2 = ${second}`;
    } finally {
      await session.release();
    }
  } catch (error) {
    return reasonOf(error);
  }
}

/** A model of one node, y = Add(x, x) over float32 [2]: IR 8, opset 17. */
const doubling = Uint8Array.from(
  Buffer.from(
    'CAg6NQoOCgF4CgF4EgF5IgNBZGQSAWRaDwoBeBIKCggIARIECgIIAmIPCgF5EgoKCAgBEgQKAggCQgQKABAR',
    'base64',
  ),
);
