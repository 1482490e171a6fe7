/**
 * Losses over logits, in float64: what the coefficient search minimises.
 * @module
 */

/** log Σ exp(z) of one row [classes], by its greatest element. */
function logSumExp(logits: Float32Array | Float64Array, from: number, classes: number): number {
  let greatest = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < classes; k++) greatest = Math.max(greatest, logits[from + k]);
  let sum = 0;
  for (let k = 0; k < classes; k++) sum += Math.exp(logits[from + k] - greatest);
  return greatest + Math.log(sum);
}

/**
 * Mean of −log softmax(logits)[label], in nats.
 * @param logits [n, classes]
 * @param labels [n]
 */
export function crossEntropy(logits: Float32Array | Float64Array, labels: Int32Array): number {
  const classes = logits.length / labels.length;
  if (!Number.isInteger(classes)) {
    throw new RangeError(`evaluate: ${logits.length} logits do not divide among ${labels.length} labels`);
  }
  let sum = 0;
  for (let row = 0; row < labels.length; row++) {
    sum += logSumExp(logits, row * classes, classes) - logits[row * classes + labels[row]];
  }
  return sum / labels.length;
}

/**
 * Mean of KL(softmax(teacher) ‖ softmax(student)), in nats.
 * @param teacher [n, classes]
 * @param student [n, classes]
 */
export function klDivergence(
  teacher: Float32Array | Float64Array,
  student: Float32Array | Float64Array,
  classes: number,
): number {
  if (teacher.length !== student.length || teacher.length % classes !== 0) {
    throw new RangeError(`evaluate: ${teacher.length} and ${student.length} logits of ${classes} classes`);
  }
  let sum = 0;
  for (let from = 0; from < teacher.length; from += classes) {
    const teacherNorm = logSumExp(teacher, from, classes);
    const studentNorm = logSumExp(student, from, classes);
    for (let k = 0; k < classes; k++) {
      const logP = teacher[from + k] - teacherNorm;
      const p = Math.exp(logP);
      // A class that the teacher rules out adds nothing, even at logits of −∞.
      if (p > 0) sum += p * (logP - (student[from + k] - studentNorm));
    }
  }
  return sum / (teacher.length / classes);
}
