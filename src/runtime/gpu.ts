/**
 * The state of NVIDIA GPUs, as `nvidia-smi` tells it: which one it is, what holds it back, and who else uses it.
 *
 * Its CSV has a field per column, without quotes: numbers without units, and words in brackets ("[N/A]", "[Not
 * Supported]", "[Insufficient Permissions]") where a card has no such thing or does not tell.
 * @module
 */
import { execFile } from 'node:child_process';

export interface Gpu {
  readonly index: number;
  readonly name: string;
  readonly uuid: string;
  readonly driver?: string;
  readonly memoryBytes?: number;
  /** The share of the last second or so in which a kernel ran: 0 to 1. */
  readonly busy?: number;
  readonly clocksMHz: { readonly sm?: number; readonly memory?: number; readonly maxSm?: number };
  readonly powerCapWatts?: number;
  readonly temperatureCelsius?: number;
  /** What holds the clocks down right now, in NVIDIA's words; "gpu_idle" is the resting state. */
  readonly throttled: readonly string[];
  readonly ecc?: boolean;
  readonly mig?: boolean;
}

/** A process that holds a context on a GPU. */
export interface GpuProcess {
  readonly uuid: string;
  readonly pid: number;
  readonly name: string;
  readonly memoryBytes?: number;
}

export interface GpuState {
  readonly gpus: readonly Gpu[];
  readonly processes: readonly GpuProcess[];
}

/** Runs `nvidia-smi` with these arguments and gives what it printed; rejects as `execFile` does. */
export type Smi = (args: readonly string[]) => Promise<string>;

/** The bits of the field with the reasons for which a GPU's clocks are not at their highest. */
const throttleBits = [
  'gpu_idle',
  'applications_clocks_setting',
  'sw_power_cap',
  'hw_slowdown',
  'sync_boost',
  'sw_thermal_slowdown',
  'hw_thermal_slowdown',
  'hw_power_brake_slowdown',
  'display_clock_setting',
] as const;

const fields = [
  'index',
  'name',
  'uuid',
  'driver_version',
  'memory.total',
  'utilization.gpu',
  'clocks.sm',
  'clocks.mem',
  'clocks.max.sm',
  'power.limit',
  'temperature.gpu',
  'ecc.mode.current',
  'mig.mode.current',
] as const;
/** The same field before and after drivers of 2023 renamed it. */
const throttleFields = ['clocks_event_reasons.active', 'clocks_throttle_reasons.active'] as const;

const MEBIBYTE = 2 ** 20;

/**
 * Asks every GPU of the machine.
 * @returns undefined where there is no `nvidia-smi`, or it finds no GPU or no driver
 */
export async function readGpus(smi: Smi = runSmi): Promise<GpuState | undefined> {
  for (const throttleField of throttleFields) {
    try {
      const gpus = parseGpus(
        await smi([`--query-gpu=${[...fields, throttleField].join(',')}`, '--format=csv,noheader,nounits']),
      );
      if (gpus.length === 0) return undefined;
      const apps = ['--query-compute-apps=gpu_uuid,pid,used_gpu_memory,process_name'];
      return { gpus, processes: parseProcesses(await smi([...apps, '--format=csv,noheader,nounits'])) };
    } catch {
      // No such program, no driver, or a driver that calls the field by the other name.
    }
  }
  return undefined;
}

/** The lines of `--query-gpu`. */
export function parseGpus(csv: string): Gpu[] {
  return linesOf(csv).map((line) => {
    const cells = line.split(', ');
    if (cells.length !== fields.length + 1) {
      throw new Error(`nvidia-smi: "${line}" has ${cells.length} fields, expected ${fields.length + 1}`);
    }
    const text = (field: (typeof fields)[number]) => told(cells[fields.indexOf(field)]);
    const number = (field: (typeof fields)[number]) => finite(text(field));
    const is = (field: (typeof fields)[number]) => {
      const said = text(field);
      return said === undefined ? undefined : said === 'Enabled';
    };
    const memoryMiB = number('memory.total');
    const busy = number('utilization.gpu');
    return {
      index: number('index') ?? 0,
      name: text('name') ?? 'unnamed GPU',
      uuid: text('uuid') ?? '',
      ...defined('driver', text('driver_version')),
      ...defined('memoryBytes', memoryMiB === undefined ? undefined : memoryMiB * MEBIBYTE),
      ...defined('busy', busy === undefined ? undefined : busy / 100),
      clocksMHz: {
        ...defined('sm', number('clocks.sm')),
        ...defined('memory', number('clocks.mem')),
        ...defined('maxSm', number('clocks.max.sm')),
      },
      ...defined('powerCapWatts', number('power.limit')),
      ...defined('temperatureCelsius', number('temperature.gpu')),
      throttled: throttleReasons(told(cells.at(-1)!)),
      ...defined('ecc', is('ecc.mode.current')),
      ...defined('mig', is('mig.mode.current')),
    };
  });
}

/** The lines of `--query-compute-apps`; the name comes last, since it may hold commas. */
export function parseProcesses(csv: string): GpuProcess[] {
  return linesOf(csv).flatMap((line) => {
    const [uuid, pid, memory, ...name] = line.split(', ');
    // "No running processes found", in the words of some drivers.
    if (!/^\d+$/.test(pid ?? '')) return [];
    const memoryMiB = finite(told(memory));
    return [
      {
        uuid,
        pid: Number(pid),
        name: told(name.join(', ')) ?? 'unknown',
        ...defined('memoryBytes', memoryMiB === undefined ? undefined : memoryMiB * MEBIBYTE),
      },
    ];
  });
}

/**
 * The GPUs that a program with this `CUDA_VISIBLE_DEVICES` sees, in its order; sessions run on the first.
 * An entry that names no GPU hides all that follow it, as CUDA has it.
 */
export function visibleGpus(gpus: readonly Gpu[], setting: string | undefined): Gpu[] {
  if (setting === undefined) return [...gpus];
  const seen: Gpu[] = [];
  for (const entry of setting.split(',').map((part) => part.trim())) {
    const gpu = /^\d+$/.test(entry)
      ? gpus.find(({ index }) => index === Number(entry))
      : gpus.find(({ uuid }) => entry !== '' && uuid.startsWith(entry));
    if (gpu === undefined) break;
    seen.push(gpu);
  }
  return seen;
}

/**
 * What makes latencies on a GPU unfit to compare, a sentence each: other programs on it, and clocks held down.
 * @param own process ids that do not count as foreign
 */
export function gpuNoise({ gpus, processes }: GpuState, own: readonly number[] = []): string[] {
  return gpus.flatMap(({ name, uuid, busy, throttled, temperatureCelsius }) => {
    const foreign = processes.filter((process) => process.uuid === uuid && !own.includes(process.pid));
    const held = throttled.filter((reason) => slowing.has(reason));
    return [
      ...foreign.map(
        ({ pid, name: program, memoryBytes }) =>
          `Another program uses the GPU ${name}: ${program} (process ${pid}${memoryBytes === undefined ? '' : `, ${Math.round(memoryBytes / MEBIBYTE)} MiB`}); ` +
          'latencies are not comparable. Give the runner a GPU of its own.',
      ),
      ...(foreign.length === 0 && (busy ?? 0) >= 0.1
        ? [
            `The GPU ${name} was ${Math.round(busy! * 100)} % busy before anything was measured; latencies are the worse for it.`,
          ]
        : []),
      ...(held.length === 0
        ? []
        : [
            `The clocks of the GPU ${name} are held down (${held.join(', ')}${temperatureCelsius === undefined ? '' : `; ${temperatureCelsius} °C`}); latencies are the worse for it.`,
          ]),
    ];
  });
}

/** Reasons that slow a GPU that has work to do: neither rest nor a setting of its owner's. */
const slowing: ReadonlySet<string> = new Set([
  'sw_power_cap',
  'hw_slowdown',
  'sw_thermal_slowdown',
  'hw_thermal_slowdown',
  'hw_power_brake_slowdown',
]);

/** The names of the bits set; unknown ones by their number. */
function throttleReasons(mask: string | undefined): string[] {
  if (mask === undefined || !/^0x[0-9a-f]{1,16}$/i.test(mask)) return [];
  const bits = BigInt(mask);
  return Array.from({ length: 64 }, (_, i) => i)
    .filter((i) => (bits >> BigInt(i)) & 1n)
    .map((i) => throttleBits[i] ?? `bit ${i}`);
}

const linesOf = (csv: string): string[] =>
  csv
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** A cell, unless it says in brackets that there is nothing to say. */
const told = (cell: string): string | undefined =>
  /^(\[.*\]|N\/A|)$/.test(cell.trim()) ? undefined : cell.trim();

function finite(cell: string | undefined): number | undefined {
  const value = Number(cell);
  return cell === undefined || !Number.isFinite(value) ? undefined : value;
}

const defined = <K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } =>
  (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };

function runSmi(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('nvidia-smi', args, { timeout: 20_000, maxBuffer: MEBIBYTE }, (error, stdout) => {
      if (error === null) resolve(stdout);
      else reject(error);
    });
  });
}
