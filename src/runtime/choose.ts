/**
 * The choice of an execution provider.
 * @module
 */
import { reasonOf } from './ort.ts';
import { missingProvider, type Provider, type Trial } from './provider.ts';
import { type ChildOptions, runChild } from './spawn.ts';

/** From the fastest to the one that is always there. */
const byPreference = ['cuda', 'webgpu', 'cpu'] as const satisfies readonly Provider[];

export interface ProviderChoice {
  readonly provider: Provider;
  /** On why this one: for the log and the record. */
  readonly why: string;
}

/** The providers on which a model was made to run, the best first. */
export async function availableProviders(options: ChildOptions = {}): Promise<Provider[]> {
  const working: Provider[] = [];
  for (const provider of byPreference) {
    if ((await attempt(provider, options)).failure === undefined) working.push(provider);
  }
  return working;
}

/**
 * The provider to use: the one asked for, or under `auto` the best that works. One that works more slowly than
 * the CPU (a GPU drawn by software) is not the best.
 * @throws MachineError when the one asked for does not work, with ONNX Runtime's reason
 */
export async function chooseProvider(
  wanted: Provider | 'auto',
  options: ChildOptions = {},
): Promise<ProviderChoice> {
  if (wanted !== 'auto') {
    const { failure } = await attempt(wanted, options);
    if (failure !== undefined) throw missingProvider(wanted, failure);
    return { provider: wanted, why: 'as asked' };
  }
  const cpu = await attempt('cpu', options);
  if (cpu.ms === undefined) throw missingProvider('cpu', cpu.failure ?? 'it gave no result');
  const passedOver: string[] = [];
  for (const provider of ['cuda', 'webgpu'] as const) {
    const { failure, ms = Number.POSITIVE_INFINITY } = await attempt(provider, options);
    if (ms < cpu.ms) return { provider, why: ['the best that works', ...passedOver].join('; ') };
    const reason = failure ?? `slower than the CPU (${ms.toFixed(1)} ms against ${cpu.ms.toFixed(1)} ms)`;
    passedOver.push(`no ${provider}: ${reason}`);
  }
  return { provider: 'cpu', why: ['the best that works', ...passedOver].join('; ') };
}

/** Tried in a process of its own: drivers print, hold device memory, and at times crash. */
async function attempt(provider: Provider, options: ChildOptions): Promise<Trial> {
  let trial: Trial = { failure: 'it gave no result' };
  try {
    await runChild(
      { kind: 'try', provider },
      `the process that tried ${provider}`,
      (answer) => {
        if (answer.kind === 'tried') trial = answer;
      },
      { patienceSeconds: 120, ...options },
    );
  } catch (error) {
    options.signal?.throwIfAborted();
    trial = { failure: reasonOf(error) };
  }
  return trial;
}
