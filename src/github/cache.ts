/**
 * What a run computed once for this hardware, kept between runs: the latency table and the stages. Data only.
 * @module
 */

export interface StagesRequest {
  /** `<output>/.work` */
  readonly folder: string;
  /** `hardware.fingerprint` */
  readonly fingerprint: string;
  /** What else a stage depends on and tells apart, as the configuration's digest; the newest of the same hardware is taken otherwise. */
  readonly key: string;
  /** RUNNER_TEMP */
  readonly temporary: string;
  readonly warn: (message: string) => void;
}

/**
 * Puts cached stages into `folder`, beside what is there. An entry that is no stage's file (a link, an executable, a strange
 * name, too large) makes the whole cache be thrown away.
 * @returns how many stages came back
 */
export declare function restoreStages(request: StagesRequest): Promise<number>;

/** @returns whether something was saved: not when this key exists already */
export declare function saveStages(request: StagesRequest): Promise<boolean>;
