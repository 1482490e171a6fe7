/**
 * A model ready to run. The options left out are ONNX Runtime's own defaults, as a deployed model has them: all
 * graph optimisations, one thread per physical core, worker threads that spin.
 * @module
 */
import { InputError, MachineError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { fromOrt, type InferenceSession, isOutOfMemory, loadRuntime, reasonOf, toOrt } from './ort.ts';
import { missingProvider, type Provider, tryProvider } from './provider.ts';

export type { Provider } from './provider.ts';

export interface SessionOptions {
  /** Where it runs; the CPU when left out. What a provider lacks, ONNX Runtime runs on the CPU. */
  readonly provider?: Provider;
  /** Threads inside one operator; one per physical core when left out. */
  readonly threads?: number;
  readonly optimization?: 'disabled' | 'basic' | 'extended' | 'all';
  /**
   * Whether ONNX Runtime keeps the memory that it has used for the next time (the default): a little faster, and much larger where a run
   * takes and frees much of it. On the CPU.
   */
  readonly arena?: boolean;
  /**
   * Whether ONNX Runtime plans all of a run's memory as one block per kind of shapes (the default). For a training step the plan is far
   * larger than what is ever in use at once; without it the arena hands out and takes back.
   */
  readonly memoryPattern?: boolean;
  /** ONNX Runtime's session configuration entries, `session.intra_op.allow_spinning` and the like. */
  readonly extra?: Readonly<Record<string, string>>;
  /** Where ONNX Runtime writes the graph as it will run it. */
  readonly optimizedModelFile?: string;
}

export interface Session extends AsyncDisposable {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /**
   * Runs the model. Feeds and results share their memory with ONNX Runtime's tensors; nothing is copied here.
   * The call occupies the JavaScript thread for as long as the model runs.
   * @param fetches the outputs wanted; all of them when left out
   * @throws MachineError when memory runs out
   */
  run(feeds: Readonly<Record<string, Tensor>>, fetches?: readonly string[]): Promise<Record<string, Tensor>>;
}

/**
 * Opens a session.
 * @param model the file's path (external data is then found beside it), or the model's bytes
 * @throws MachineError when the provider is not there or memory runs out
 * @throws InputError when the file is not a model that ONNX Runtime takes
 */
export async function openSession(
  model: Uint8Array | string,
  options: SessionOptions = {},
): Promise<Session> {
  const runtime = loadRuntime();
  const who = typeof model === 'string' ? `"${model}"` : 'a graph in memory';
  const session = await create(model, options).catch((error: unknown) =>
    explainFailure(error, who, model, options),
  );
  const toFeed = (name: string, value: Tensor) => [name, toOrt(runtime, name, value)] as const;

  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    async run(feeds, fetches = session.outputNames) {
      const given = Object.fromEntries(Object.entries(feeds).map(([name, value]) => toFeed(name, value)));
      const results = await session.run(given, fetches).catch((error: unknown) => {
        if (isOutOfMemory(error)) throw outOfMemory(who, error);
        throw new Error(`${reasonOf(error)} (while running ${who})`, { cause: error });
      });
      return Object.fromEntries(fetches.map((name) => [name, fromOrt(name, results[name])]));
    },
    async [Symbol.asyncDispose]() {
      await session.release();
    },
  };
}

function create(model: Uint8Array | string, options: SessionOptions): Promise<InferenceSession> {
  const {
    provider = 'cpu',
    threads,
    optimization = 'all',
    arena = true,
    memoryPattern = true,
    extra,
    optimizedModelFile,
  } = options;
  const settings: InferenceSession.SessionOptions = {
    executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
    graphOptimizationLevel: optimization,
    // Warnings concern the exporter ("initializer is not used"); errors are thrown.
    logSeverityLevel: 4,
    enableCpuMemArena: arena,
    enableMemPattern: memoryPattern,
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    ...(extra === undefined ? {} : { extra: nested(extra) }),
    ...(optimizedModelFile === undefined ? {} : { optimizedModelFilePath: optimizedModelFile }),
  };
  const { InferenceSession: sessions } = loadRuntime();
  return typeof model === 'string' ? sessions.create(model, settings) : sessions.create(model, settings);
}

/** `{'a.b': 'x'}` as `{a: {b: 'x'}}`, the form in which the Node package takes configuration entries. */
function nested(entries: Readonly<Record<string, string>>): Record<string, unknown> {
  type Level = { [key: string]: Level | string };
  const root: Level = {};
  for (const [key, value] of Object.entries(entries)) {
    const path = key.split('.');
    let level = root;
    for (const part of path.slice(0, -1)) {
      level[part] ??= {};
      level = level[part] as Level;
    }
    level[path.at(-1)!] = value;
  }
  return root;
}

function outOfMemory(who: string, cause: unknown): MachineError {
  return new MachineError(
    `runtime: memory ran out on ${who} (${reasonOf(cause)}). Lower shape.batch or shape.sequence, or use a machine with more memory.`,
    { cause },
  );
}

async function explainFailure(
  error: unknown,
  who: string,
  model: Uint8Array | string,
  { provider = 'cpu' }: SessionOptions,
): Promise<never> {
  if (isOutOfMemory(error)) throw outOfMemory(who, error);
  if (provider !== 'cpu') {
    const { failure } = await tryProvider(provider);
    if (failure !== undefined) throw missingProvider(provider, failure);
  }
  const message = `runtime: ONNX Runtime does not take ${who}: ${reasonOf(error)}`;
  if (typeof model === 'string') {
    throw new InputError(`${message}. Check that it is a whole ONNX file with its external data beside it.`, {
      cause: error,
    });
  }
  throw new Error(message, { cause: error });
}
