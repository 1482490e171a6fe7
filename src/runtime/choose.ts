/**
 * The choice of an execution provider.
 * @module
 */
import { missingProvider, type Provider } from './provider.ts';
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
    if ((await failureOf(provider, options)) === undefined) working.push(provider);
  }
  return working;
}

/**
 * The provider to use: the one asked for, or under `auto` the best that works.
 * @throws MachineError when the one asked for does not work, with ONNX Runtime's reason
 */
export async function chooseProvider(
  wanted: Provider | 'auto',
  options: ChildOptions = {},
): Promise<ProviderChoice> {
  const passedOver: string[] = [];
  for (const provider of wanted === 'auto' ? byPreference : [wanted]) {
    const failure = await failureOf(provider, options);
    if (failure === undefined) {
      const why = wanted !== 'auto' ? 'as asked' : ['the best that works', ...passedOver].join('; ');
      return { provider, why };
    }
    if (provider === wanted || provider === 'cpu') throw missingProvider(provider, failure);
    passedOver.push(`no ${provider}: ${failure}`);
  }
  throw new Error('runtime: no provider was tried');
}

/** Tried in a process of its own: drivers print, hold device memory, and at times crash. */
async function failureOf(provider: Provider, options: ChildOptions): Promise<string | undefined> {
  let failure: string | undefined;
  try {
    await runChild(
      { kind: 'try', provider },
      `the process that tried ${provider}`,
      (answer) => {
        if (answer.kind === 'tried') failure = answer.failure;
      },
      { patienceSeconds: 120, ...options },
    );
  } catch (error) {
    options.signal?.throwIfAborted();
    if (provider === 'cpu') throw error;
    failure = (error as Error).message;
  }
  return failure;
}
