/**
 * The tasks, and which of them a run is about.
 * @module
 */
import type { Config } from '../../config.ts';
import { InputError } from '../../errors.ts';
import { causalLm } from './causal-lm.ts';
import { imageClassification } from './image-classification.ts';
import { maskedLm } from './masked-lm.ts';
import { questionAnswering } from './question-answering.ts';
import { sentenceSimilarity } from './sentence-similarity.ts';
import type { Task, TaskConfig, TaskModel, TaskName } from './task.ts';
import { textClassification } from './text-classification.ts';
import { tokenClassification } from './token-classification.ts';

const tasks: Readonly<Record<TaskName, Task>> = {
  'text-classification': textClassification,
  'causal-lm': causalLm,
  'masked-lm': maskedLm,
  'image-classification': imageClassification,
  'question-answering': questionAnswering,
  'token-classification': tokenClassification,
  'sentence-similarity': sentenceSimilarity,
};

const STANDARD: TaskName = 'text-classification';

export function taskOf({ task }: Pick<TaskConfig, 'task'>): Task {
  return tasks[task];
}

/**
 * Settles the task and the metric of a configuration: the task that it names, else the one that `architectures` in the
 * model's config.json is of, else (there is no config.json, or it says nothing) text classification; the metric that it names,
 * else the task's first.
 * @throws InputError for an architecture of no task, and for a metric of another task
 */
export function settled(config: Config, model: Pick<TaskModel, 'folder'>): TaskConfig {
  const task = config.task ?? detected(model);
  const { metrics } = tasks[task];
  const metric = config.metric ?? metrics[0];
  if (metrics.includes(metric)) return { ...config, task, metric };
  throw new InputError(
    `config: the metric "${metric}" is none of ${task}'s, expected one of ${metrics.join(', ')}. Correct metric or task.`,
  );
}

function detected({ folder }: Pick<TaskModel, 'folder'>): TaskName {
  const { architectures = [] } = folder.config ?? {};
  if (architectures.length === 0) return STANDARD;
  const names = Object.keys(tasks) as TaskName[];
  const found = names.find((name) => architectures.some((one) => tasks[name].architectures.test(one)));
  if (found !== undefined) return found;
  throw new InputError(
    `config: no task is known for the architecture ${architectures.join(', ')} of "${folder.folder}". ` +
      `Name one of ${names.join(', ')} by "task:" or by --task.`,
  );
}
