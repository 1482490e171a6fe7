/**
 * The one door to ONNX Runtime: loading it, crossing tensors over without copying, and reading its complaints.
 *
 * Nothing is loaded until the first session is asked for. The package's install script (which downloads CUDA
 * libraries) is not needed: the binary for the CPU and WebGPU is in the package itself.
 * @module
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as Ort from 'onnxruntime-node';
import { MachineError } from '../errors.ts';
import { type ArrayOf, arrayOf, type DataType, type Tensor } from '../tensor/tensor.ts';

export type Runtime = typeof Ort;
export type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';

/**
 * The variable that names the folder whose `node_modules` has onnxruntime-node, where it is not found from here: for
 * this process and the measuring ones that it starts.
 */
export const runtimeVariable = 'ZIPLM_RUNTIME';

let loaded: Runtime | undefined;

/**
 * ONNX Runtime, loaded once.
 * @throws MachineError when the package has no binary that runs here.
 */
export function loadRuntime(): Runtime {
  if (!loaded) {
    // Its builds report usage to their maker, and leave files in the temporary folder, unless told not to before they load.
    process.env.ORT_DISABLE_TELEMETRY ??= '1';
    try {
      // `require`, not `import`: the bundle keeps it as a plain call, and types stay those of the package.
      const folder = process.env[runtimeVariable];
      const from = folder ? join(folder, 'package.json') : import.meta.url;
      loaded = createRequire(from)('onnxruntime-node') as Runtime;
      // What matters is thrown as well; the log would print it a second time, in colour and with source lines.
      loaded.env.logLevel = 'fatal';
    } catch (cause) {
      throw new MachineError(
        `runtime: onnxruntime-node does not load on ${process.platform}-${process.arch} (${reasonOf(cause)}). ` +
          'Install it beside ziplm (npm install onnxruntime-node); it needs x64 or arm64 Linux with glibc, macOS or Windows.',
        { cause },
      );
    }
  }
  return loaded;
}

/** A tensor of ours as one of ONNX Runtime's, over the same memory. */
export function toOrt(runtime: Runtime, name: string, input: Tensor): Ort.Tensor {
  if (input.type === 'bfloat16') {
    throw new TypeError(`runtime: ONNX Runtime takes no bfloat16 tensor from JavaScript (value "${name}")`);
  }
  const crossed = new runtime.Tensor(input.type as 'float32', input.data as Float32Array, input.shape);
  // The package lays a Float16Array over the bits, which its own binary cannot read: it wants them as they are.
  if (input.type === 'float16') Object.assign(crossed, { cpuData: input.data });
  return crossed;
}

/** A tensor of ONNX Runtime's as one of ours, over the same memory. */
export function fromOrt(name: string, output: Ort.Tensor): Tensor {
  if (!(output.type in arrayOf)) {
    throw new TypeError(`runtime: output "${name}" holds ${output.type}s, expected numbers`);
  }
  const type = output.type as DataType;
  const data = output.data as unknown as Uint8Array;
  const elements = arrayOf[type];
  return {
    type,
    shape: output.dims,
    data: (data instanceof elements
      ? data
      : new elements(data.buffer as ArrayBuffer, data.byteOffset, data.length)) as ArrayOf[DataType],
  };
}

/** The first line of an error's message, without C++ source positions and signatures, and no full stop. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message
    .split('\n', 1)[0]
    .replace(/(\/[^\s:]+)+\.(cc|h|cpp|hpp):\d+ /g, '')
    .replace(/^\S+::\S.* was false\. /, '')
    .replace(/^Load model from .* failed: ?/, '')
    .replace(/[\s.]+$/, '');
}

const memoryWords =
  /bad_alloc|bad allocation|out of memory|failed to allocate|cannot allocate|allocation failed|OUT_OF_MEMORY/i;

/** Whether an error of ONNX Runtime's or of the JavaScript engine's means that memory ran out. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && memoryWords.test(error.message);
}
