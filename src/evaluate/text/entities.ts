/**
 * Entities in tagged sentences, and how far two taggings agree. Agrees with seqeval: `entitiesOf` with its default mode, which
 * reads every scheme of prefixes (BIO, BIOES, IO) and forgives a beginning that is not marked; `strictEntitiesOf` with
 * `mode='strict', scheme=IOB2`.
 * @module
 */

export interface Entity {
  readonly type: string;
  /** The first word and the last. */
  readonly from: number;
  readonly to: number;
}

interface Tag {
  /** B, I, E, S, O, or whatever a label without a prefix begins with. */
  readonly prefix: string;
  readonly type: string;
}

/** `B-PER` → B, PER; a label without a type is of type _. */
function parse(label: string): Tag {
  const rest = label.slice(1);
  const dash = rest.indexOf('-');
  return { prefix: label.slice(0, 1), type: (dash < 0 ? rest : rest.slice(dash + 1)) || '_' };
}

const isNothing = (prefix: string) => prefix === 'O' || prefix === '.';

function endsBetween(before: Tag, after: Tag): boolean {
  if ('ES'.includes(before.prefix)) return true;
  if ('BI'.includes(before.prefix) && 'BSO'.includes(after.prefix)) return true;
  return !isNothing(before.prefix) && before.type !== after.type;
}

function startsBetween(before: Tag, after: Tag): boolean {
  if ('BS'.includes(after.prefix)) return true;
  if ('ESO'.includes(before.prefix) && 'EI'.includes(after.prefix)) return true;
  return !isNothing(after.prefix) && before.type !== after.type;
}

/** The entities of a sentence, by its labels. */
export function entitiesOf(labels: readonly string[]): Entity[] {
  const entities: Entity[] = [];
  let before: Tag = { prefix: 'O', type: '' };
  let from = 0;
  for (const [at, label] of [...labels, 'O'].entries()) {
    const tag = parse(label);
    if (endsBetween(before, tag)) entities.push({ type: before.type, from, to: at - 1 });
    if (startsBetween(before, tag)) from = at;
    before = tag;
  }
  return entities;
}

/** Entities that begin with B and go on with I of the same type; what does not begin is none. */
export function strictEntitiesOf(labels: readonly string[]): Entity[] {
  const entities: Entity[] = [];
  for (const [at, label] of labels.entries()) {
    const { prefix, type } = parse(label);
    const last = entities.at(-1);
    if (prefix === 'B') entities.push({ type, from: at, to: at });
    else if (prefix === 'I' && last?.to === at - 1 && last.type === type) {
      entities[entities.length - 1] = { ...last, to: at };
    }
  }
  return entities;
}

/** What two taggings of a sentence have in common. */
export interface Agreement {
  /** Entities that are predicted, that are there, and that are both: of the same type, with the same words. */
  readonly predicted: number;
  readonly actual: number;
  readonly found: number;
  /** Words, and those whose labels are the same. */
  readonly words: number;
  readonly right: number;
}

export function agreement(
  predicted: readonly string[],
  actual: readonly string[],
  entities: (labels: readonly string[]) => Entity[] = entitiesOf,
): Agreement {
  const key = ({ type, from, to }: Entity) => `${from} ${to} ${type}`;
  const there = new Set(entities(actual).map(key));
  const named = new Set(entities(predicted).map(key));
  return {
    predicted: named.size,
    actual: there.size,
    found: there.intersection(named).size,
    words: actual.length,
    right: actual.filter((label, at) => label === predicted[at]).length,
  };
}

/** Over all sentences; 0 where there is nothing to be right about. */
export const entityMetrics = {
  f1: (rows: readonly Agreement[]) => {
    const { found, predicted, actual } = totals(rows);
    return share(2 * found, predicted + actual);
  },
  precision: (rows: readonly Agreement[]) => share(totals(rows).found, totals(rows).predicted),
  recall: (rows: readonly Agreement[]) => share(totals(rows).found, totals(rows).actual),
  accuracy: (rows: readonly Agreement[]) => share(totals(rows).right, totals(rows).words),
} as const satisfies Record<string, (rows: readonly Agreement[]) => number>;

function totals(rows: readonly Agreement[]): Agreement {
  const sum = { predicted: 0, actual: 0, found: 0, words: 0, right: 0 };
  for (const row of rows) {
    sum.predicted += row.predicted;
    sum.actual += row.actual;
    sum.found += row.found;
    sum.words += row.words;
    sum.right += row.right;
  }
  return sum;
}

const share = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);
