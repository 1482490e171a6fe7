import type { Config } from '../config.ts';
import { type LatencyTable, latencyTable, mixTables } from '../prune/latency.ts';
import { type RegimeShape, timedRegimes } from './regimes.ts';
import type { Work } from './steps.ts';

/** The table that the search goes by, and those of the regimes that it is mixed from. */
export interface Profile extends LatencyTable {
  readonly regimes: readonly RegimeProfile[];
}

export interface RegimeProfile {
  readonly regime: RegimeShape;
  readonly table: LatencyTable;
}

/** Times every block at every level, and the whole dense model, in every regime. */
export async function profileStep({
  opened,
  analysis,
  machine,
  config,
  stages,
  progress,
}: Omit<Work, 'config'> & { readonly config: Config }): Promise<Profile> {
  const regimes: RegimeProfile[] = [];
  const timed = timedRegimes(opened, config);
  for (const { shape: regime, feeds } of timed) {
    const { weight: _, ...shape } = regime;
    const tokens = shape.batch * shape.sequence;
    // A regime is worth its time in any mix: the weight is no part of what is measured.
    const key = [machine.hardware.fingerprint, machine.session, opened.sha256, shape];
    if (timed.length > 1) progress.say(`Timing levels: ${regime.name}`);
    const table = await stages.json('profile', key, () =>
      latencyTable(opened.model, analysis, feeds, { ...machine.session, tokens, progress }),
    );
    regimes.push({ regime, table });
  }
  return { ...mixTables(regimes.map(({ regime: { weight }, table }) => ({ weight, table }))), regimes };
}
