/**
 * What targets are searched on: the databases of a ground, and the session that judges candidates.
 * @module
 */
import type { BlockLevels } from '../prune/database.ts';
import type { Ground } from './ground.ts';
import type { Dataset } from './job.ts';
import { databaseStep, type Objective, openObjective, type Work } from './steps.ts';

export interface Field {
  readonly ground: Ground;
  readonly databases: readonly BlockLevels[];
  readonly objective: Objective;
  /** What its results depend on. */
  readonly key: unknown;
}

export interface Fields extends AsyncDisposable {
  /** The field of a ground; one is open at a time, since each holds a model. */
  at(ground: Ground): Promise<Field>;
}

/**
 * @param calibration the rows of the Hessians
 * @param judged the rows that candidates are judged by
 */
export function openFields(work: Work, calibration: Dataset, judged: Dataset): Fields {
  const { config, machine } = work;
  let open: Field | undefined;
  const close = async () => {
    const last = open;
    open = undefined;
    await last?.objective[Symbol.asyncDispose]();
  };
  return {
    async at(ground) {
      if (open?.ground === ground) return open;
      await close();
      const databases = await databaseStep(work, ground, calibration);
      const key = [ground.sha256, calibration.sha256, config.damping, machine.session.provider];
      const objective = await openObjective(work, ground, databases, judged, key);
      open = { ground, databases, objective, key };
      return open;
    },
    [Symbol.asyncDispose]: close,
  };
}
