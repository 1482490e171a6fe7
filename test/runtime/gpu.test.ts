import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { gpuNoise, parseGpus, parseProcesses, readGpus, visibleGpus } from '../../src/runtime/gpu.ts';
import { currentConditions, fingerprint, usesTf32 } from '../../src/runtime/hardware.ts';

const printed = (name: string) => readFileSync(join(import.meta.dirname, 'smi', name), 'utf8');
const MIB = 2 ** 20;

describe('what nvidia-smi prints', () => {
  test('a GPU at rest', () => {
    expect(parseGpus(printed('h100.csv'))).toEqual([
      {
        index: 0,
        name: 'NVIDIA H100 80GB HBM3',
        uuid: 'GPU-6d6c2a0e-5f0b-3c1e-9a3e-0e6b2f4f9d11',
        driver: '580.95.05',
        memoryBytes: 81559 * MIB,
        busy: 0,
        clocksMHz: { sm: 345, memory: 2619, maxSm: 1980 },
        powerCapWatts: 700,
        temperatureCelsius: 31,
        throttled: ['gpu_idle'],
        ecc: true,
        mig: false,
      },
    ]);
  });

  test('what a card does not tell is absent, not zero', () => {
    const [laptop] = parseGpus(printed('laptop.csv'));
    for (const field of ['powerCapWatts', 'ecc', 'mig']) expect(laptop).not.toHaveProperty(field);
    expect(laptop.throttled).toEqual([]);
    const [, split] = parseGpus(printed('two.csv'));
    expect(split).not.toHaveProperty('busy');
    expect(split.mig).toBe(true);
  });

  test('reasons for low clocks by their bits, unknown ones by number', () => {
    const [hot] = parseGpus(printed('two.csv'));
    expect(hot.throttled).toEqual(['sw_power_cap', 'sw_thermal_slowdown']);
    const odd = printed('h100.csv').replace('0x0000000000000001', '0x8000000000000008');
    expect(parseGpus(odd)[0].throttled).toEqual(['hw_slowdown', 'bit 63']);
  });

  test('programs, with commas in their names', () => {
    expect(parseProcesses(printed('two.apps.csv'))).toEqual([
      {
        uuid: 'GPU-aa0e8b57-2f0c-0a5a-7f9d-4f3b0f7b1a01',
        pid: 51234,
        memoryBytes: 30518 * MIB,
        name: '/opt/conda/bin/python, train.py',
      },
      { uuid: 'GPU-bb1e8b57-2f0c-0a5a-7f9d-4f3b0f7b1a02', pid: 777, name: 'unknown' },
    ]);
    expect(parseProcesses('')).toEqual([]);
    expect(parseProcesses('No running processes found\n')).toEqual([]);
  });
});

describe('CUDA_VISIBLE_DEVICES', () => {
  const gpus = parseGpus(printed('two.csv'));
  test.each([
    [undefined, [0, 1]],
    ['1', [1]],
    ['1,0', [1, 0]],
    ['GPU-bb1e', [1]],
    ['', []],
    ['0,-1,1', [0]],
    ['7', []],
  ])('%s', (setting, expected) => {
    expect(visibleGpus(gpus, setting).map(({ index }) => index)).toEqual(expected);
  });
});

describe('noise', () => {
  const state = { gpus: parseGpus(printed('two.csv')), processes: parseProcesses(printed('two.apps.csv')) };

  test('another program, and clocks that are held down, each by name', () => {
    const said = gpuNoise(state);
    expect(said).toHaveLength(3);
    expect(said[0]).toMatch(/A100.*train\.py \(process 51234, 30518 MiB\); latencies are not comparable/);
    expect(said[1]).toMatch(/held down \(sw_power_cap, sw_thermal_slowdown; 84 °C\)/);
    expect(said[2]).toMatch(/unknown \(process 777\)/);
  });

  test('none of a GPU at rest, nor of our own process', () => {
    expect(gpuNoise({ gpus: parseGpus(printed('h100.csv')), processes: [] })).toEqual([]);
    const own = gpuNoise({ ...state, gpus: [state.gpus[1]] }, [777]);
    expect(own).toEqual([]);
  });

  test('a busy GPU whose programs are hidden from us', () => {
    const [said] = gpuNoise({ ...state, processes: [] });
    expect(said).toMatch(/was 97 % busy before anything was measured/);
  });
});

describe('asking the program', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ziplm-smi-'));
    vi.stubEnv('PATH', `${folder}${delimiter}${process.env.PATH}`);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  const install = (script: string) => {
    const file = join(folder, 'nvidia-smi');
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  };
  const smi = join(import.meta.dirname, 'smi');
  const answering = `case "$1" in --query-gpu=*) cat ${smi}/two.csv ;; --query-compute-apps=*) cat ${smi}/two.apps.csv ;; esac`;

  test('nvidia-smi on PATH is what is believed', async () => {
    install(answering);
    const state = await readGpus();
    expect(state?.gpus.map(({ name }) => name)).toEqual(['NVIDIA A100-SXM4-40GB', 'NVIDIA A100-SXM4-40GB']);
    expect(state?.processes).toHaveLength(2);
  });

  test('an older driver, which has the field under its old name', async () => {
    install(
      `case "$1" in *clocks_event_reasons*) echo 'Field "clocks_event_reasons.active" is not a valid field to query.'; exit 2 ;; esac\n${answering}`,
    );
    expect((await readGpus())?.gpus).toHaveLength(2);
  });

  test.each([
    [
      'no driver',
      'echo "NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver."; exit 9',
    ],
    ['no GPU', 'echo "No devices were found"; exit 6'],
  ])('%s is no GPU', async (_, script) => {
    install(script);
    expect(await readGpus()).toBeUndefined();
    const conditions = await currentConditions({ load: async () => 0.1 });
    expect(conditions).not.toHaveProperty('gpus');
    expect(conditions.noise).toEqual([]);
  });

  test('conditions are of the visible GPUs only', async () => {
    install(answering);
    const { gpus, occupants, noise } = await currentConditions({ visible: '1', load: async () => 0 });
    expect(gpus?.map(({ index }) => index)).toEqual([1]);
    expect(occupants?.map(({ pid }) => pid)).toEqual([777]);
    expect(noise).toHaveLength(1);
  });

  test('a busy machine is noise as well', async () => {
    install('exit 6');
    const { noise, load } = await currentConditions({ load: async () => 0.6 });
    expect(load).toBe(0.6);
    expect(noise).toEqual([expect.stringContaining('60 % of the processors')]);
  });

  test('TF32 is on unless the environment turns it off, and off it is another machine', async () => {
    expect(usesTf32('cpu', {})).toBeUndefined();
    expect(usesTf32('cuda', {})).toBe(true);
    expect(usesTf32('cuda', { NVIDIA_TF32_OVERRIDE: '0' })).toBe(false);
    const smi = async ([query]: readonly string[]) =>
      query.startsWith('--query-gpu') ? printed('h100.csv') : '';
    const on = (await fingerprint('cuda', smi)).fingerprint;
    vi.stubEnv('NVIDIA_TF32_OVERRIDE', '0');
    expect((await fingerprint('cuda', smi)).fingerprint).not.toBe(on);
  });

  test('the fingerprint changes with the power cap, not with the temperature', async () => {
    const of = async (from: RegExp, to: string) =>
      (
        await fingerprint('cpu', async ([query]) =>
          query.startsWith('--query-gpu') ? printed('h100.csv').replace(from, to) : '',
        )
      ).fingerprint;
    const cool = await of(/^/, '');
    expect(await of(/, 31,/, ', 77,')).toBe(cool);
    expect(await of(/700\.00/, '450.00')).not.toBe(cool);
  });
});
