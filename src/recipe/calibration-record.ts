/**
 * What a record says of the calibration rows: how they were chosen, and what several domains agree on.
 * @module
 */
import type { RunRecord } from '../record.ts';
import type { Calibration } from './calibration.ts';
import type { Field } from './field.ts';
import type { TaskConfig } from './tasks/task.ts';
import type { Adapted } from './trials.ts';

/** How rows were chosen; nothing where they are simply the first. */
export function chosenRows(
  { calibration: { select }, damping }: TaskConfig,
  { domains }: Calibration,
  adapted: Adapted | undefined,
): Pick<RunRecord, 'chosenRows'> {
  if (select === 'first') return {};
  const rows = domains.map((domain) => domain.rows.count);
  return {
    chosenRows: {
      select,
      rows,
      damping: adapted?.damping ?? damping,
      ...(adapted && { trials: adapted.tried }),
    },
  };
}

/** What the domains agree on in the dense model; nothing where there is one. */
export function domainsOf(
  { calibration: { combine } }: TaskConfig,
  { domains }: Calibration,
  { ground, databases, objective }: Field,
): Pick<RunRecord, 'domains'> {
  if (domains.length === 1) return {};
  const blocks = ground.analysis.blocks.map(({ id }, b) => {
    const { levels, facts } = databases[b];
    const { weights, important = [], agreeing = [], levels: measured } = facts!;
    return {
      id,
      weights: [...weights],
      levels: measured.map(({ level, errors }) => ({
        kept: levels[level].kept,
        errors: [...errors],
        rises: [...objective.rises[b].find((rise) => rise.level === level)!.domains],
      })),
      important: [...important],
      agreeing: [...agreeing],
    };
  });
  return { domains: { names: domains.map(({ name }) => name), combine, blocks } };
}
