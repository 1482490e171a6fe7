/**
 * The assignment problem by trying every combination.
 * @module
 */
export function bruteForce(
  costs: readonly (readonly number[])[],
  times: readonly (readonly number[])[],
  budget: number,
): { cost: number; assignment: number[] } | undefined {
  let best: { cost: number; assignment: number[] } | undefined;
  const visit = (assignment: number[], cost: number, time: number) => {
    const l = assignment.length;
    if (time > budget) return;
    if (l < costs.length) {
      for (const s of costs[l].keys()) visit([...assignment, s], cost + costs[l][s], time + times[l][s]);
    } else if (best === undefined || cost < best.cost) best = { cost, assignment };
  };
  visit([], 0, 0);
  return best;
}
