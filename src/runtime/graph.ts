/**
 * A model that is data, ready to run: from its bytes, or where they are many, from a file with external data that the runtime maps.
 * As bytes the weights are there three times while a session opens, and protobuf ends at 2 GiB.
 * @module
 */
import { join } from 'node:path';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import { saveModel } from '../onnx/save.ts';
import { storedTensors } from '../onnx/walk.ts';
import { onDisk, temporaryFolder } from './feeds.ts';
import { openSession, type Session, type SessionOptions } from './session.ts';

/** Models of more bytes of weights go through a file. */
const LARGEST_AS_BYTES = 256 * 2 ** 20;

export interface GraphOptions extends SessionOptions {
  /** Bytes of weights beyond which the model goes through a file; 256 MB when left out. */
  readonly largestAsBytes?: number;
}

/** @throws as `openSession`; MachineError when the disk is full */
export async function openGraph(
  model: Model,
  { largestAsBytes = LARGEST_AS_BYTES, ...options }: GraphOptions = {},
): Promise<Session> {
  if (weightBytes(model) <= largestAsBytes) return openSession(encodeModel(model), options);
  const folder = await temporaryFolder();
  try {
    const file = join(folder.path, 'model.onnx');
    await onDisk(folder.path, () => saveModel(model, file, { external: true }));
    const session = await openSession(file, options);
    return {
      ...session,
      // The file is mapped: it goes with the session, since not every system lets a mapped file go before.
      async [Symbol.asyncDispose]() {
        await session[Symbol.asyncDispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

/** Bytes of all tensors in a model. */
export function weightBytes(model: Model): number {
  return [...storedTensors(model)].reduce((sum, { byteLength }) => sum + byteLength, 0);
}
