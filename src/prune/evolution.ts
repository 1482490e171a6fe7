/**
 * Evolutionary search over assignments, after DarwinLM (Tang et al., 2025, section 3): the parent's offspring differ from
 * it by a few level switches, and are selected in stages on growing samples of the calibration rows, so that most of
 * them cost a fraction of an evaluation. The parent gives way only to an offspring that beats it on all rows.
 *
 * Taken: level switches, selection in stages, the parent among the finalists, answers compared with the dense model's. Not
 * taken: training offspring before they are judged (one-shot runs have no training), and the budget in parameters: here a
 * switch keeps the predicted time.
 *
 * Unlike the search over coefficients, whose every candidate is an optimum for some prior, it can reach every assignment; it
 * begins where the dynamic program ends.
 * @module
 */
import { integer, type Random } from '../tensor/random.ts';
import type { Assignment } from './spdy.ts';

export interface EvolutionProblem {
  /** Assignments to begin with, of any speed: what is too slow is pruned until it fits. */
  readonly starts: readonly Assignment[];
  /** [blocks][levels], in the unit of the budget; dense first, the removed module last. */
  readonly times: readonly ArrayLike<number>[];
  readonly budget: number;
  /** Samples of the rows, each a share of them all: together 1. Stage i judges by the first i + 1. */
  readonly shares: readonly number[];
  /**
   * The loss on the first `samples` samples. Who asks for more samples of the same assignment is charged for what is new only.
   */
  evaluate(assignment: Assignment, samples: number): Promise<number>;
}

export interface Evolved {
  readonly assignment: Assignment;
  /** On all rows. */
  readonly loss: number;
  /** Distinct assignments that were judged, on however many rows. */
  readonly evaluations: number;
}

/** Offspring of a generation; DarwinLM, section 4. */
const OFFSPRING = 16;
/** Levels that one switch moves a block by, at most. */
const MAX_STRIDE = 3;
/** The chance that one more switch follows. */
const MORE = 0.4;
/** Generations in a row that find nothing new end the search: the assignments are exhausted. */
const IDLE = 20;

/**
 * @param steps what may be spent, in evaluations on all rows: offspring that are judged on a tenth cost a tenth
 * @param onStep what has been spent so far, and the parent's loss
 * @returns undefined when no assignment fits the budget; else never a loss above the least of the starts that fit
 */
export async function evolve(
  problem: EvolutionProblem,
  steps: number,
  next: Random,
  onStep: (spent: number, best: number) => void = () => {},
): Promise<Evolved | undefined> {
  const { times, budget, shares } = problem;
  const stages = shares.length;
  const sampled = new Map<string, number>(); // assignment → samples it was judged on
  let spent = 0;
  const judge = async (assignment: Assignment, samples: number) => {
    const key = assignment.join();
    for (let i = sampled.get(key) ?? 0; i < samples; i++) spent += shares[i];
    sampled.set(key, Math.max(samples, sampled.get(key) ?? 0));
    return problem.evaluate(assignment, samples);
  };

  let parent: { assignment: Assignment; loss: number } | undefined;
  for (const start of problem.starts) {
    const assignment = fitted(start, times, budget, new Set(), next);
    if (assignment === undefined || sampled.has(assignment.join())) continue;
    const loss = await judge(assignment, stages);
    if (parent === undefined || loss < parent.loss) parent = { assignment, loss };
    onStep(spent, parent.loss);
  }
  if (parent === undefined) return undefined;

  for (let idle = 0; spent < steps && idle < IDLE; idle++) {
    let offspring = offspringOf(parent.assignment, times, budget, sampled, next);
    for (let stage = 0; stage < stages && offspring.length > 0; stage++) {
      const judged: { assignment: Assignment; loss: number }[] = [];
      for (const assignment of offspring) {
        judged.push({ assignment, loss: await judge(assignment, stage + 1) });
      }
      judged.sort((a, b) => a.loss - b.loss);
      if (stage === stages - 1 && judged[0].loss < parent.loss) parent = judged[0];
      offspring = judged.slice(0, survivors(stage + 1, stages)).map(({ assignment }) => assignment);
      idle = -1;
    }
    onStep(Math.min(spent, steps), parent.loss);
  }
  return { ...parent, evaluations: sampled.size };
}

/** Offspring that enter a stage: OFFSPRING at first, falling by equal factors to one. */
function survivors(stage: number, stages: number): number {
  return stages === 1 ? OFFSPRING : Math.ceil(OFFSPRING ** ((stages - 1 - stage) / (stages - 1)));
}

/** Up to OFFSPRING assignments that were never judged. */
function offspringOf(
  parent: Assignment,
  times: EvolutionProblem['times'],
  budget: number,
  known: ReadonlyMap<string, number>,
  next: Random,
): Assignment[] {
  const found = new Map<string, Assignment>();
  for (let attempt = 0; attempt < 4 * OFFSPRING && found.size < OFFSPRING; attempt++) {
    const child = mutated(parent, times, budget, next);
    const key = child?.join();
    if (child !== undefined && !known.has(key!)) found.set(key!, child);
  }
  return [...found.values()];
}

/** A few level switches: some blocks go up towards dense, and others down until the time fits again. */
export function mutated(
  parent: Assignment,
  times: EvolutionProblem['times'],
  budget: number,
  next: Random,
): Assignment | undefined {
  let child = parent;
  const raised = new Set<number>();
  do {
    const block = integer(next, parent.length);
    const stride = 1 + Math.min(integer(next, MAX_STRIDE), integer(next, MAX_STRIDE));
    child = child.with(block, Math.max(0, child[block] - stride));
    raised.add(block);
  } while (next() < MORE);
  return fitted(child, times, budget, raised, next);
}

/**
 * The assignment, pruned one random level after another until its time fits, and then given back what the last of them
 * left over.
 * @param spared blocks that are not pruned
 * @returns undefined where all others are gone and it is still too slow
 */
export function fitted(
  assignment: Assignment,
  times: EvolutionProblem['times'],
  budget: number,
  spared: ReadonlySet<number>,
  next: Random,
): Assignment | undefined {
  const levels = [...assignment];
  const timeOf = () => levels.reduce((sum, level, b) => sum + times[b][level], 0);
  while (timeOf() > budget) {
    const open = [...levels.keys()].filter((b) => !spared.has(b) && levels[b] < times[b].length - 1);
    if (open.length === 0) return undefined;
    levels[open[integer(next, open.length)]]++;
  }
  // Each block is tried once, in random order: one that is raised again and again would take all that is left.
  const order = shuffled([...levels.keys()], next);
  for (const b of order) {
    if (levels[b] === 0) continue;
    levels[b]--;
    if (timeOf() > budget) levels[b]++;
  }
  return levels;
}

function shuffled<T>(items: T[], next: Random): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = integer(next, i + 1);
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}
