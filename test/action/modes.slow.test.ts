/** The modes that need no model to run, by the committed bundle: reports from artifacts, and releases. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RunRecord, TargetRecord } from '../../src/record.ts';
import { type FakeGitHub, FORBIDDEN, startGitHub } from '../github/server.ts';
import { zipped } from '../github/zipped.ts';
import { sample } from '../report/sample.ts';
import { HEAD, openRunner, type Runner } from './runner.ts';

let github: FakeGitHub;
let runner: Runner;
beforeEach(async () => {
  github = await startGitHub();
  runner = openRunner({ GITHUB_API_URL: github.url });
});
afterEach(async () => {
  expect(github.violations).toEqual([]);
  await github.close();
  runner[Symbol.dispose]();
});

const archive = (record: unknown) => zipped([{ path: 'run.json', content: JSON.stringify(record) }]);
const met = (target: TargetRecord): TargetRecord => ({
  ...target,
  status: 'met',
  speedup: { median: target.target + 0.2, low: target.target + 0.1, high: target.target + 0.3 },
});

describe('a report of another run’s records', () => {
  const RUN = 900;
  const inputs = { mode: 'report', title: 'Trusted half' };
  const triggered = (head: string, more: object = {}): readonly [string, unknown] => [
    'workflow_run',
    {
      workflow_run: {
        id: RUN,
        run_attempt: 1,
        event: 'pull_request',
        head_sha: HEAD,
        head_branch: 'faster',
        head_repository: { full_name: head },
        ...more,
      },
    },
  ];
  beforeEach(() => {
    github.state.addPull({ number: 7, head: 'stranger/models', sha: HEAD, branch: 'faster' });
    github.state.addPull({ number: 8, head: 'octo/models', sha: 'b'.repeat(40), branch: 'other' });
  });

  test('finds the fork’s pull request by its head, whatever the record says', async () => {
    const record = { ...sample, name: 'see #8 @everyone ::set-output name=result::met' };
    github.state.addArtifact({ name: 'ziplm-record-a', zip: archive(record), runId: RUN, fork: true });
    const { log, code, outputs } = await runner.run({ inputs, event: triggered('stranger/models') });
    expect(code, log).toBe(1);
    expect(outputs.result).toBe('missed');
    expect(github.state.comments.map(({ html_url }) => /issues\/(\d+)#/.exec(String(html_url))?.[1])).toEqual(
      ['7'],
    );
    expect(github.state.comments[0].body).not.toMatch(/@everyone|#8/);
    expect(github.state.checks).toMatchObject([
      { head_sha: HEAD, status: 'completed', conclusion: 'failure' },
    ]);
    expect(log.split('\n').filter((line) => /^\s*::set-output/.test(line))).toEqual([]);
  });

  test('merges a matrix of 40 into one comment within GitHub’s limit', async () => {
    for (let i = 0; i < 40; i++) {
      const hardware = { ...sample.hardware, fingerprint: String(i).padStart(16, '0') };
      const record = { ...sample, name: `model ${i}`, hardware, targets: sample.targets.map(met) };
      github.state.addArtifact({ name: `ziplm-record-${i}`, zip: archive(record), runId: RUN, fork: true });
    }
    const { outputs, code, log } = await runner.run({ inputs, event: triggered('stranger/models') });
    expect(code, log).toBe(0);
    expect(outputs).toMatchObject({ result: 'met', records: '40', met: String(40 * sample.targets.length) });
    expect(github.state.comments).toHaveLength(1);
    expect(String(github.state.comments[0].body).length).toBeLessThan(65_536);
  });

  test('leaves out what is no record, and reports the rest', async () => {
    const good = { ...sample, targets: sample.targets.map(met) };
    const huge = zipped([{ path: 'run.json', content: Buffer.alloc(50 * 2 ** 20, ' ') }]);
    github.state.addArtifact({ name: 'ziplm-record-good', zip: archive(good), runId: RUN });
    github.state.addArtifact({
      name: 'ziplm-record-nan',
      zip: archive({ ...good, fixedMs: Number.NaN }),
      runId: RUN,
    });
    github.state.addArtifact({ name: 'ziplm-record-huge', zip: huge, runId: RUN });
    const forged = {
      ...good,
      targets: [{ ...met(sample.targets[0]), speedup: sample.targets[0].speedup, target: 9 }],
    };
    github.state.addArtifact({ name: 'ziplm-record-forged', zip: archive(forged), runId: RUN });
    const { outputs, log } = await runner.run({ inputs, event: triggered('stranger/models') });
    expect(outputs).toMatchObject({ result: 'met', records: '1' });
    for (const name of ['nan', 'huge', 'forged'])
      expect(log).toMatch(new RegExp(`::warning .*ziplm-record-${name}`));
  });

  test('without permission to comment loses the comment only, and says what to add', async () => {
    github.state.addArtifact({ name: 'ziplm-record-a', zip: archive(sample), runId: RUN });
    github.faults.push({ operation: 'issues/create-comment', status: 403, message: FORBIDDEN });
    const { log, outputs, summary } = await runner.run({ inputs, event: triggered('stranger/models') });
    expect(outputs.result).toBe('missed');
    expect(log).toMatch(
      /::warning title=ZipLM::.*the comment is missing.*permissions:%0A.*pull-requests: write/,
    );
    expect(github.state.checks).toMatchObject([{ status: 'completed' }]);
    expect(summary).toContain(sample.name);
  });

  test('of a branch that has moved on is not posted', async () => {
    github.state.addArtifact({ name: 'ziplm-record-a', zip: archive(sample), runId: RUN });
    const event = triggered('stranger/models', { head_sha: 'c'.repeat(40) });
    const { log } = await runner.run({ inputs, event });
    expect(github.state.comments).toEqual([]);
    expect(log).toMatch(/has moved on since: no comment|No open pull request/);
  });
});

describe('a release', () => {
  /** A family on disk, whose every target is met unless it is told otherwise. */
  function layFamily(targets: readonly TargetRecord[] = sample.targets.map(met)): RunRecord {
    const out = join(runner.workspace, 'out');
    const record: RunRecord = {
      ...sample,
      targets: targets.map((target) => {
        const content = `the model of ${target.target}`;
        mkdirSync(join(out, dirname(target.file)), { recursive: true });
        writeFileSync(join(out, target.file), content);
        return { ...target, sha256: createHash('sha256').update(content).digest('hex') };
      }),
    };
    writeFileSync(join(out, 'run.json'), JSON.stringify(record));
    return record;
  }
  const inputs = { mode: 'release', model: 'model.onnx', output: 'out' };
  const tagged = { GITHUB_REF: 'refs/tags/v1.2.3' };
  beforeEach(() => writeFileSync(join(runner.workspace, 'model.onnx'), ''));
  const push = ['push', {}] as const;

  test('attaches an archive for each target, the record, the reports and their sums; again, changes nothing', async () => {
    const record = layFamily();
    const { code, log, outputs } = await runner.run({ inputs, event: push, env: tagged });
    expect(code, log).toBe(0);
    expect(outputs.result).toBe('met');
    const [release] = github.state.releases as unknown as {
      draft: boolean;
      tag_name: string;
      assets: { name: string }[];
    }[];
    expect(release).toMatchObject({ draft: false, tag_name: 'v1.2.3' });
    const names = release.assets.map(({ name }) => name).sort();
    expect(names).toEqual(
      [
        ...record.targets.map(({ target }) => `${record.name.toLowerCase()}-${target}x.tar.gz`),
        'SHA256SUMS',
        'report.html',
        'report.md',
        'run.json',
      ].sort(),
    );
    const again = await runner.run({ inputs, event: push, env: tagged });
    expect(again.code, again.log).toBe(0);
    expect(github.state.releases).toHaveLength(1);
    expect(release.assets.map(({ name }) => name).sort()).toEqual(names);
  });

  test('of a family with a target that is not met does not happen', async () => {
    layFamily(sample.targets);
    const { code, log, outputs } = await runner.run({ inputs, event: push, env: tagged });
    expect(code).toBe(1);
    expect(outputs.result).toBe('missed');
    expect(log).toContain('Nothing is released');
    layFamily([met(sample.targets[0]), { ...met(sample.targets[1]), status: 'inconclusive' }]);
    const doubtful = await runner.run({ inputs, event: push, env: tagged });
    expect(doubtful.code).toBe(1);
    expect(doubtful.outputs.result).toBe('inconclusive');
    expect(github.state.releases).toEqual([]);
  });

  test('of another file than the one that was measured does not happen', async () => {
    const record = layFamily();
    const file = join(runner.workspace, 'out', record.targets[0].file);
    writeFileSync(file, `${readFileSync(file, 'utf8')} `);
    const { code, log } = await runner.run({ inputs, event: push, env: tagged });
    expect(code).toBe(2);
    expect(log).toMatch(/has the SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}/);
    expect(github.state.releases).toEqual([]);
  });

  test('needs a tag', async () => {
    layFamily();
    const { code, log } = await runner.run({ inputs, event: push });
    expect(code).toBe(2);
    expect(log).toContain('there is no tag to release');
  });
});

describe('CUDA’s libraries', () => {
  const delegated = async (env: Readonly<Record<string, string>>, program: string) => {
    const { inNewProcess } = await import('../../src/action.ts');
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    return inNewProcess(program).finally(() => vi.unstubAllEnvs());
  };

  test('are on the path of a second process, whose end is the step’s', async () => {
    const program = join(runner.workspace, 'program.cjs');
    writeFileSync(program, 'console.log(process.env.LD_LIBRARY_PATH); process.exit(7)');
    const env = {
      INPUT_MODE: 'benchmark',
      LD_LIBRARY_PATH: '/before',
      'INPUT_CUDA-LIBRARIES': '/a\n/b',
    };
    expect(await delegated(env, program)).toBe(7);
    expect(await delegated({ ...env, ZIPLM_LIBRARIES: 'set' }, program)).toBeUndefined();
    expect(await delegated({ ...env, 'INPUT_CUDA-LIBRARIES': '' }, program)).toBeUndefined();
  });

  test('are not taken from the workspace, also not by a link out of it or into it', async () => {
    const link = join(runner.temporary, 'link');
    symlinkSync(runner.workspace, link);
    for (const folder of [runner.workspace, 'lib', join(runner.workspace, 'lib'), link, `/a\n${link}/lib`]) {
      const env = { GITHUB_WORKSPACE: runner.workspace, 'INPUT_CUDA-LIBRARIES': folder };
      await expect(delegated(env, 'nothing.cjs')).rejects.toThrow(/lies in the workspace/);
    }
  });
});
