/**
 * Metrics of classification. All are functions of the confusion counts, and agree with scikit-learn's
 * `accuracy_score`, `f1_score` and `matthews_corrcoef`.
 * @module
 */

/** counts[label · classes + prediction], over all rows or those of a resample. */
export interface Confusion {
  readonly classes: number;
  readonly counts: Float64Array;
  readonly rows: number;
}

export const metrics = { accuracy: accuracyOf, f1: f1Of, matthews: matthewsOf } as const satisfies Record<
  string,
  (confusion: Confusion) => number
>;

export type MetricName = keyof typeof metrics;

/**
 * Counts labels against predictions.
 * @param rows the rows to count, all when left out; a row may occur several times
 */
export function confusion(
  predictions: Int32Array,
  labels: Int32Array,
  classes: number,
  rows?: Int32Array,
): Confusion {
  if (predictions.length !== labels.length) {
    throw new RangeError(`evaluate: ${predictions.length} predictions for ${labels.length} labels`);
  }
  const counts = new Float64Array(classes * classes);
  const count = rows?.length ?? labels.length;
  for (let i = 0; i < count; i++) {
    const row = rows ? rows[i] : i;
    counts[labels[row] * classes + predictions[row]]++;
  }
  return { classes, counts, rows: count };
}

/** The share of rows whose prediction is the label. */
export function accuracy(predictions: Int32Array, labels: Int32Array, classes: number): number {
  return accuracyOf(confusion(predictions, labels, classes));
}

/**
 * F1: of class 1 where there are two classes; else the mean over the classes that occur among labels or
 * predictions, each weighing the same (macro). 0 where a class was never predicted rightly.
 */
export function f1(predictions: Int32Array, labels: Int32Array, classes: number): number {
  return f1Of(confusion(predictions, labels, classes));
}

/** Matthews' correlation of labels and predictions, in Gorodkin's form for several classes; 0 where either is constant. */
export function matthews(predictions: Int32Array, labels: Int32Array, classes: number): number {
  return matthewsOf(confusion(predictions, labels, classes));
}

function accuracyOf({ classes, counts, rows }: Confusion): number {
  let right = 0;
  for (let k = 0; k < classes; k++) right += counts[k * classes + k];
  return right / rows;
}

/** Per class: how often it is the label, and how often it is the prediction. */
function marginals({ classes, counts }: Confusion) {
  const labelled = new Float64Array(classes);
  const predicted = new Float64Array(classes);
  for (let label = 0; label < classes; label++) {
    for (let prediction = 0; prediction < classes; prediction++) {
      const count = counts[label * classes + prediction];
      labelled[label] += count;
      predicted[prediction] += count;
    }
  }
  return { labelled, predicted };
}

function f1Of(confusion: Confusion): number {
  const { classes, counts } = confusion;
  const { labelled, predicted } = marginals(confusion);
  const ofClass = (k: number) => (2 * counts[k * classes + k]) / (labelled[k] + predicted[k]);
  if (classes === 2) return labelled[1] + predicted[1] === 0 ? 0 : ofClass(1);
  let sum = 0;
  let present = 0;
  for (let k = 0; k < classes; k++) {
    if (labelled[k] + predicted[k] === 0) continue;
    sum += ofClass(k);
    present++;
  }
  return sum / present;
}

function matthewsOf(confusion: Confusion): number {
  const { classes, counts, rows } = confusion;
  const { labelled, predicted } = marginals(confusion);
  let right = 0;
  let both = 0;
  let labelSquares = 0;
  let predictionSquares = 0;
  for (let k = 0; k < classes; k++) {
    right += counts[k * classes + k];
    both += labelled[k] * predicted[k];
    labelSquares += labelled[k] ** 2;
    predictionSquares += predicted[k] ** 2;
  }
  const spread = Math.sqrt((rows ** 2 - labelSquares) * (rows ** 2 - predictionSquares));
  return spread === 0 ? 0 : (right * rows - both) / spread;
}
