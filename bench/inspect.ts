/**
 * How long `inspect` takes on a decoder of seven billion parameters in 64 layers: the file is opened, checked and analysed;
 * its weights are a file of holes that nothing reads.
 *
 *   npx node bench/inspect.ts [--layers 64] [--repeats 5]
 */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { encodeModel } from '../src/onnx/encode.ts';
import type { StoredTensor } from '../src/onnx/model.ts';
import { TensorProto_DataLocation, TensorProtoSchema } from '../src/onnx/proto/onnx_pb.js';
import { inspect } from '../src/recipe/verbs.ts';
import { llama } from '../test/models/llama.ts';
import { machineLines, spread } from './machine.ts';

const { values } = parseArgs({ options: { layers: { type: 'string' }, repeats: { type: 'string' } } });
const layers = Number(values.layers ?? 64);
const repeats = Number(values.repeats ?? 5);

let end = 0;
/** A tensor whose payload lies in the file of holes. */
function elsewhere(...shape: number[]): StoredTensor {
  const byteLength = 4 * shape.reduce((size, dim) => size * dim, 1);
  const entries = { location: 'weights.bin', offset: end, length: byteLength };
  end += byteLength;
  const proto = create(TensorProtoSchema, {
    dims: shape.map(BigInt),
    dataType: 1,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value: String(value) })),
  });
  const tensor = () => {
    throw new Error('bench: a weight was read');
  };
  return { type: 'float32', shape, byteLength, tensor, rest: { proto } };
}

const folder = await mkdtemp(join(tmpdir(), 'ziplm-inspect-'));
try {
  const file = join(folder, 'model.onnx');
  const model = llama({ layers, hidden: 3072, heads: 24, groups: 8, intermediate: 8192, weight: elsewhere });
  await writeFile(file, encodeModel(model));
  await using holes = await open(join(folder, 'weights.bin'), 'w');
  await holes.truncate(end);

  const seconds: number[] = [];
  let blocks = 0;
  for (let i = 0; i < repeats; i++) {
    const from = performance.now();
    blocks = (await inspect(file)).blocks.length;
    seconds.push((performance.now() - from) / 1000);
  }
  for (const line of await machineLines()) console.log(line);
  console.log(
    `${layers} layers, ${model.graph.nodes.length} nodes, ${(end / 4e9).toFixed(1)} billion parameters: ${blocks} blocks in ` +
      `${spread(seconds)} s (median and range of ${repeats}, the first ${seconds[0].toFixed(2)} s)`,
  );
} finally {
  await rm(folder, { recursive: true });
}
