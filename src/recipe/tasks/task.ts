/**
 * What a model does, as a run needs to know it: how a data file becomes batches, what candidates of the search are judged
 * by, and how the model is scored.
 *
 * To add a task: write `tasks/NAME.ts`, whose one export is a `Task`; add its name to the `task` setting in `config.ts` and its
 * line to `tasks/registry.ts` (a name without a line does not compile); add its metrics to `evaluate/measures.ts`. What is
 * computed from answers belongs in `evaluate/` (`rows.ts` gives any metric of rows its interval and its comparison), what
 * reads files in `data/`.
 * @module
 */
import type { Config } from '../../config.ts';
import type { ModelFolder } from '../../data/folder.ts';
import type { EncodedRow } from '../../data/tokenizer.ts';
import type { MeasureName } from '../../evaluate/measures.ts';
import type { Comparison, Score } from '../../evaluate/score.ts';
import type { Model, ValueInfo } from '../../onnx/model.ts';
import type { Progress } from '../../progress.ts';
import type { SessionOptions } from '../../runtime/session.ts';
import type { Tensor } from '../../tensor/tensor.ts';

export type TaskName = NonNullable<Config['task']>;

/** A configuration whose task and metric are settled. */
export type TaskConfig = Config & { readonly task: TaskName; readonly metric: MeasureName };

/** What a task sees of the model that it reads data for. */
export interface TaskModel {
  readonly folder: ModelFolder;
  readonly model: Model;
  /** Inputs that a caller feeds: those of the graph that are not initializers. */
  readonly inputs: readonly ValueInfo[];
}

export type Feeds = Readonly<Record<string, Tensor>>;

export interface TaskBatch {
  readonly feeds: Feeds;
  /** Indices of the data set's rows, in the batch's order. Fewer than the feeds hold only where the graph fixes how many. */
  readonly rows: readonly number[];
  /** Of `mask`; [b, 1] where the model does not read tokens. */
  readonly shape: readonly [b: number, s: number];
  /** [b, s], row-major: 1 where a token counts for the Hessians. */
  readonly mask: Uint8Array;
}

/** A data file, ready to run. Tasks add what they need: labels, spans, which tokens are scored. */
export interface Dataset {
  /** How many rows there are: what losses are means over. */
  readonly count: number;
  /** How many the metric is of, where these are not the rows: questions of several windows, pairs of texts. */
  readonly scored?: number;
  /** Together they hold each of the rows 0 … count−1 once. */
  readonly batches: readonly TaskBatch[];
  /** A digest of everything that the batches hold. */
  readonly sha256: string;
}

/** The data files of a configuration. */
export type DataName = 'calibration' | 'training' | 'validation' | 'evaluation';

export interface Reading {
  readonly model: TaskModel;
  /** What the rows are for. */
  readonly which: DataName;
  readonly config: TaskConfig;
  /** The first so many rows; all when left out. */
  readonly limit?: number;
  readonly progress: Progress;
}

/** The loss that candidates of the search are judged by. */
export interface Criterion {
  /** The values to fetch: outputs of the model, or of what `append` adds to it. */
  readonly fetches: readonly string[];
  /**
   * Adds the nodes of the loss to a model whose outputs are those of the model that the criterion was made for, and declares
   * inputs and outputs for them. The model is the callee's own. What is large per token (logits over a vocabulary) is thus reduced
   * in the graph, and never held. Left out where the outputs are fetched as they are.
   */
  append?(model: Model): void;
  /** What `append` lets the model read beside the batch's own feeds. */
  feeds?(batch: TaskBatch): Feeds;
  /** Whether `loss` compares with what the dense model gives; all of `fetches` is then held for every batch. */
  readonly againstDense: boolean;
  /**
   * The loss of a batch: its rows' sum, so that the loss of a data set is Σ sum / Σ weight. `weight` must not depend on the
   * values found.
   * @param found the values of `fetches`
   * @param dense those of the dense model where `againstDense`, else empty
   */
  loss(
    found: Readonly<Record<string, Tensor>>,
    batch: TaskBatch,
    dense: Readonly<Record<string, Tensor>>,
  ): { readonly sum: number; readonly weight: number };
}

/** A model file, open. */
export interface Runner {
  run(feeds: Feeds, fetches?: readonly string[]): Promise<Record<string, Tensor>>;
}

export interface Answering {
  readonly model: TaskModel;
  /** How sessions of the task's own are opened, beside the model's. */
  readonly session: SessionOptions;
  readonly progress: Progress;
}

export interface Task<Rows extends Dataset = Dataset, Answers = unknown> {
  /** Whether an entry of `architectures` in `config.json` is of this task. */
  readonly architectures: RegExp;
  /** What it can report, the default first. */
  readonly metrics: readonly [MeasureName, ...MeasureName[]];
  /**
   * Reads a data file.
   * @throws InputError for a missing or unsuitable file, row or tokenizer, and for a model that it does not fit
   */
  read(file: string, reading: Reading): Promise<Rows>;
  /** @throws InputError where the model's outputs are not the task's */
  criterion(model: TaskModel, rows: Rows): Criterion;
  /**
   * Runs a model over all batches. What it returns is stored as JSON: numbers, texts, lists and objects, as little as
   * `score` and `compare` need beside the rows.
   * @throws InputError where the model's outputs are not the task's
   */
  answer(runner: Runner, rows: Rows, answering: Answering): Promise<Answers>;
  score(answers: Answers, rows: Rows, options: Scoring): Score;
  /** Another model against the dense one, paired over the same rows. */
  compare(dense: Answers, other: Answers, rows: Rows, options: Scoring): Comparison;
  /** How it is trained; left out where training cannot do it, and a gradual run is then refused. */
  readonly training?: TaskTraining<Rows, Answers>;
}

export interface TaskTraining<Rows extends Dataset = Dataset, Answers = unknown> {
  /** The rows as a training step takes them, in the data set's order. */
  lessons(rows: Rows): { readonly rows: readonly EncodedRow[]; readonly padId: number };
  /** A data set of some of the rows, in order. */
  part(rows: Rows, isIn: (row: number) => boolean, model: TaskModel): Rows;
  /** The loss that tells when to stop: against the labels, or against a teacher's answers where the task keeps enough of them. */
  loss(answers: Answers, rows: Rows, teacher: Answers | undefined): number;
}

export interface Scoring {
  readonly metric: MeasureName;
  readonly seed: number;
}
