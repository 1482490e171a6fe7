/**
 * The record of a run, put together from what its steps found.
 * @module
 */
import type { Classified } from '../evaluate/classification.ts';
import { compareToDense, score } from '../evaluate/score.ts';
import type { LatencyTable } from '../prune/latency.ts';
import { type RunRecord, SCHEMA, type TargetRecord } from '../record.ts';
import { judge, type Round, summarise } from '../runtime/compare.ts';
import { usesTf32 } from '../runtime/hardware.ts';
import { median, medianInterval } from '../tensor/statistics.ts';
import { version } from '../version.ts';
import { type Member, nameInRounds } from './family.ts';
import { parametersOf } from './job.ts';
import { DENSE, type Work } from './steps.ts';

export function recordOf(
  { opened, analysis, machine, config, stages }: Work,
  profile: LatencyTable,
  rounds: readonly Round[],
  dense: Classified,
  members: readonly Member[],
  warnings: readonly string[],
  now: Date = new Date(),
): RunRecord {
  const { hardware, conditions } = machine;
  const tf32 = usesTf32(hardware.provider);
  const options = { classes: dense.classes, seed: config.search.seed };

  const targets = members.map((member): TargetRecord => {
    const { pruned, found, classified } = member;
    const name = nameInRounds(pruned);
    const own = rounds.filter(({ medianMs }) => name in medianMs);
    const speedup = summarise(rounds, DENSE, name);
    const change = compareToDense(
      dense.predictions,
      classified.predictions,
      dense.labels,
      config.metric,
      options,
    );
    return {
      target: member.target,
      speedup: { median: speedup.median, low: speedup.low, high: speedup.high },
      rounds: speedup.rounds,
      groups: speedup.groups,
      roundSpeedups: own.map(({ medianMs }) => medianMs[DENSE] / medianMs[name]),
      predicted: member.predicted,
      status: judge(member.target, speedup),
      metric: {
        ...score(classified.predictions, dense.labels, config.metric, options),
        delta: change.delta,
        deltaLow: change.low,
        deltaHigh: change.high,
        pValue: change.pValue,
      },
      latencyMs: estimate(own.map(({ medianMs }) => medianMs[name])),
      parameters: pruned.parameters,
      bytes: pruned.bytes,
      file: `${member.folder}/model.onnx`,
      sha256: pruned.sha256,
      blocks: analysis.blocks.map(({ id, kind, structures }, b) => {
        const { kept, structures: keptIndices } = member.levels[b];
        return { id, kind, kept, of: structures, keptIndices };
      }),
      maskEquivalence: { maxAbsDiff: pruned.maxAbsDiff },
      search: { evaluations: member.evaluations, calibrationLoss: found.loss, iterations: member.turns },
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
    shape: config.shape,
    dense: {
      bytes: opened.bytes,
      parameters: parametersOf(opened.model),
      latencyMs: estimate(rounds.map(({ medianMs }) => medianMs[DENSE])),
      metric: score(dense.predictions, dense.labels, config.metric, options),
    },
    targets,
    latencyTable: profile.entries,
    fixedMs: profile.fixedMs,
    modelMs: profile.modelMs,
    refused: analysis.refused.map(({ at, reason }) => ({ at, reason })),
    seconds: stages.seconds,
    reused: stages.reused,
    warnings,
  };
}

function estimate(values: readonly number[]) {
  return { median: median(values), ...medianInterval(values) };
}
