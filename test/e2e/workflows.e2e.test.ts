/**
 * Our own workflows and a consumer's, run by act from committed trees, with the committed bundle. That a job ran at all is asserted
 * each time: act skips, and is content, where no runner fits.
 */
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { example, smallData } from '../small-run.ts';
import { type Hub, openHub, type Ran } from './act.ts';

const REPOSITORY = 'octo/models';
const HEAD = 'b'.repeat(40);
const [RUN, FORK_RUN, FORK_SHA] = [41, 42, 'f'.repeat(40)];

let hub: Hub;
beforeAll(async () => {
  hub = await openHub(REPOSITORY);
});
afterEach(() => expect(hub.github.violations).toEqual([]));
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
});

/** The example's configuration, for minutes that are fewer: rows, shape and search are small. */
const small = (model: string, data: string) => `model: ${model}
data: {calibration: ${data}/train.jsonl, evaluation: ${data}/test.jsonl}
speedups: [1.1]
shape: {batch: 8, sequence: 64}
max-length: 64
provider: cpu
threads: 1
calibration-rows: 16
search: {steps: 8, rows: 16}
rounds: 3
`;

const pull = (repository = REPOSITORY, sha = HEAD, number = 7) => ({
  number,
  state: 'open',
  labels: [],
  head: { sha, ref: 'smaller', repo: { full_name: repository, fork: repository !== REPOSITORY } },
  base: { sha: HEAD, ref: 'main', repo: { full_name: REPOSITORY } },
});
const repositoryOf = { full_name: REPOSITORY, name: 'models', owner: { login: 'octo' } };

/** The result that a benchmark may have had: what a busy machine measures is its own affair. */
function expectBenchmarked(ran: Ran, job: string, step: string): void {
  expect([...ran.jobs.keys()], ran.log).toContain(job);
  const result = ran.outputs.get(`${job}/${step}`)?.result;
  expect(['met', 'missed', 'inconclusive'], ran.log).toContain(result);
  expect(ran.jobs.get(job), ran.log).toBe(result === 'missed' ? 'failure' : 'success');
}

describe('a consumer: ten lines of workflow, on a pull request', () => {
  let ran: Ran;
  beforeAll(async () => {
    hub.github.state.addPull({ number: 7, head: REPOSITORY, sha: HEAD, branch: 'smaller' });
    const workflow = readFileSync(join(example, '../workflows/pull-request.yml'), 'utf8');
    const repository = hub.create(
      'consumer',
      {
        '.github/workflows/ziplm.yml': workflow
          .replace('OWNER/ziplm@v1', 'octo/ziplm@v1')
          .replace('- uses: octo', '- id: ziplm\n        uses: octo'),
        'ziplm.yml': small('model', 'data'),
        'data/README': 'Rows to calibrate on and to evaluate.\n',
      },
      (at) => {
        cpSync(example, join(at, 'model'), { recursive: true });
        smallData(join(at, 'data'));
      },
    );
    ran = await hub.run({
      repository,
      workflow: '.github/workflows/ziplm.yml',
      event: [
        'pull_request',
        { action: 'synchronize', number: 7, pull_request: pull(), repository: repositoryOf },
      ],
      runId: RUN,
    });
  });

  test('runs, and says what it measured', () => {
    expectBenchmarked(ran, 'ziplm', 'ziplm');
    const { speedups, statuses } = ran.outputs.get('ziplm/ziplm')!;
    expect(JSON.parse(speedups)['1.1']).toBeGreaterThan(0.5);
    expect(Object.keys(JSON.parse(statuses))).toEqual(['1.1']);
  });

  test('leaves one comment, one completed check, a summary and the artifacts', () => {
    expect(hub.github.state.comments, ran.log).toHaveLength(1);
    expect(hub.github.state.comments[0].body).toContain('1.1×');
    expect(hub.github.state.checks).toMatchObject([{ head_sha: HEAD, status: 'completed' }]);
    expect(ran.summary).toContain('1.1×');
    expect(hub.results.artifacts.map(({ name }) => name.replace(/-[0-9a-f]{10}$/, '')).sort()).toEqual([
      'ziplm-models-model',
      'ziplm-record-model',
    ]);
  });
});

describe('our own workflows', () => {
  let repository: string;
  beforeAll(() => {
    repository = hub.clone('own', {
      'examples/spam-filter/ziplm.yml': small('.', '.'),
      'examples/spam-filter/train.jsonl': head('train.jsonl', 16),
      'examples/spam-filter/test.jsonl': head('test.jsonl', 100),
    });
  });
  const head = (name: string, rows: number) =>
    readFileSync(join(example, name), 'utf8').split('\n', rows).join('\n');

  test('benchmark.yml, by hand: the summary and the check, no comment', async () => {
    const { comments, checks } = hub.github.state;
    const before = [comments.length, checks.length];
    const ran = await hub.run({
      repository,
      workflow: '.github/workflows/benchmark.yml',
      event: [
        'workflow_dispatch',
        { ref: 'refs/heads/main', repository: repositoryOf, inputs: { speedups: '1.15' } },
      ],
      inputs: { speedups: '1.15' },
      runId: 51,
    });
    expectBenchmarked(ran, 'benchmark', 'ziplm');
    expect(ran.summary).toContain('1.15×');
    expect([comments.length, checks.length]).toEqual([before[0], before[1] + 1]);
    expect(checks.at(-1)).toMatchObject({ status: 'completed' });
  });

  test('benchmark.yml is not for forks: no job runs', async () => {
    const ran = await hub.run({
      repository,
      workflow: '.github/workflows/benchmark.yml',
      event: [
        'pull_request',
        { action: 'opened', pull_request: pull('stranger/models', FORK_SHA, 8), repository: repositoryOf },
      ],
    });
    expect(ran.code, ran.log).toBe(0);
    expect(ran.jobs.size).toBe(0);
  });

  describe('the pair for forks', () => {
    const label = `ziplm:${FORK_SHA}`;
    const labelled = {
      action: 'labeled',
      label: { name: label },
      number: 8,
      pull_request: { ...pull('stranger/models', FORK_SHA, 8), labels: [{ name: label }] },
      repository: repositoryOf,
    };
    beforeAll(() => {
      hub.github.state.addPull({
        number: 8,
        head: 'stranger/models',
        sha: FORK_SHA,
        branch: 'smaller',
        labels: [label],
      });
    });

    test('a label by someone who may not write lets nothing in', async () => {
      hub.github.state.permissions.set('passer-by', 'read');
      hub.github.state.addLabelEvent(8, 'labeled', label, 'passer-by');
      const ran = await hub.run({
        repository,
        workflow: '.github/workflows/fork-benchmark.yml',
        event: ['pull_request', labelled],
        runId: FORK_RUN,
      });
      expect(ran.jobs.get('benchmark'), ran.log).toBe('failure');
      expect(ran.annotations.join('\n')).toContain(label);
      expect(hub.results.artifacts.filter(({ run }) => run === `run-${FORK_RUN}`)).toEqual([]);
    });

    test("a maintainer's label for this commit lets it be measured; the other half reports it", async () => {
      const { state } = hub.github;
      const before = state.comments.length;
      state.permissions.set('maintainer', 'write');
      state.addLabelEvent(8, 'labeled', label, 'maintainer');
      const measured = await hub.run({
        repository,
        workflow: '.github/workflows/fork-benchmark.yml',
        event: ['pull_request', labelled],
        runId: FORK_RUN,
      });
      expect([...measured.jobs.keys()], measured.log).toContain('benchmark');
      expect(state.comments.length, 'the untrusted half does not comment').toBe(before);

      // What GitHub lists of that run.
      for (const { name, run } of hub.results.artifacts) {
        if (run !== `run-${FORK_RUN}`) continue;
        const zip = hub.results.blobs.get(`artifact/${run}/${name}.zip`)!;
        state.addArtifact({ name, zip, runId: FORK_RUN, branch: 'smaller', fork: true });
      }
      const reported = await hub.run({
        repository,
        workflow: '.github/workflows/fork-report.yml',
        event: [
          'workflow_run',
          {
            action: 'completed',
            repository: repositoryOf,
            workflow_run: {
              id: FORK_RUN,
              run_attempt: 1,
              event: 'pull_request',
              conclusion: 'success',
              head_sha: FORK_SHA,
              head_branch: 'smaller',
              head_repository: { full_name: 'stranger/models' },
            },
          },
        ],
        runId: 43,
      });
      expect([...reported.jobs.keys()], reported.log).toContain('report');
      expect(state.comments.length, reported.log).toBe(before + 1);
      expect(state.comments.at(-1)).toMatchObject({ issue: 8 });
      expect(state.checks.at(-1)).toMatchObject({ head_sha: FORK_SHA, status: 'completed' });
    });
  });

  test('release.yml, on a tag: a released family, or none where a target is not met', async () => {
    const ran = await hub.run({
      repository,
      workflow: '.github/workflows/release.yml',
      event: ['push', { ref: 'refs/tags/v1.0.0', repository: repositoryOf }],
      env: { GITHUB_REF: 'refs/tags/v1.0.0' },
      runId: 61,
    });
    expect([...ran.jobs.keys()], ran.log).toContain('release');
    const [release] = hub.github.state.releases;
    if (ran.jobs.get('release') === 'success' && release !== undefined) {
      expect(release).toMatchObject({ tag_name: 'v1.0.0', draft: false });
      const names = (release.assets as { name: string }[]).map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(['SHA256SUMS', 'run.json', 'report.md', 'report.html']));
      expect(names.some((name) => name.endsWith('-1.1x.tar.gz'))).toBe(true);
    } else {
      expect(release?.draft ?? true, ran.log).toBe(true);
      expect(ran.annotations.join('\n')).toMatch(/Nothing is released|missed/);
    }
  });
});
