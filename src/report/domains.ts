/**
 * What several calibration domains say: how much each target loses in each of them, whether what was removed is unimportant in
 * all of them, and what each block is worth where. Cells are ready to show; names come through the caller's escape.
 * @module
 */
import type { DomainsRecord, RunRecord } from '../record.ts';
import { decimal, times } from './format.ts';
import { type Escape, lossValue } from './story.ts';

type Table = readonly (readonly string[])[];

/**
 * A header and a row per target: the calibration loss in each domain, and the share of the removed structures whose rank agrees
 * over the domains. Empty where the run had one domain.
 */
export function targetsByDomain({ domains, targets }: RunRecord, safe: Escape): Table {
  if (domains === undefined || targets.length === 0) return [];
  return [
    ['target', ...domains.names.map((name) => `loss, ${safe(name)}`), 'removed heads that agree', 'removed neurons that agree'],
    ...targets.map((target) => [
      times(target.target),
      ...domains.names.map((_, d) => {
        const loss = target.search.domainLosses?.[d];
        return loss === undefined ? '' : lossValue(loss);
      }),
      ...(['attention', 'mlp'] as const).map((kind) => agreeing(target.blocks, kind, domains.blocks)),
    ]),
  ];
}

/** Of the structures that were removed from blocks of a kind, those whose rank is about the same in every domain: `41 of 52 (79%)`. */
function agreeing(
  blocks: RunRecord['targets'][number]['blocks'],
  kind: 'attention' | 'mlp',
  domains: DomainsRecord['blocks'],
): string {
  const counts = blocks.flatMap((block) => {
    const known = domains.find(({ id }) => id === block.id);
    if (block.kind !== kind || block.keptIndices === undefined || known === undefined) return [];
    const kept = new Set(block.keptIndices);
    return [{ removed: block.of - block.kept, agree: known.agreeing.filter((s) => !kept.has(s)).length }];
  });
  const [removed, agree] = [counts, counts].map((list, i) =>
    list.reduce((sum, count) => sum + (i === 0 ? count.removed : count.agree), 0),
  );
  return removed === 0 ? '' : `${agree} of ${removed} (${decimal((100 * agree) / removed, 0)}%)`;
}

/**
 * A header and a row per block: the structures that are important in every domain and those whose rank agrees, how far each domain
 * counts in the Hessian, and by how much its loss rises when the whole block is removed alone.
 */
export function blocksByDomain({ domains, targets }: RunRecord, safe: Escape): Table {
  if (domains === undefined) return [];
  const of = new Map(targets[0]?.blocks.map((block) => [block.id, block.of]));
  const share = (count: number, id: string) => `${count}${of.has(id) ? ` of ${of.get(id)}` : ''}`;
  return [
    [
      'block',
      'important in all',
      'ranks agree',
      ...domains.names.map((name) => `weight, ${safe(name)}`),
      ...domains.names.map((name) => `without it, ${safe(name)}`),
    ],
    ...domains.blocks.map(({ id, important, agreeing: agree, weights, levels }) => {
      const removed = levels.find(({ kept }) => kept === 0);
      return [
        safe(id),
        share(important.length, id),
        share(agree.length, id),
        ...domains.names.map((_, d) => (weights[d] === undefined ? '' : decimal(weights[d], 2))),
        ...domains.names.map((_, d) => {
          const rise = removed?.rises[d];
          return rise === undefined ? '' : `${rise > 0 ? '+' : ''}${lossValue(rise)}`;
        }),
      ];
    }),
  ];
}

/** What the tables mean, in a sentence; the caller knows that there are domains. */
export function domainsCaption({ combine }: DomainsRecord): string {
  return (
    `Calibrated on several domains, combined by ${combine === 'mean' ? 'their mean' : 'the worst of them'}. A structure's rank is by ` +
    'what its removal alone costs in a domain; ranks agree where they lie within a tenth of the block, and a structure is important ' +
    'in all where it is in the upper quarter of every domain.'
  );
}

/** How the calibration rows were chosen, as facts; empty where they are simply the first. */
export function chosenRowsLines({ chosenRows, domains }: RunRecord, safe: Escape): readonly string[] {
  if (chosenRows === undefined) return [];
  const { select, rows, damping, trials = [] } = chosenRows;
  const how = { random: 'at random', similar: 'by likeness to the validation rows', adaptive: 'by trials' }[select];
  const counts = rows.map((count, d) => `${count}${rows.length > 1 ? ` of ${safe(domains?.names[d] ?? '')}` : ''}`);
  const best = trials.map(({ loss }) => loss).reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  return [
    `Chosen ${how}: ${counts.join(', ')} rows, damping ${Number(damping.toPrecision(3))}`,
    ...(trials.length === 0
      ? []
      : [
          `${trials.length} trials: held-out loss ${lossValue(trials[0].loss)} at first, ${lossValue(best)} at best`,
        ]),
  ];
}
