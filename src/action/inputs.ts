/**
 * What the action takes and gives: one table of inputs and one of outputs, from which `action.yml` and its page in the
 * documentation are made. Every setting of the configuration is an input too, under its flag's name.
 * @module
 */
import { getInput } from '@actions/core';
import { settings } from '../config.ts';
import { InputError } from '../errors.ts';
import { nearest } from '../nearest.ts';

export interface Input {
  readonly name: string;
  readonly help: string;
  /** As action.yml has it; none for "not given". */
  readonly standard?: string;
  readonly choices?: readonly string[];
  /** The modes that look at it; all of them when left out. */
  readonly modes?: readonly Mode[];
}

export const modes = ['benchmark', 'report', 'release'] as const;
export type Mode = (typeof modes)[number];

const switches = ['true', 'false'] as const;

/** The inputs that no setting of the configuration is behind. */
export const actionInputs = [
  {
    name: 'mode',
    help: 'What to do: `benchmark` prunes and measures here, `report` merges the records of other jobs, `release` attaches the models to a release.',
    standard: 'benchmark',
    choices: modes,
  },
  {
    name: 'config',
    help: 'The configuration file, in the workspace; left out, `ziplm.yml` where there is one.',
    modes: ['benchmark', 'release'],
  },
  {
    name: 'token',
    help: "The token for GitHub's API. For `benchmark` a read-only one is enough.",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of the workflow.
    standard: '${{ github.token }}',
  },
  {
    name: 'title',
    help: 'Names the comment and the check; different titles have a comment and a check each.',
    standard: 'ZipLM',
  },
  {
    name: 'comment',
    help: 'Whether to comment on the pull request.',
    standard: 'true',
    choices: switches,
    modes: ['benchmark', 'report'],
  },
  {
    name: 'check',
    help: 'Whether to make a check run on the head commit.',
    standard: 'true',
    choices: switches,
    modes: ['benchmark', 'report'],
  },
  {
    name: 'summary',
    help: "Whether to write the report into the job's summary.",
    standard: 'true',
    choices: switches,
  },
  {
    name: 'artifacts',
    help: 'Whether to upload the record, the reports and the models.',
    standard: 'true',
    choices: switches,
    modes: ['benchmark'],
  },
  {
    name: 'retention-days',
    help: "Days that uploaded artifacts are kept; left out, the repository's own setting.",
    modes: ['benchmark'],
  },
  {
    name: 'cache',
    help: 'Whether stages (data only) are kept between runs on equal hardware.',
    standard: 'true',
    choices: switches,
    modes: ['benchmark'],
  },
  {
    name: 'dry-run',
    help: 'Print the exact comment, and write nothing to GitHub.',
    standard: 'false',
    choices: switches,
  },
  {
    name: 'artifact-prefix',
    help: 'Records are taken from the artifacts whose names begin with this.',
    standard: 'ziplm-record',
    modes: ['report'],
  },
  {
    name: 'records',
    help: 'Records that are files already: paths or patterns in the workspace, a line each. Left out, they are downloaded from artifacts.',
    modes: ['report'],
  },
  {
    name: 'comment-author',
    help: 'The login that the comments have, where the token is not the one that GitHub gives the job.',
    modes: ['benchmark', 'report'],
  },
  {
    name: 'release-tag',
    help: "The release's tag; left out, the tag that the workflow runs for.",
    modes: ['release'],
  },
  {
    name: 'prerelease',
    help: 'Whether a release that is made is marked as a pre-release.',
    standard: 'false',
    choices: switches,
    modes: ['release'],
  },
  {
    name: 'runtime',
    help: "A folder of the runner's that has `node_modules/onnxruntime-node`; left out, it is found or installed.",
    modes: ['benchmark'],
  },
  {
    name: 'cuda-part',
    help: "ONNX Runtime's CUDA provider, where the runtime lacks it: `download` the pinned build once per runner, or the path of its wheel on the runner.",
    modes: ['benchmark'],
  },
  {
    name: 'cuda-libraries',
    help: "Folders with CUDA's and cuDNN's libraries, a line each, where the system does not find them by itself.",
    modes: ['benchmark'],
  },
] as const satisfies readonly Input[];

type ActionInput = (typeof actionInputs)[number]['name'];

export interface Output {
  readonly name: string;
  readonly help: string;
}

/** `BY TARGET` is a JSON object: `fromJSON(steps.ID.outputs.speedups)['2']`. */
export const actionOutputs = [
  {
    name: 'result',
    help: '`met`, `missed` or `inconclusive`: the worst of all targets; `missed` also where the metric fell by more than `max-drop`.',
  },
  { name: 'met', help: 'How many targets are met.' },
  { name: 'missed', help: 'How many targets are missed.' },
  { name: 'inconclusive', help: 'How many targets are neither.' },
  { name: 'statuses', help: 'Status by target, as JSON.' },
  { name: 'speedups', help: 'Measured speedup (median) by target, as JSON.' },
  { name: 'speedup-lows', help: "Lower end of the speedup's interval by target, as JSON." },
  { name: 'speedup-highs', help: "Upper end of the speedup's interval by target, as JSON." },
  { name: 'latencies-ms', help: 'Latency in milliseconds by target, as JSON.' },
  { name: 'dense-latency-ms', help: "The dense model's latency in milliseconds." },
  { name: 'metric', help: "The metric's name." },
  { name: 'dense-metric', help: "The dense model's metric." },
  { name: 'metrics', help: 'Metric by target, as JSON.' },
  { name: 'metric-changes', help: 'Metric less the dense one by target, as JSON.' },
  { name: 'largest-drop', help: 'How far the metric fell at most; 0 where it fell nowhere.' },
  { name: 'parameters', help: 'Parameters by target, as JSON.' },
  { name: 'dense-parameters', help: "The dense model's parameters." },
  { name: 'bytes', help: 'Size of the model in bytes by target, as JSON.' },
  { name: 'dense-bytes', help: "The dense model's size in bytes." },
  { name: 'models', help: "The model's file by target, as JSON; only from `benchmark`." },
  { name: 'output', help: 'The folder with the results; only from `benchmark`.' },
  { name: 'record', help: 'The file `run.json`; only from `benchmark`.' },
  { name: 'records', help: 'How many records were reported.' },
  { name: 'provider', help: "ONNX Runtime's execution provider." },
  { name: 'fingerprint', help: 'Equal where latencies may be compared.' },
  { name: 'noisy', help: '`true` where the machine was busy, occupied or held back.' },
  { name: 'artifact-url', help: 'The artifact with the models; only from `benchmark`.' },
  { name: 'comment-url', help: 'The comment, where there is one.' },
  { name: 'release-url', help: 'The release; only from `release`.' },
] as const satisfies readonly Output[];

export type OutputName = (typeof actionOutputs)[number]['name'];

/** The inputs, read and checked. */
export interface Inputs {
  readonly mode: Mode;
  readonly config: string | undefined;
  readonly token: string;
  readonly title: string;
  readonly comment: boolean;
  readonly check: boolean;
  readonly summary: boolean;
  readonly artifacts: boolean;
  readonly retentionDays: number | undefined;
  readonly cache: boolean;
  readonly dryRun: boolean;
  readonly artifactPrefix: string;
  /** Patterns. */
  readonly records: readonly string[];
  readonly commentAuthor: string | undefined;
  readonly releaseTag: string | undefined;
  readonly prerelease: boolean;
  readonly runtime: string | undefined;
  readonly cudaPart: string | undefined;
  readonly cudaLibraries: readonly string[];
  /** Settings that were given, by flag: what `loadConfig` takes. */
  readonly flags: Readonly<Record<string, string>>;
}

/**
 * Reads the inputs as the runner hands them over; empty is not given.
 * @throws InputError for a value that is none of the choices
 */
export function readInputs(): Inputs {
  const given = (name: string): string | undefined => getInput(name) || undefined;
  const text = (name: ActionInput): string | undefined => {
    const input: Input = actionInputs.find((i) => i.name === name)!;
    const value = given(name) ?? standardOf(input);
    if (value !== undefined && input.choices?.includes(value) === false) {
      const meant = nearest(value, input.choices);
      throw new InputError(
        `action: the input ${name} is ${JSON.stringify(value.slice(0, 60))}, expected ${input.choices.join(' or ')}.` +
          `${meant === undefined ? ' Correct it in the workflow.' : ` Did you mean ${meant}?`}`,
      );
    }
    return value;
  };
  const lines = (name: ActionInput): string[] =>
    (text(name) ?? '')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  const is = (name: ActionInput): boolean => text(name) === 'true';
  return {
    mode: text('mode') as Mode,
    config: text('config'),
    token: text('token') ?? '',
    title: text('title')!,
    comment: is('comment'),
    check: is('check'),
    summary: is('summary'),
    artifacts: is('artifacts'),
    retentionDays: days(text('retention-days')),
    cache: is('cache'),
    dryRun: is('dry-run'),
    artifactPrefix: text('artifact-prefix')!,
    records: lines('records'),
    commentAuthor: text('comment-author'),
    releaseTag: text('release-tag'),
    prerelease: is('prerelease'),
    runtime: text('runtime'),
    cudaPart: text('cuda-part'),
    cudaLibraries: lines('cuda-libraries'),
    flags: Object.fromEntries(
      settings.flatMap(({ flag }) => {
        const value = given(flag);
        return value === undefined ? [] : [[flag, value]];
      }),
    ),
  };
}

/** The default where the action was started without action.yml; an expression is the runner's to evaluate. */
const standardOf = ({ standard }: Input): string | undefined =>
  standard?.startsWith('${{') === true ? undefined : standard;

function days(written: string | undefined): number | undefined {
  if (written === undefined) return undefined;
  const value = Number(written);
  if (Number.isInteger(value) && value >= 1 && value <= 400) return value;
  throw new InputError(
    `action: the input retention-days is ${JSON.stringify(written.slice(0, 60))}, expected a whole number from 1 to 400. Correct it in the workflow.`,
  );
}
