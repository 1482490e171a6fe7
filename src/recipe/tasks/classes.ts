/**
 * What tasks share that give each row a class. Candidates are judged by KL(dense model ‖ candidate) of the classes.
 * @module
 */
import type { Batch } from '../../data/batch.ts';
import { evaluateClassification, toFloat } from '../../evaluate/classification.ts';
import { crossEntropy, klDivergence } from '../../evaluate/losses.ts';
import type { MeasureName } from '../../evaluate/measures.ts';
import { type MetricName, metrics } from '../../evaluate/metrics.ts';
import { compareToDense, score } from '../../evaluate/score.ts';
import type { Dataset, Task, TaskBatch } from './task.ts';

export interface Labelled extends Dataset {
  readonly batches: readonly (TaskBatch & Pick<Batch, 'labels'>)[];
  readonly labels: Int32Array;
}

export interface Classes {
  /** [count · classes] */
  readonly logits: readonly number[];
  readonly predictions: readonly number[];
  readonly classes: number;
}

export const classes = {
  metrics: ['accuracy', 'f1', 'matthews'],

  criterion({ model }) {
    const output = model.graph.outputs[0].name;
    return {
      fetches: [output],
      againstDense: true,
      loss(found, { rows }, dense) {
        const classes = found[output].shape[1];
        const size = rows.length * classes; // without filler rows
        const [teacher, student] = [dense[output], found[output]].map((all) =>
          toFloat(all).subarray(0, size),
        );
        return { sum: klDivergence(teacher, student, classes) * rows.length, weight: rows.length };
      },
    };
  },

  async answer(runner, { batches }, { model, progress }) {
    const named = model.folder.config?.labels?.length;
    const found = await evaluateClassification(runner, batches, { classes: named, progress });
    return { logits: [...found.logits], predictions: [...found.predictions], classes: found.classes };
  },

  score({ predictions, classes }, { labels }, { metric, seed }) {
    return score(Int32Array.from(predictions), labels, named(metric), { classes, seed });
  },

  compare(dense, other, { labels }, { metric, seed }) {
    const [before, after] = [dense, other].map(({ predictions }) => Int32Array.from(predictions));
    return compareToDense(before, after, labels, named(metric), { classes: dense.classes, seed });
  },
} as const satisfies Omit<Task<Labelled, Classes>, 'read' | 'architectures'>;

/** With a teacher, the divergence moves with every improvement, where an accuracy of some hundred rows stands still. */
export function lossOfClasses(
  { logits, classes }: Classes,
  { labels }: Labelled,
  teacher: Classes | undefined,
): number {
  const own = Float32Array.from(logits);
  if (teacher === undefined) return crossEntropy(own, labels);
  return klDivergence(Float32Array.from(teacher.logits), own, classes);
}

function named(metric: MeasureName): MetricName {
  if (Object.hasOwn(metrics, metric)) return metric as MetricName;
  throw new RangeError(`classification: "${metric}" is no metric of classes`);
}
