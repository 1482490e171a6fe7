/** A runner: starts the committed bundle as GitHub's does, with variables and files, and reads what it left. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

export const project = join(import.meta.dirname, '../..');
export const bundle = join(project, 'dist/index.cjs');

export interface Step {
  readonly inputs: Readonly<Record<string, string>>;
  /** The event's name and payload: a push when left out. */
  readonly event?: readonly [name: string, payload: unknown];
  readonly env?: Readonly<Record<string, string>>;
  /** The program: the committed bundle when left out. */
  readonly program?: string;
  /** Receives the process and what it has printed so far, to send it signals. */
  readonly onOutput?: (child: ChildProcess, text: string) => void;
}

export interface StepResult {
  readonly code: number | NodeJS.Signals | null;
  readonly log: string;
  readonly outputs: Readonly<Record<string, string>>;
  readonly state: Readonly<Record<string, string>>;
  readonly summary: string;
}

export interface Runner extends Disposable {
  readonly workspace: string;
  readonly temporary: string;
  run(step: Step): Promise<StepResult>;
}

export const HEAD = 'a'.repeat(40);

/** @param env where GitHub's and the results' servers are */
export function openRunner(env: Readonly<Record<string, string>> = {}): Runner {
  const folder = mkdtempSync(join(tmpdir(), 'ziplm-runner-'));
  const workspace = join(folder, 'work');
  const temporary = join(folder, 'temp');
  for (const each of [workspace, temporary]) mkdirSync(each);
  let count = 0;

  async function run({
    inputs,
    event = ['push', {}],
    program = bundle,
    onOutput,
    ...step
  }: Step): Promise<StepResult> {
    const [name, payload] = event;
    const file = (what: string) => join(temporary, `${what}-${count}`);
    count++;
    for (const what of ['output', 'state', 'summary']) writeFileSync(file(what), '');
    writeFileSync(file('event'), JSON.stringify(payload));
    const child = spawn(process.execPath, [program], {
      cwd: workspace,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
        HOME: folder,
        GITHUB_EVENT_NAME: name,
        GITHUB_EVENT_PATH: file('event'),
        GITHUB_RUN_ID: '41',
        GITHUB_RUN_ATTEMPT: '1',
        GITHUB_REPOSITORY: 'octo/models',
        GITHUB_SERVER_URL: 'https://github.com',
        GITHUB_SHA: HEAD,
        GITHUB_REF: 'refs/heads/main',
        GITHUB_WORKSPACE: workspace,
        GITHUB_OUTPUT: file('output'),
        GITHUB_STATE: file('state'),
        GITHUB_STEP_SUMMARY: file('summary'),
        RUNNER_TEMP: temporary,
        INPUT_TOKEN: 'local-token',
        ...Object.fromEntries(
          Object.entries(inputs).map(([key, value]) => [`INPUT_${key.toUpperCase()}`, value]),
        ),
        ...env,
        ...step.env,
      },
    });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        log += text;
        onOutput?.(child, log);
      });
    }
    const code = await new Promise<StepResult['code']>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status, signal) => resolve(status ?? signal));
    });
    return {
      code,
      log,
      outputs: parseCommands(readFileSync(file('output'), 'utf8')),
      state: parseCommands(readFileSync(file('state'), 'utf8')),
      summary: existsSync(file('summary')) ? readFileSync(file('summary'), 'utf8') : '',
    };
  }

  return {
    workspace,
    temporary,
    run,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The runner's file format: `name=value`, or `name<<DELIMITER`, lines, `DELIMITER`. */
function parseCommands(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const many = /^([^=<]+)<<(.+)$/.exec(lines[i]);
    const one = /^([^=]+)=(.*)$/.exec(lines[i]);
    if (many !== null) {
      const end = lines.indexOf(many[2], i + 1);
      values[many[1]] = lines.slice(i + 1, end).join('\n');
      i = end;
    } else if (one !== null) values[one[1]] = one[2];
  }
  return values;
}
