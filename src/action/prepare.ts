/**
 * The runtime that a benchmark needs: found or installed, with its CUDA part where that is wanted.
 * @module
 */
import { MachineError } from '../errors.ts';
import { readGpus } from '../runtime/gpu.ts';
import { addCuda } from '../runtime/setup/cuda.ts';
import { type Located, locateRuntime, useRuntime } from '../runtime/setup/locate.ts';
import type { Inputs } from './inputs.ts';
import type { Job } from './job.ts';
import type { Log } from './log.ts';

/**
 * @param own the action's own folder
 * @param provider the one that was asked for; with `cuda`, a CUDA part that cannot be had is an error
 * @throws InputError, MachineError as `locateRuntime`; MachineError when CUDA was asked for and its part is not to be had
 */
export async function prepareRuntime(
  own: string,
  job: Job,
  inputs: Inputs,
  provider: string,
  log: Log,
): Promise<Located> {
  const { runtime: given, cudaPart } = inputs;
  const { toolCache, workspace } = job;
  const found = await locateRuntime(
    { own, toolCache, workspace, ...(given === undefined ? {} : { given }) },
    log,
  );
  const located = await withCuda(found);
  log.say(`onnxruntime-node ${located.version} from ${located.from}: ${located.folder}`);
  useRuntime(located);
  return located;

  async function withCuda(runtime: Located): Promise<Located> {
    if (cudaPart === undefined) return runtime;
    // Not for a machine that could not use it.
    const isUseful = provider === 'cuda' || (provider === 'auto' && (await readGpus()) !== undefined);
    if (!isUseful) return runtime;
    try {
      return await addCuda(runtime, { own, toolCache, part: cudaPart, workspace }, log);
    } catch (error) {
      if (provider === 'cuda' || !(error instanceof MachineError)) throw error;
      log.warn(`${error.message} The run goes on without CUDA.`);
      return runtime;
    }
  }
}
