/** The committed bundle, driven as a runner does. */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseRecord, type RunRecord } from '../../src/record.ts';
import { type FakeResults, startResults } from '../github/results.ts';
import { type FakeGitHub, startGitHub } from '../github/server.ts';
import { sample } from '../report/sample.ts';
import { example, smallData } from '../small-run.ts';
import { HEAD, openRunner, type Runner, type StepResult } from './runner.ts';

let github: FakeGitHub;
let results: FakeResults;
let runner: Runner;
beforeAll(async () => {
  github = await startGitHub();
  results = await startResults();
  runner = openRunner({ GITHUB_API_URL: github.url, ...results.environment });
});
afterAll(async () => {
  expect(github.violations).toEqual([]);
  await github.close();
  await results.close();
  runner[Symbol.dispose]();
});

const PULL = 7;
/** The event of a pull request of this repository, or of a fork. */
function pullRequest(head = 'octo/models'): readonly [string, unknown] {
  return [
    'pull_request',
    {
      pull_request: {
        number: PULL,
        head: { sha: HEAD, ref: 'faster', repo: { full_name: head } },
        base: { ref: 'main', repo: { full_name: 'octo/models' } },
      },
    },
  ];
}

const setOf = (text: string) => text.split('\n').filter((line) => line.startsWith('::group::'));

describe('a benchmark of a pull request', () => {
  let step: StepResult;
  let record: RunRecord;
  const inputs = {
    mode: 'benchmark',
    model: 'model',
    'data-calibration': 'data/train.jsonl',
    'data-evaluation': 'data/test.jsonl',
    speedups: '1.2',
    'shape-batch': '4',
    'shape-sequence': '32',
    'max-length': '32',
    provider: 'cpu',
    threads: '1',
    'search-steps': '8',
    rounds: '3',
    output: 'out',
  };
  beforeAll(async () => {
    github.state.addPull({ number: PULL, head: 'octo/models', sha: HEAD, branch: 'faster' });
    cpSync(example, join(runner.workspace, 'model'), { recursive: true });
    mkdirSync(join(runner.workspace, 'data'));
    smallData(join(runner.workspace, 'data'));
    step = await runner.run({ inputs, event: pullRequest() });
    record = parseRecord(readFileSync(join(runner.workspace, 'out/run.json'), 'utf8'));
  });

  test('ends as its result says', () => {
    const [target] = record.targets;
    expect(step.code, step.log).toBe(target.status === 'missed' ? 1 : 0);
    expect(step.outputs.result).toBe(target.status);
    expect(JSON.parse(step.outputs.speedups)).toEqual({ '1.2': target.speedup.median });
    expect(step.outputs.record).toBe(join(runner.workspace, 'out/run.json'));
    expect(JSON.parse(step.outputs.models)['1.2']).toBe(join(runner.workspace, 'out/1.2x/model.onnx'));
  });

  test('measures in processes of its own, and says what the machine was like', () => {
    expect(record.targets[0].rounds).toBeGreaterThanOrEqual(3);
    expect(record.hardware.load).toBeGreaterThanOrEqual(0);
    expect(record.hardware.noise).toBeDefined();
  });

  test('tells its chapters as groups of the log, each closed', () => {
    const groups = setOf(step.log);
    for (const chapter of [
      'Whether this may run',
      'ONNX Runtime',
      'The machine',
      'Pruning and measuring',
      'Handing on',
    ]) {
      expect(groups).toContain(`::group::${chapter}`);
    }
    expect(step.log.split('\n').filter((line) => line === '::endgroup::')).toHaveLength(groups.length);
  });

  test('leaves one comment, one completed check, a summary and two artifacts', () => {
    expect(github.state.comments, step.log).toHaveLength(1);
    expect(github.state.comments[0].body).toContain('1.2×');
    expect(step.outputs['comment-url']).toBe(github.state.comments[0].html_url);
    const conclusion = { met: 'success', missed: 'failure', inconclusive: 'neutral' }[step.outputs.result];
    expect(github.state.checks).toMatchObject([
      { head_sha: HEAD, name: 'ZipLM', status: 'completed', conclusion },
    ]);
    expect(step.summary).toContain('1.2×');
    expect(results.artifacts.map(({ name }) => name.replace(/-[0-9a-f]{10}$/, '')).sort()).toEqual([
      'ziplm-models-model',
      'ziplm-record-model',
    ]);
    expect(step.outputs['artifact-url']).toMatch(/\/actions\/runs\/41\/artifacts\/\d+$/);
  });

  test('done again on another runner of equal hardware, takes its stages from the cache and updates the comment', async () => {
    rmSync(join(runner.workspace, 'out'), { recursive: true });
    const again = await runner.run({ inputs, event: pullRequest(), env: { GITHUB_RUN_ATTEMPT: '2' } });
    expect(again.log).toMatch(/[1-9]\d* stages came from the cache/);
    expect(github.state.comments, again.log).toHaveLength(1);
    expect(github.state.checks.every(({ status }) => status === 'completed')).toBe(true);
  });

  test('as a dry run prints the exact comment, and writes nothing', async () => {
    const before = structuredClone([github.state.comments, github.state.checks, results.artifacts.length]);
    const dry = await runner.run({ inputs: { ...inputs, 'dry-run': 'true' }, event: pullRequest() });
    expect([github.state.comments, github.state.checks, results.artifacts.length]).toEqual(before);
    expect(dry.log).toMatch(/::group::The comment, which a dry run does not post\n### ZipLM/);
  });

  test('cancelled, does not leave the check in progress', async () => {
    const cancelled = await runner.run({
      inputs: { ...inputs, output: 'out-cancelled', rounds: '100', cache: 'false' },
      event: pullRequest(),
      env: { GITHUB_RUN_ID: '42' },
      onOutput(child, log) {
        if (log.includes('::group::measuring')) child.kill('SIGINT');
      },
    });
    expect(cancelled.code).toBe(1);
    expect(cancelled.log).toContain('The job was cancelled (SIGINT)');
    expect(github.state.checks.at(-1)).toMatchObject({ status: 'completed', conclusion: 'cancelled' });
  });

  test('killed, has its check ended by the step after the job', async () => {
    const killed = await runner.run({
      inputs: { ...inputs, output: 'out-killed', cache: 'false' },
      event: pullRequest(),
      env: { GITHUB_RUN_ID: '43' },
      onOutput(child, log) {
        if (log.includes('::group::timing')) child.kill('SIGKILL');
      },
    });
    expect(killed.code).toBe('SIGKILL');
    expect(github.state.checks.at(-1)).toMatchObject({ status: 'in_progress' });
    const env = Object.fromEntries(
      Object.entries(killed.state).map(([name, value]) => [`STATE_${name}`, value]),
    );
    const post = await runner.run({ inputs, event: pullRequest(), env });
    expect(post.code).toBe(0);
    expect(github.state.checks.at(-1)).toMatchObject({ status: 'completed', conclusion: 'cancelled' });
    const conclusions = github.state.checks.map(({ conclusion }) => conclusion);
    // An end that is there already is left alone.
    await runner.run({
      inputs,
      event: pullRequest(),
      env: { STATE_check: String(github.state.checks[0].id) },
    });
    expect(github.state.checks.map(({ conclusion }) => conclusion)).toEqual(conclusions);
  });

  test('of a fork is refused before anything is read', async () => {
    const refused = await runner.run({
      inputs: { ...inputs, config: '/etc/passwd' },
      event: pullRequest('stranger/models'),
    });
    expect(refused.code).toBe(2);
    expect(refused.log).toMatch(/::error title=ZipLM::github: nothing was read or run: #7 comes from a fork/);
    expect(refused.log).not.toContain('passwd');
  });

  test('with a path out of the workspace is refused, and its check fails', async () => {
    symlinkSync('/etc', join(runner.workspace, 'etc'));
    for (const path of ['/etc/passwd', 'etc/passwd', '../temp/../../x.jsonl']) {
      const refused = await runner.run({
        inputs: { ...inputs, 'data-evaluation': path },
        event: pullRequest(),
      });
      expect(refused.code).toBe(2);
      expect(refused.log).toMatch(
        /::error title=ZipLM::action: data\.evaluation is .*expected a path in the workspace/,
      );
      expect(github.state.checks.at(-1)).toMatchObject({ status: 'completed', conclusion: 'failure' });
    }
  });

  test('on a provider that is not there ends with 3', async () => {
    const lacking = await runner.run({ inputs: { ...inputs, provider: 'cuda' }, event: pullRequest() });
    expect(lacking.code).toBe(3);
    expect(lacking.log).toMatch(/provider "cuda" is not there/);
  });

  test('executes nothing of the workspace', async () => {
    const trap = join(runner.workspace, 'trapped');
    const module = join(runner.workspace, 'node_modules/onnxruntime-node');
    mkdirSync(module, { recursive: true });
    writeFileSync(
      join(module, 'package.json'),
      '{"name":"onnxruntime-node","version":"9.9.9","main":"index.js"}',
    );
    writeFileSync(join(module, 'index.js'), `require('node:fs').writeFileSync(${JSON.stringify(trap)}, '')`);
    // Nor is a stage believed that the checkout brought along.
    const planted = join(runner.workspace, 'out/.work/rounds-0123456789abcdef.json');
    mkdirSync(dirname(planted), { recursive: true });
    writeFileSync(planted, '[]');
    const stopped = await runner.run({
      inputs: { ...inputs, output: 'out' },
      event: pullRequest(),
      onOutput(child, log) {
        // ONNX Runtime has been found, and models have run on it.
        if (log.includes('::group::Pruning and measuring')) child.kill('SIGINT');
      },
    });
    expect(stopped.log).toContain('onnxruntime-node 1.30.0 from');
    expect(existsSync(trap)).toBe(false);
    expect(existsSync(planted)).toBe(false);
  });
});

describe('a report of records in the workspace', () => {
  const lay = (name: string, record: RunRecord) => {
    mkdirSync(join(runner.workspace, 'records', name), { recursive: true });
    writeFileSync(join(runner.workspace, 'records', name, 'run.json'), JSON.stringify(record));
  };
  const inputs = { mode: 'report', title: 'Matrix', records: 'records/*/run.json' };

  test('is one comment and one check of all of them', async () => {
    lay('one', sample);
    lay('two', { ...sample, name: 'another', hardware: { ...sample.hardware, fingerprint: 'f'.repeat(16) } });
    const comments = github.state.comments.length;
    const step = await runner.run({ inputs, event: pullRequest() });
    expect(step.outputs.records).toBe('2');
    expect(github.state.comments).toHaveLength(comments + 1);
    expect(github.state.comments.at(-1)!.body).toContain('another');
    expect(github.state.checks.at(-1)).toMatchObject({ name: 'Matrix', status: 'completed' });
    const statuses = sample.targets.map(({ status }) => status);
    expect(step.outputs.result).toBe(
      statuses.includes('missed') ? 'missed' : statuses.includes('inconclusive') ? 'inconclusive' : 'met',
    );
  });

  test('without any is the workflow’s mistake', async () => {
    const step = await runner.run({ inputs: { ...inputs, records: 'nowhere/*.json' }, event: pullRequest() });
    expect(step.code).toBe(2);
    expect(step.log).toContain('there is nothing to report');
  });
});
