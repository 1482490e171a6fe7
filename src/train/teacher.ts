/**
 * What the teacher says of a batch: its logits, and its hidden states.
 *
 * The teacher never changes, so a row is worth one forward pass for a whole family of targets. What it says is kept on disk
 * where that is small enough, layers × tokens × width numbers a row: six layers of 384 are 9 kB a token, 1.5 GB for the
 * 7,000 sentences of SST-2, which the system's file cache holds. Reading them costs a hundredth of the forward pass that they
 * spare, which is a third of a dense student's step, and as much as the whole step of one cut to a third. What is too
 * large (a language model's logits) is computed beside each step, in a session of its own, whose weights are constants to it.
 * @module
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Batch, batches } from '../data/batch.ts';
import type { EncodedRow } from '../data/tokenizer.ts';
import { InputError } from '../errors.ts';
import { cloneModel, removeDeadNodes } from '../onnx/edit.ts';
import { encodeModel } from '../onnx/encode.ts';
import type { Model } from '../onnx/model.ts';
import type { Progress } from '../progress.ts';
import { onDisk } from '../runtime/feeds.ts';
import { openSession, type Session, type SessionOptions } from '../runtime/session.ts';
import { sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import type { HiddenState } from './hidden.ts';
import { inputsOf, logitsOf, logitsShape } from './losses.ts';

/** What a batch is compared with: float32, the shapes of the teacher's own outputs. */
export interface Targets {
  readonly logits?: Tensor<'float32'>;
  readonly hidden: readonly Tensor<'float32'>[];
}

export interface Teacher extends AsyncDisposable {
  /** @param batch of the rows that the teacher was opened with */
  targets(batch: Batch): Promise<Targets>;
}

export interface TeacherOptions {
  readonly model: Model;
  /** Whether the logits are asked for, and which states. */
  readonly logits: boolean;
  readonly hidden: readonly HiddenState[];
  readonly rows: readonly EncodedRow[];
  readonly padId: number;
  readonly session: SessionOptions;
  /** Where to keep what the teacher says, and how much at most. */
  readonly store?: { readonly folder: string; readonly limitBytes: number };
}

/** Rows of a stored pass: as many tokens as make a batch efficient. */
const STORE_TOKENS = 2048;

/**
 * Opens a teacher. Where its targets fit into the store, they are read from there, after one pass over all rows that
 * computes them, which an earlier training may have done.
 * @throws InputError when the teacher is not a model that runs; MachineError when the disk is full
 */
export async function openTeacher(options: TeacherOptions, progress: Progress): Promise<Teacher> {
  const { store, rows } = options;
  const bytes = encodeModel(withStates(options));
  const live = async (): Promise<Teacher> => {
    const session = await openSession(bytes, options.session);
    return {
      targets: ({ feeds }) => answer(session, feeds, options),
      [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
    };
  };
  if (!store) return live();
  const parts = partsOf(options);
  const perRow = rows.map(({ ids }) =>
    sum(parts.map((part) => part.width * (part.perToken ? ids.length : 1))),
  );
  const sizeBytes = 4 * sum(perRow);
  if (sizeBytes > store.limitBytes) {
    progress.say(
      `The teacher's targets would take ${gigabytes(sizeBytes)}, more than ${gigabytes(store.limitBytes)}: they are computed beside each step`,
    );
    return live();
  }
  const key = createHash('sha256')
    .update(bytes)
    .update(JSON.stringify([rows, parts]))
    .digest('hex')
    .slice(0, 16);
  const file = join(store.folder, `teacher-${key}.f32`);
  const offsets = offsetsOf(perRow);
  if (!existsSync(file)) {
    await using teacher = await live();
    await onDisk(file, () => fill(file, teacher, offsets, parts, options, progress));
  }
  const handle = openSync(file, 'r');
  return {
    async targets(batch) {
      return recalled(handle, batch, offsets, parts, options);
    },
    async [Symbol.asyncDispose]() {
      closeSync(handle);
    },
  };
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;

/** One tensor of the targets: so many numbers a token, or a row. */
interface Part {
  readonly width: number;
  readonly perToken: boolean;
  /** [sequence, batch, width] instead of [batch, sequence, width]. */
  readonly crossed: boolean;
}

/** The teacher with its logits and states as outputs, in that order, and no others. */
function withStates({ model, logits, hidden }: TeacherOptions): Model {
  const result = cloneModel(model);
  const { graph } = result;
  const outputs = new Map(graph.outputs.map((info) => [info.name, info]));
  const names = [...(logits ? [logitsOf(model)] : []), ...hidden.map(({ value }) => value)];
  graph.outputs = [...new Set(names)].map((name) => outputs.get(name) ?? { name, type: 'float32' });
  removeDeadNodes(graph);
  return result;
}

async function answer(
  session: Session,
  feeds: Readonly<Record<string, Tensor>>,
  { model, logits, hidden }: TeacherOptions,
): Promise<Targets> {
  const taken = Object.entries(feeds).filter(([name]) => session.inputs.includes(name));
  const found = await session.run(Object.fromEntries(taken));
  const float = (name: string) => {
    const value = found[name];
    if (value.type === 'float32') return value as Tensor<'float32'>;
    throw new InputError(
      `train: the teacher's "${name}" is ${value.type}, expected float32. Export the dense model in float32 to distil from it.`,
    );
  };
  return {
    ...(logits && { logits: float(logitsOf(model)) }),
    hidden: hidden.map(({ value }) => float(value)),
  };
}

function partsOf({ model, logits, hidden }: TeacherOptions): Part[] {
  const { classes, perToken } = logitsShape(model);
  return [
    ...(logits ? [{ width: classes, perToken, crossed: false }] : []),
    ...hidden.map(({ width, layout }) => ({ width, perToken: true, crossed: layout === 'sequence-batch' })),
  ];
}

/** Where each row begins, in numbers: row after row, each with its parts one after the other. */
function offsetsOf(perRow: readonly number[]): Float64Array {
  const offsets = new Float64Array(perRow.length + 1);
  perRow.forEach((size, i) => {
    offsets[i + 1] = offsets[i] + size;
  });
  return offsets;
}

/** Runs the teacher over all rows; the file is there when it is whole. */
async function fill(
  file: string,
  teacher: Teacher,
  offsets: Float64Array,
  parts: readonly Part[],
  { model, rows, padId, logits, store }: TeacherOptions,
  progress: Progress,
): Promise<void> {
  mkdirSync(store!.folder, { recursive: true });
  const partial = `${file}.partial`;
  const handle = openSync(partial, 'w');
  const task = progress.task('asking the teacher', rows.length);
  try {
    for (const batch of batches(rows, { inputs: inputsOf(model), padId, batchTokens: STORE_TOKENS })) {
      const targets = await teacher.targets(batch);
      const tensors = [...(logits ? [targets.logits!] : []), ...targets.hidden];
      for (const [at, row] of batch.rows.entries()) {
        const tokens = rows[row].ids.length;
        let offset = offsets[row];
        parts.forEach((part, k) => {
          const data = rowOf(tensors[k].data, part, batch.shape, at, tokens);
          writeFully(handle, data, 4 * offset);
          offset += data.length;
        });
      }
      task.advance(batch.rows.length);
    }
    closeSync(handle);
    renameSync(partial, file);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
  task.done();
}

/** One row's numbers of a batch's tensor, without padding. */
function rowOf(
  data: Float32Array,
  { width, perToken, crossed }: Part,
  [b, s]: readonly [number, number],
  row: number,
  tokens: number,
): Float32Array {
  if (!perToken) return data.subarray(row * width, (row + 1) * width);
  if (!crossed) return data.subarray(row * s * width, (row * s + tokens) * width);
  const out = new Float32Array(tokens * width);
  for (let t = 0; t < tokens; t++)
    out.set(data.subarray((t * b + row) * width, (t * b + row + 1) * width), t * width);
  return out;
}

/** Puts a batch's targets together from the file; zeros at padding. */
function recalled(
  handle: number,
  { rows: members, shape: [b, s] }: Batch,
  offsets: Float64Array,
  parts: readonly Part[],
  { rows, logits }: TeacherOptions,
): Targets {
  const at = members.map((row) => offsets[row]);
  const tensors = parts.map(({ width, perToken, crossed }) => {
    const shape = !perToken ? [b, width] : crossed ? [s, b, width] : [b, s, width];
    const data = new Float32Array(sizeOf(shape));
    members.forEach((row, i) => {
      const size = width * (perToken ? rows[row].ids.length : 1);
      if (crossed) {
        const own = new Float32Array(size);
        readFully(handle, own, 4 * at[i]);
        for (let t = 0; t * width < size; t++)
          data.set(own.subarray(t * width, (t + 1) * width), (t * b + i) * width);
      } else {
        const from = i * (perToken ? s : 1) * width;
        readFully(handle, data.subarray(from, from + size), 4 * at[i]);
      }
      at[i] += size;
    });
    return tensor('float32', shape, data);
  });
  return logits ? { logits: tensors[0], hidden: tensors.slice(1) } : { hidden: tensors };
}

const bytesOf = (data: Float32Array) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

function writeFully(handle: number, data: Float32Array, position: number): void {
  const bytes = bytesOf(data);
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(handle, bytes, done, bytes.length - done, position + done);
  }
}

function readFully(handle: number, data: Float32Array, position: number): void {
  const bytes = bytesOf(data);
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(handle, bytes, done, bytes.length - done, position + done);
    if (count === 0)
      throw new Error('train: the stored targets of the teacher end too early; remove the file');
    done += count;
  }
}
