/**
 * The record of a run, put together from what its steps found.
 * @module
 */
import { predictedSpeedup } from '../prune/latency.ts';
import { type RunRecord, SCHEMA, type TargetRecord } from '../record.ts';
import { judge, type Round, roundsIn, summarise } from '../runtime/compare.ts';
import { usesTf32 } from '../runtime/hardware.ts';
import { median, medianInterval } from '../tensor/statistics.ts';
import { version } from '../version.ts';
import { type Member, nameInRounds } from './family.ts';
import { parametersOf } from './job.ts';
import type { Profile } from './profile.ts';
import { recordedShape } from './regimes.ts';
import { DENSE, type Work } from './steps.ts';
import { taskOf } from './tasks/registry.ts';
import type { Dataset } from './tasks/task.ts';

/**
 * @param evaluation the rows that `dense`, and the members' answers, are about
 * @param dense what the task found of the dense model
 * @param chosen what is to be said of the calibration rows, see `calibration-record.ts`
 */
export function recordOf(
  { opened, analysis, machine, config, stages }: Work,
  profile: Profile,
  rounds: readonly Round[],
  evaluation: Dataset,
  dense: unknown,
  members: readonly Member[],
  chosen: Pick<RunRecord, 'domains' | 'chosenRows'>,
  warnings: readonly string[],
  now: Date = new Date(),
): RunRecord {
  const { hardware, conditions } = machine;
  const tf32 = usesTf32(hardware.provider);
  const mixed = profile.regimes.length > 1 ? profile.regimes : [];
  const task = taskOf(config);
  const scoring = { metric: config.metric, seed: config.search.seed };

  const targets = members.map((member): TargetRecord => {
    const { pruned, found, answers } = member;
    const name = nameInRounds(pruned);
    const own = rounds.filter(({ medianMs }) => name in medianMs);
    const speedup = summarise(rounds, DENSE, name);
    const kept = member.levels.map((level) => level.kept);
    const regimes = mixed.map(({ regime, table }) => {
      const { median, low, high } = summarise(roundsIn(own, regime.name), DENSE, name);
      return {
        name: regime.name,
        speedup: { median, low, high },
        predicted: predictedSpeedup(table, analysis.blocks, kept),
        latencyMs: estimate(roundsIn(own, regime.name).map(({ medianMs }) => medianMs[name])),
      };
    });
    const change = task.compare(dense, answers, evaluation, scoring);
    return {
      target: member.target,
      speedup: { median: speedup.median, low: speedup.low, high: speedup.high },
      rounds: speedup.rounds,
      groups: speedup.groups,
      roundSpeedups: own.map(({ medianMs }) => medianMs[DENSE] / medianMs[name]),
      predicted: member.predicted,
      status: judge(member.target, speedup),
      metric: {
        ...task.score(answers, evaluation, scoring),
        delta: change.delta,
        deltaLow: change.low,
        deltaHigh: change.high,
        pValue: change.pValue,
      },
      latencyMs: estimate(own.map(({ medianMs }) => medianMs[name])),
      ...(regimes.length > 0 && { regimes }),
      parameters: pruned.parameters,
      bytes: pruned.bytes,
      file: `${member.folder}/model.onnx`,
      sha256: pruned.sha256,
      blocks: analysis.blocks.map(({ id, kind, structures }, b) => {
        const { kept, structures: keptIndices } = member.levels[b];
        return { id, kind, kept, of: structures, keptIndices };
      }),
      maskEquivalence: { maxAbsDiff: pruned.maxAbsDiff },
      search: {
        evaluations: member.evaluations,
        calibrationLoss: found.loss,
        iterations: member.turns,
        ...(found.domains.length > 1 && { domainLosses: [...found.domains] }),
      },
      ...(pruned.training && { train: pruned.training }),
    };
  });

  return {
    schema: SCHEMA,
    createdAt: now.toISOString(),
    name: opened.title,
    hardware: {
      cpu: hardware.cpu,
      cores: hardware.cores,
      memoryBytes: hardware.memoryBytes,
      os: hardware.os,
      gpus: conditions.gpus?.map(({ index: _, ...gpu }) => gpu) ?? hardware.gpus.map((name) => ({ name })),
      fingerprint: hardware.fingerprint,
      physicalCores: hardware.physicalCores,
      ...(tf32 === undefined ? {} : { tf32 }),
      virtual: hardware.virtual,
      load: conditions.load,
      freeMemoryBytes: conditions.freeMemoryBytes,
      occupants: conditions.occupants?.map(({ uuid: _, ...occupant }) => occupant) ?? [],
      noise: conditions.noise,
    },
    versions: { node: hardware.node, onnxruntime: hardware.runtime, ziplm: version() },
    provider: machine.session.provider,
    threads: config.threads,
    configuration: { ...config },
    model: {
      file: opened.folder.modelFile,
      sha256: opened.sha256,
      bytes: opened.bytes,
      parameters: parametersOf(opened.model),
    },
    shape: recordedShape(config.shape),
    dense: {
      bytes: opened.bytes,
      parameters: parametersOf(opened.model),
      latencyMs: estimate(rounds.map(({ medianMs }) => medianMs[DENSE])),
      ...(mixed.length > 0 && {
        regimes: mixed.map(({ regime: { name } }) => ({
          name,
          latencyMs: estimate(roundsIn(rounds, name).map(({ medianMs }) => medianMs[DENSE])),
        })),
      }),
      metric: task.score(dense, evaluation, scoring),
    },
    targets,
    ...chosen,
    latencyTable: profile.entries,
    fixedMs: profile.fixedMs,
    modelMs: profile.modelMs,
    ...(mixed.length > 0 && {
      regimes: mixed.map(({ regime: { name }, table: { entries, fixedMs, modelMs } }) => ({
        name,
        latencyTable: entries,
        fixedMs,
        modelMs,
      })),
    }),
    refused: analysis.refused.map(({ at, reason }) => ({ at, reason })),
    seconds: stages.seconds,
    reused: stages.reused,
    warnings,
  };
}

function estimate(values: readonly number[]) {
  return { median: median(values), ...medianInterval(values) };
}
