import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Answer, Job } from '../../src/runtime/child.ts';
import { availableProviders } from '../../src/runtime/choose.ts';
import { compareModels, measureRounds } from '../../src/runtime/compare.ts';
import { inTemporaryFolder } from '../../src/runtime/feeds.ts';
import { timeEach } from '../../src/runtime/profile.ts';
import { runChild } from '../../src/runtime/spawn.ts';
import { timeFresh } from '../../src/runtime/timing.ts';
import { median } from '../../src/tensor/statistics.ts';
import { tensor, zeros } from '../../src/tensor/tensor.ts';
import { fixture, sampleOf } from './fixture.ts';
import { add } from './models.ts';

const bert = { name: 'bert', file: fixture('bert-optimum') };
const { feeds } = sampleOf('bert-optimum');
const provider = 'cpu';

describe('timing in a fresh process', () => {
  test('gives as many runs as were asked for, and their median', async () => {
    const { latenciesMs, medianMs } = await timeFresh(bert, { provider, feeds, warmup: 2, runs: 7 });
    expect(latenciesMs).toHaveLength(7);
    expect(latenciesMs.every((ms) => ms > 0)).toBe(true);
    expect(medianMs).toBe(median(latenciesMs));
  });

  test('goes on until the asked-for time has passed', async () => {
    const { latenciesMs } = await timeFresh(bert, { provider, feeds, runs: 1, minSeconds: 0.1 });
    expect(latenciesMs.reduce((sum, ms) => sum + ms)).toBeGreaterThan(50); // the rest of the 100 ms is between runs
    expect(latenciesMs.length).toBeGreaterThan(1);
  });

  test('ignores feeds that the model has no input for, and names those that it misses', async () => {
    const { attention_mask, ...rest } = feeds;
    await timeFresh(bert, { provider, runs: 1, feeds: { ...feeds, labels: zeros('int64', [2]) } });
    await expect(timeFresh(bert, { provider, runs: 1, feeds: rest })).rejects.toMatchObject({
      name: 'InputError',
      message: expect.stringContaining('nothing is given for attention_mask'),
    });
    expect(attention_mask).toBeDefined();
  });

  test('inputs that do not fit, and files that are no models, are the user’s mistake', async () => {
    const crooked = { ...feeds, attention_mask: zeros('int64', [3, 9]) };
    await expect(timeFresh(bert, { provider, feeds: crooked })).rejects.toMatchObject({ name: 'InputError' });
    const noModel = { name: 'none', file: import.meta.filename };
    await expect(timeFresh(noModel, { provider, feeds })).rejects.toMatchObject({ name: 'InputError' });
  });

  test('a provider that is not there is the machine’s lack', async () => {
    if ((await availableProviders()).includes('cuda')) return;
    await expect(timeFresh(bert, { provider: 'cuda', feeds })).rejects.toMatchObject({
      name: 'MachineError',
      message: expect.stringContaining('"cuda" is not there'),
    });
  });
});

describe('a measuring process that ends badly', () => {
  const job: Job = { kind: 'try', provider: 'cpu' };
  const run = (program: string, options = {}) =>
    runChild(job, 'the process', () => {}, { entry: ['-e', program], ...options });

  test.each([
    [
      'exits',
      'console.error("no luck"); process.exit(7)',
      /^runtime: the process ended with exit code 7 .*"no luck"/,
    ],
    ['crashes', 'process.kill(process.pid, "SIGSEGV")', /died of SIGSEGV/],
    [
      'is killed, as by a lack of memory',
      'process.kill(process.pid, "SIGKILL")',
      /lack of memory.*shape\.batch/,
    ],
    ['is silent', 'setInterval(() => {}, 1000)', /silent for 0\.5 s/],
  ])('one that %s is reported in a sentence', async (_, program, sentence) => {
    await expect(run(program, { patienceSeconds: 0.5 })).rejects.toMatchObject({
      name: 'MachineError',
      message: expect.stringMatching(sentence),
    });
  });

  test('one that says more than it should is a bug, with what it said', async () => {
    await expect(
      run('require("fs").writeSync(3, "nonsense\\n"); setInterval(() => {}, 1000)'),
    ).rejects.toThrow(/nonsense/);
  });

  test('a result counts, however the process ends after it', async () => {
    const heard: Answer[] = [];
    const lines = ['{"kind":"tried","ms":1}', '{"kind":"done"}', ''].join('\\n');
    const program = `require("fs").writeSync(3, '${lines}'); process.abort()`;
    await runChild(job, 'the process', (answer) => heard.push(answer), { entry: ['-e', program] });
    expect(heard).toEqual([{ kind: 'tried', ms: 1 }]);
  });

  test('an abort ends it at once, with the reason', async () => {
    const stop = new AbortController();
    const running = timeFresh(bert, { provider, feeds, minSeconds: 3600, signal: stop.signal });
    setTimeout(() => stop.abort(new Error('enough')), 300);
    await expect(running).rejects.toThrow('enough');
    await expect(timeFresh(bert, { provider, feeds, signal: stop.signal })).rejects.toThrow('enough');
  });

  test.runIf(process.platform === 'linux')('it ends with its parent', async () => {
    // The parent starts an endless measurement, prints the child's id, and dies of SIGKILL.
    const program = `
      const { timeFresh } = await import('${new URL('../../src/runtime/timing.ts', import.meta.url)}');
      const { sampleOf, fixture } = await import('${new URL('./fixture.ts', import.meta.url)}');
      timeFresh({ name: 'bert', file: fixture('bert-optimum') },
        { provider: 'cpu', feeds: sampleOf('bert-optimum').feeds, minSeconds: 3600 });
      const { readFileSync } = await import('node:fs');
      setTimeout(() => {
        process.stdout.write(readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8'));
        process.kill(process.pid, 'SIGKILL');
      }, 1000);`;
    let printed = '';
    try {
      execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    } catch (error) {
      printed = String((error as { stdout: string }).stdout);
    }
    const child = Number(printed.trim());
    expect(child).toBeGreaterThan(0);
    await expect.poll(() => isAlive(child), { timeout: 3000 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('rounds', () => {
  const models = ['dense', 'a', 'b'].map((name) => ({ ...bert, name }));
  const once = { provider, feeds, warmup: 1, runs: 1 } as const;

  test('measure every model once, and turn the order around each time', async () => {
    let clock = 1000;
    const order: string[] = [];
    const progress = {
      say() {},
      warn() {},
      task: () => ({
        advance: (_: number, remark: string) => void order.push(remark.split(' ')[0]),
        done() {},
      }),
    };
    const rounds = await measureRounds(models, 2, {
      ...once,
      now: () => clock++,
      progress: progress as never,
    });
    expect(rounds.map(({ at }) => at)).toEqual([1000, 1001]);
    expect(order).toEqual(['dense', 'a', 'b', 'b', 'a', 'dense']);
    for (const { medianMs } of rounds) expect(Object.keys(medianMs).sort()).toEqual(['a', 'b', 'dense']);
    order.length = 0;
    await measureRounds(models, 1, { ...once, before: 1, progress: progress as never });
    expect(order).toEqual(['b', 'a', 'dense']);
  });

  test('refuse two models of one name', () => {
    expect(() => measureRounds([bert, bert], 1, once)).toThrow('called the same');
  });

  test('compare files: the first is the measure of the others, a file given twice is measured twice', async () => {
    const { rounds, models } = await compareModels([bert.file, bert.file], { ...once, rounds: 2 });
    expect(rounds).toHaveLength(2);
    expect(models.map(({ speedup }) => speedup?.rounds)).toEqual([undefined, 2]);
    expect(models[1].latencyMs.median).toBeGreaterThan(0);
    expect(models[1].speedup?.median).toBeCloseTo(
      median(rounds.map(({ medianMs }) => medianMs[models[0].name] / medianMs[models[1].name])),
    );
  });
});

describe('many small models', () => {
  test('are timed once a round each, in one process', async () => {
    const x = zeros('float32', [64, 64]);
    const made: number[] = [];
    const models = [1, 2, 3].map((i) => ({
      key: `level ${i}`,
      bytes: () => {
        made.push(i);
        return add('float32', [64, 64]);
      },
      feeds: { x },
    }));
    const times = await timeEach(models, { provider, rounds: 4, warmup: 1, runs: 3 });
    expect([...times.keys()]).toEqual(['level 1', 'level 2', 'level 3']);
    for (const medians of times.values()) {
      expect(medians).toHaveLength(4);
      expect(medians.every((ms) => ms > 0)).toBe(true);
    }
    expect(made).toEqual([1, 2, 3]);
  });

  test('tell a model of more work from one of less', async () => {
    // A hundred times the elements: the larger takes longer on any machine.
    const sized = (n: number) => ({
      key: `${n}`,
      bytes: add('float32', [n]),
      feeds: { x: tensor('float32', [n], new Float32Array(n)) },
    });
    const times = await timeEach([sized(4_000_000), sized(40_000)], { provider, rounds: 3 });
    expect(median(times.get('4000000')!)).toBeGreaterThan(median(times.get('40000')!));
  });
});

test('a model beside its external data is found by its path', async () => {
  await inTemporaryFolder(async (folder) => {
    const file = join(folder, 'model.onnx');
    writeFileSync(file, readFileSync(fixture('bert-external-data')));
    const lone = timeFresh({ name: 'lone', file }, { provider, feeds, runs: 1 });
    await expect(lone).rejects.toMatchObject({ name: 'InputError' });
    const whole = { name: 'whole', file: fixture('bert-external-data') };
    expect((await timeFresh(whole, { provider, feeds, runs: 1 })).latenciesMs).toHaveLength(1);
  });
});
