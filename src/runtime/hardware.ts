/**
 * What the numbers were measured on, and whether there is room for more.
 * @module
 */
import { createHash } from 'node:crypto';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Systeminformation } from 'systeminformation';
import { MachineError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import { type Gpu, type GpuProcess, gpuNoise, readGpus, type Smi, visibleGpus } from './gpu.ts';
import { loadRuntime } from './ort.ts';
import type { Provider } from './provider.ts';

export interface Hardware {
  /** Maker and brand, with family, model and stepping. */
  readonly cpu: string;
  /** Processors that this process may use. */
  readonly cores: number;
  /** What ONNX Runtime takes as its default number of threads. */
  readonly physicalCores: number;
  readonly memoryBytes: number;
  readonly os: string;
  readonly node: string;
  readonly runtime: string;
  readonly provider: Provider;
  /** Name, memory and driver of each; of NVIDIA's the power cap, ECC and an absent TF32 too, which latency depends on. */
  readonly gpus: readonly string[];
  readonly virtual: boolean;
  /** Equal where latencies may be reused: 16 hexadecimal digits over what they depend on. */
  readonly fingerprint: string;
}

/** What the machine was like when a run began: not what latencies depend on, but whether they can be believed. */
export interface Conditions {
  /** The share of all processors that was busy: 0 to 1. */
  readonly load: number;
  readonly freeMemoryBytes: number;
  /** NVIDIA's GPUs that a session may run on, the first first; absent where there is none. */
  readonly gpus?: readonly Gpu[];
  /** Other programs on them. */
  readonly occupants?: readonly GpuProcess[];
  /** Why latencies are not to be trusted, a sentence each. */
  readonly noise: readonly string[];
}

/** The machine as it matters to latency. Takes up to a second: it asks the system's own tools. */
export async function fingerprint(provider: Provider, smi?: Smi): Promise<Hardware> {
  const { default: si } = await import('systeminformation');
  const [cpu, system, os] = await Promise.all([si.cpu(), si.system(), si.osInfo()]);
  const nvidia = await readGpus(smi);
  const seen = {
    cpu: `${cpu.manufacturer} ${cpu.brand} (${cpu.family}/${cpu.model}/${cpu.stepping})`.trim(),
    cores: availableParallelism(),
    physicalCores: cpu.physicalCores,
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
    os: `${os.distro} ${os.release} ${os.arch}`.trim(),
    node: process.versions.node,
    runtime: `onnxruntime-node ${loadRuntime().env.versions.node}`,
    provider,
    gpus:
      nvidia === undefined
        ? await otherGpus(si.graphics)
        : nvidia.gpus.map((gpu) => labelOf(gpu, usesTf32(provider))),
    virtual: system.virtual,
  };
  return { ...seen, fingerprint: latencyKey(seen) };
}

/** What is drawn on by graphics adapters, where NVIDIA's own tool knows of none. */
async function otherGpus(graphics: () => Promise<Systeminformation.GraphicsData>): Promise<string[]> {
  const { controllers } = await graphics();
  return controllers.map(
    ({ vendor, model, vram, driverVersion }) =>
      `${vendor} ${model}${vram ? ` ${vram} MB` : ''}${driverVersion ? `, driver ${driverVersion}` : ''}`,
  );
}

/** Whether CUDA multiplies float32 with ten bits of mantissa where the GPU can, as it does unless it is told not to. */
export function usesTf32(provider: Provider, env: NodeJS.ProcessEnv = process.env): boolean | undefined {
  return provider === 'cuda' ? env.NVIDIA_TF32_OVERRIDE !== '0' : undefined;
}

function labelOf({ name, memoryBytes, driver, powerCapWatts, ecc }: Gpu, tf32: boolean | undefined): string {
  const facts = [
    ...(driver === undefined ? [] : [`driver ${driver}`]),
    ...(powerCapWatts === undefined ? [] : [`power cap ${powerCapWatts} W`]),
    ...(ecc === undefined ? [] : [`ECC ${ecc ? 'on' : 'off'}`]),
    ...(tf32 === false ? ['TF32 off'] : []),
  ];
  const memory = memoryBytes === undefined ? '' : ` ${Math.round(memoryBytes / 2 ** 20)} MiB`;
  return [`${name}${memory}`, ...facts].join(', ');
}

/**
 * The state of the machine before anything of ours runs: to be asked before the first session is opened, which
 * would show as a program on the GPU.
 */
export async function currentConditions({
  smi,
  visible = process.env.CUDA_VISIBLE_DEVICES,
  load = currentLoad,
}: {
  readonly smi?: Smi;
  /** The variable `CUDA_VISIBLE_DEVICES`. */
  readonly visible?: string | undefined;
  readonly load?: () => Promise<number>;
} = {}): Promise<Conditions> {
  const state = await readGpus(smi);
  const busy = await load();
  const found = { load: busy, freeMemoryBytes: process.availableMemory() };
  const crowded =
    busy >= BUSY
      ? [
          `${percent(busy)} of the processors were busy before anything was measured; latencies are the worse for it.`,
        ]
      : [];
  if (state === undefined) return { ...found, noise: crowded };
  const gpus = visibleGpus(state.gpus, visible);
  const uuids = new Set(gpus.map(({ uuid }) => uuid));
  const occupants = state.processes.filter(({ uuid, pid }) => uuids.has(uuid) && pid !== process.pid);
  return { ...found, gpus, occupants, noise: [...crowded, ...gpuNoise({ gpus, processes: occupants })] };
}

/** From this share of the processors on, what is measured holds for a busy machine. */
const BUSY = 0.25;

const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** A hash over what latency depends on: not the memory's size, nor the versions of Node and of the system. */
export function latencyKey(machine: Omit<Hardware, 'fingerprint'>): string {
  const { cpu, cores, physicalCores, runtime, provider, gpus, virtual } = machine;
  const parts = [cpu, cores, physicalCores, runtime, provider, [...gpus].sort(), virtual];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

/** The share of all processors that was busy during `milliseconds`: 0 to 1. */
export async function currentLoad(milliseconds = 250): Promise<number> {
  const before = processorTimes();
  await sleep(milliseconds);
  const after = processorTimes();
  const total = after.total - before.total;
  return total > 0 ? 1 - (after.idle - before.idle) / total : 0;
}

/** Warns when other work takes a quarter of the processors or more: what is measured then holds for a busy machine. */
export async function warnWhenBusy(progress: Progress, load = currentLoad): Promise<void> {
  const busy = await load();
  if (busy >= BUSY) {
    progress.warn(
      `Other programs kept ${percent(busy)} of the processors busy when measuring began; latencies are the worse for it.`,
    );
  }
}

function processorTimes(): { idle: number; total: number } {
  let idle = 0;
  let total = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.idle + times.user + times.nice + times.sys + times.irq;
  }
  return { idle, total };
}

/**
 * Checks that memory is there before work that needs it begins.
 * @param purpose what needs it, as in "calibrating 6 layers"
 * @param available bytes: what the system and the container's limit leave, when left out
 * @throws MachineError
 */
export function requireMemory(bytes: number, purpose: string, available = process.availableMemory()): void {
  if (available < bytes) {
    throw new MachineError(
      `runtime: ${purpose} takes about ${megabytes(bytes)} of memory, ${megabytes(available)} is free. ` +
        'Lower shape.batch or the calibration rows, or use a machine with more memory.',
    );
  }
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
