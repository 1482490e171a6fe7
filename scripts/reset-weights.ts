/**
 * Writes a model folder with every learned weight as it is before any training: matrices and tables normal with σ = 0.02
 * (as BERT's), what is added 0, what multiplies 1. The embedded example is made again without Python by
 *
 *   node scripts/reset-weights.ts examples/spam-filter OUT/init
 *   node src/cli.ts train --model OUT/init --data-training examples/spam-filter/train.jsonl \
 *     --data-validation examples/spam-filter/validation.jsonl --data-evaluation examples/spam-filter/test.jsonl \
 *     --train-epochs 6 --train-learning-rate 5e-4 --output OUT
 *
 * into OUT/trained. Training takes minutes on two cores.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { openFolder } from '../src/data/folder.ts';
import { openModel } from '../src/onnx/load.ts';
import type { Graph } from '../src/onnx/model.ts';
import { saveModel } from '../src/onnx/save.ts';
import { storedTensor } from '../src/onnx/stored.ts';
import { type Random, random } from '../src/tensor/random.ts';
import { sizeOf, tensor } from '../src/tensor/tensor.ts';
import { learnedWeights, prepared } from '../src/train/parameters.ts';

const SIGMA = 0.02;

/** A normal number by Box and Muller. */
function normal(next: Random): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** Whether a vector multiplies activations, as the scale of a normalisation does. */
function scales(graph: Graph, name: string): boolean {
  return graph.nodes.some(
    ({ opType, inputs }) =>
      inputs.includes(name) &&
      (opType === 'Mul' || (/Normalization$/.test(opType) && inputs.indexOf(name) === 1)),
  );
}

async function reset(path: string, target: string, seed = 0): Promise<void> {
  const { modelFile, companions } = openFolder(path);
  const model = prepared(await openModel(modelFile));
  const next = random(seed);
  for (const name of learnedWeights(model)) {
    const { shape } = model.graph.initializers.get(name)!;
    const start = scales(model.graph, name) ? 1 : 0;
    const data = Float32Array.from({ length: sizeOf(shape) }, () =>
      shape.length > 1 ? SIGMA * normal(next) : start,
    );
    model.graph.initializers.set(name, storedTensor(tensor('float32', shape, data)));
  }
  mkdirSync(target, { recursive: true });
  await saveModel(model, join(target, 'model.onnx'));
  for (const file of companions) copyFileSync(file, join(target, basename(file)));
}

const [path, target] = process.argv.slice(2);
if (path === undefined || target === undefined) {
  process.stderr.write('Usage: node scripts/reset-weights.ts MODEL_FOLDER OUT_FOLDER\n');
  process.exit(2);
}
await reset(path, target);
