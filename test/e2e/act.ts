/**
 * Workflows as GitHub runs them, but here: act in self-hosted mode, on committed trees alone, with GitHub and its results
 * service on localhost. See scripts/workflow-tools.sh for where act comes from.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { type FakeResults, runtimeToken, startResults } from '../github/results.ts';
import { type FakeGitHub, startGitHub } from '../github/server.ts';

const project = join(import.meta.dirname, '../..');

export interface WorkflowRun {
  readonly repository: string;
  /** Its path in the repository. */
  readonly workflow: string;
  readonly event: readonly [name: string, payload: unknown];
  readonly inputs?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly runId?: number;
}

export interface Ran {
  readonly code: number | null;
  /** Job → `success`, `failure`; a job that was skipped, or that no runner fits, is not in it. */
  readonly jobs: ReadonlyMap<string, string>;
  /** `job/step` → its outputs. */
  readonly outputs: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly summary: string;
  /** Warnings and errors. */
  readonly annotations: readonly string[];
  /** What was printed, for when a test fails. */
  readonly log: string;
}

export interface Hub extends AsyncDisposable {
  readonly github: FakeGitHub;
  readonly results: FakeResults;
  readonly folder: string;
  /** A repository of what is committed here, after `change` in its folder; `files` are written into it. */
  clone(name: string, files: Readonly<Record<string, string>>): string;
  /** A new repository with just these files, and copies of folders of ours. */
  create(name: string, files: Readonly<Record<string, string>>, change?: (folder: string) => void): string;
  run(run: WorkflowRun): Promise<Ran>;
}

/** @param repository `owner/name` of the repository whose workflows run */
export async function openHub(repository: string): Promise<Hub> {
  const folder = mkdtempSync(join(tmpdir(), 'ziplm-hub-'));
  const github = await startGitHub({ repository });
  const results = await startResults();
  const tools = execFileSync('bash', [join(project, 'scripts/workflow-tools.sh')], {
    encoding: 'utf8',
  }).trim();
  mkdirSync(join(folder, 'home'));
  // What `uses: owner/ziplm@v1` finds: the committed tree of this repository.
  const published = join(folder, 'ziplm');
  git(folder, 'clone', '-q', project, published);
  rmSync(join(published, '.git'), { recursive: true });

  // act copies the tree for actions/checkout by itself, but not where a ref is named: the base branch, then, of which there
  // is one commit here.
  const checkout = join(folder, 'checkout');
  mkdirSync(checkout);
  writeFileSync(
    join(checkout, 'action.yml'),
    'name: checkout\ndescription: stands in\ninputs: {path: {default: .}, ref: {}, persist-credentials: {}}\nruns: {using: node24, main: index.cjs}\n',
  );
  writeFileSync(
    join(checkout, 'index.cjs'),
    "const to = require('node:path').join(process.env.GITHUB_WORKSPACE, process.env.INPUT_PATH);\n" +
      "require('node:child_process').execFileSync('git', ['clone', '-q', process.env.E2E_REPOSITORY, to]);\n",
  );
  const checkoutPin = /actions\/checkout@[0-9a-f]{40}/.exec(
    readFileSync(join(project, '.github/workflows/fork-benchmark.yml'), 'utf8'),
  )![0];

  const commit = (at: string) => {
    git(at, 'add', '-A');
    git(
      at,
      '-c',
      'user.name=e2e',
      '-c',
      'user.email=e2e@localhost',
      'commit',
      '-q',
      '--allow-empty',
      '-m',
      'e2e',
    );
    return at;
  };
  const write = (at: string, files: Readonly<Record<string, string>>) => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(at, path)), { recursive: true });
      writeFileSync(join(at, path), text);
    }
  };

  let count = 0;
  return {
    github,
    results,
    folder,
    clone(name, files) {
      const at = join(folder, name);
      git(folder, 'clone', '-q', project, at);
      git(at, 'remote', 'set-url', 'origin', `https://github.com/${repository}.git`);
      write(at, files);
      return commit(at);
    },
    create(name, files, change) {
      const at = join(folder, name);
      mkdirSync(at);
      git(at, 'init', '-q', '-b', 'main');
      git(at, 'remote', 'add', 'origin', `https://github.com/${repository}.git`);
      write(at, files);
      change?.(at);
      return commit(at);
    },
    async run({ repository: at, workflow, event: [name, payload], inputs = {}, env = {}, runId = 41 }) {
      const eventFile = join(folder, `event-${count++}.json`);
      writeFileSync(eventFile, JSON.stringify(payload));
      const variables = {
        GITHUB_API_URL: github.url,
        GITHUB_GRAPHQL_URL: `${github.url}/graphql`,
        GITHUB_RUN_ID: String(runId),
        ...results.environment,
        ACTIONS_RUNTIME_TOKEN: runtimeToken(`run-${runId}`),
        // One for all runs, as on a runner that stays: what is installed once is found again.
        E2E_REPOSITORY: at,
        RUNNER_TOOL_CACHE: join(folder, 'tools'),
        ...env,
      };
      const child = spawn(
        join(tools, 'act'),
        [
          name,
          '-C',
          at,
          '-W',
          workflow,
          '-e',
          eventFile,
          '--json',
          ...['self-hosted', 'gpu', 'ubuntu-24.04'].flatMap((label) => ['-P', `${label}=-self-hosted`]),
          '--action-cache-path',
          join(folder, 'act'),
          '--local-repository',
          `octo/ziplm@v1=${published}`,
          '--local-repository',
          `${checkoutPin}=${checkout}`,
          '--no-cache-server',
          '-s',
          'GITHUB_TOKEN=local-token-of-the-job',
          ...Object.entries(inputs).flatMap(([key, value]) => ['--input', `${key}=${value}`]),
          ...Object.entries(variables).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
        ],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: {
            HOME: join(folder, 'home'),
            LANG: 'C.UTF-8',
            PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
            // npm's store of packages, so that the runtime's installation is not a download each time.
            ...(process.env.npm_config_cache === undefined
              ? {}
              : { npm_config_cache: process.env.npm_config_cache }),
          },
        },
      );
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text;
        });
      }
      const code = await new Promise<number | null>((resolve, reject) => {
        child.on('error', reject);
        child.on('close', resolve);
      });
      return { code, ...read(output) };
    },
    async [Symbol.asyncDispose]() {
      await github.close();
      await results.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const git = (cwd: string, ...args: readonly string[]) => execFileSync('git', args, { cwd, stdio: 'pipe' });

/** act prints a JSON object per line. */
function read(output: string): Omit<Ran, 'code'> {
  const jobs = new Map<string, string>();
  const outputs = new Map<string, Record<string, string>>();
  const annotations: string[] = [];
  const log: string[] = [];
  let summary = '';
  for (const line of output.split('\n')) {
    let said: Record<string, unknown>;
    try {
      said = JSON.parse(line);
    } catch {
      log.push(line);
      continue;
    }
    const text = (key: string) => (typeof said[key] === 'string' ? (said[key] as string) : '');
    log.push(text('msg'));
    const job = text('jobID') || text('job');
    if (said.jobResult !== undefined) jobs.set(job, text('jobResult'));
    const command = text('command');
    if (command === 'set-output') {
      const step = `${job}/${(said.stepID as string[] | undefined)?.[0] ?? ''}`;
      outputs.set(step, { ...outputs.get(step), [text('name')]: text('arg') });
    } else if (command === 'summary') summary += text('content');
    const annotation = /::(?:warning|error)[^:]*::(.*)/s.exec(text('msg'));
    if (annotation !== null) annotations.push(decodeURIComponent(annotation[1]));
  }
  return { jobs, outputs, annotations, summary, log: log.join('\n') };
}
