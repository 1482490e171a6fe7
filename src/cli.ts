/**
 * The command line: verbs and flags in, results on standard output, everything else on standard error. Wiring only:
 * the work is in `ziplm.ts`, which is loaded when a verb needs it.
 * @module
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { type Config, loadConfig } from './config.ts';
import { InputError } from './errors.ts';
import { endingOf, exitCodes } from './exit.ts';
import { complaintOf, examples, pick, withFlags, written } from './flags.ts';
import { readRecord } from './record.ts';
import { type Format, formats, render, writeReports } from './reports.ts';
import { isMeasuringChild } from './runtime/entry.ts';
import {
  comparisonText,
  cutText,
  evaluationText,
  graphText,
  inspectionText,
  profileText,
  trainingText,
} from './tables.ts';
import { openTerminal, type Terminal } from './terminal.ts';
import { version } from './version.ts';

type Flags = Readonly<Record<string, unknown>>;

/** What a verb hands back: the JSON document, its text for people, and the exit code where it is not 0. */
interface Result {
  readonly json: unknown;
  readonly text: string;
  readonly code?: number;
}

/** The settings that a verb takes as flags. */
const everything = pick();
const measuring = pick('shape', 'provider', 'threads', 'rounds');
const profiling = pick('model', 'shape', 'provider', 'threads', 'output');
const training = pick('model', 'task', 'data', 'provider', 'threads', 'metric', 'max-length').concat(
  pick('shape.sequence', 'train', 'search.seed', 'output'),
);
const evaluating = pick(
  'task',
  'data.evaluation',
  'data.text',
  'data.pair',
  'data.label',
  'shape.batch',
).concat(pick('provider', 'threads', 'metric', 'max-length', 'search.seed'));

/**
 * Runs one command line.
 * @param args without Node and the program
 * @returns the exit code
 */
export async function main(args: readonly string[]): Promise<number> {
  const terminal = openTerminal(process.stderr);
  let code: number = exitCodes.done;
  const program = commandLine(terminal, (result, asJson) => {
    terminal.close();
    process.stdout.write(`${asJson ? JSON.stringify(result.json, null, 2) : result.text.trimEnd()}\n`);
    code = result.code ?? exitCodes.done;
  });
  const interrupt = (signal: NodeJS.Signals, status: number) =>
    process.on(signal, () => {
      terminal.close();
      terminal.say(`Stopped by ${signal}. Finished stages are kept: the same command goes on from there.`);
      // Measuring processes end when their standard input does, which is with this process.
      process.exit(status);
    });
  interrupt('SIGINT', 130);
  interrupt('SIGTERM', 143);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    terminal.close();
    if (error instanceof CommanderError) {
      const complaint = complaintOf(error);
      if (complaint !== undefined) process.stderr.write(`${complaint}\n`);
      return error.exitCode === 0 ? exitCodes.done : exitCodes.input;
    }
    const ending = endingOf(error);
    process.stderr.write(`${ending.message}\n`);
    return ending.code;
  }
}

function commandLine(terminal: Terminal, print: (result: Result, asJson: boolean) => void): Command {
  const program = new Command('ziplm')
    .description('Prunes a transformer in ONNX to speedups that are measured on your hardware.')
    .version(version(), '--version', 'print the version')
    .option('--json', 'print exactly one JSON document on standard output')
    .configureHelp({ showGlobalOptions: true })
    .helpCommand(false)
    .addHelpText(
      'after',
      examples('ziplm run ziplm.yml', 'ziplm inspect model.onnx --json', 'ziplm run --help'),
    )
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 a target or threshold was missed, 2 wrong input, 3 the machine lacks something.',
    );

  const verb = (
    usage: string,
    summary: string,
    work: (args: string[], flags: Flags) => Promise<Result>,
  ): Command => {
    const command = program.command(usage).description(summary).configureHelp({ showGlobalOptions: true });
    return command.action(async () => {
      const flags = command.optsWithGlobals<Flags>();
      print(await work(command.processedArgs.flat(), flags), flags.json === true);
    });
  };

  withFlags(
    verb('run [config]', 'prune to every target, measure, evaluate, and report', async ([file], flags) => {
      const config = loadConfig(file, written(flags, everything));
      return runVerb(config, terminal);
    }),
    everything,
    'ziplm run',
    'ziplm run ziplm.yml --speedups 1.5,2 --output out',
    'ziplm run --model model/ --data-calibration train.jsonl --data-evaluation test.jsonl --speedups 2',
  );

  withFlags(
    verb(
      'train [config]',
      'fine-tune a model on labels, or distil it from a teacher',
      async ([file], flags) => {
        const config = loadConfig(file, written(flags, training));
        const { trainModel } = await import('./ziplm.ts');
        const result = await trainModel(config, config.output, terminal);
        return { json: result, text: trainingText(result) };
      },
    ),
    training,
    'ziplm train',
    'ziplm train --model model/ --data-training train.jsonl --train-epochs 3 --output out',
    'ziplm train --model small/ --train-teacher large/ --data-training train.jsonl',
  );

  withFlags(
    verb('profile [config]', "measure the hardware's latency table only", async ([file], flags) => {
      const config = loadConfig(file, written(flags, profiling));
      const { profile } = await import('./ziplm.ts');
      const result = await profile(config, config.output, terminal);
      return { json: result, text: profileText(result) };
    }),
    profiling,
    'ziplm profile',
    'ziplm profile --model model.onnx --shape-batch 1 --shape-sequence 128',
  );

  verb('inspect <model>', 'list what can be removed, and what is refused and why', async ([model], flags) => {
    const { inspect } = await import('./ziplm.ts');
    const graph = flags.graph === true ? 'all' : (flags.graph as string | undefined);
    const result = await inspect(model, graph);
    const drawings = Object.entries(result.graphs ?? {}).map(([id, lane]) => graphText(id, lane));
    return { json: result, text: graph === undefined ? inspectionText(result) : drawings.join('\n\n') };
  })
    .option('--graph [block]', 'draw a block, or all blocks, as the steps between its matrices')
    .addHelpText(
      'after',
      examples(
        'ziplm inspect model.onnx',
        'ziplm inspect model.onnx --graph attention.0',
        'ziplm inspect model/ --json',
      ),
    );

  verb(
    'cut <model>',
    'remove the named structures as they are, and write the smaller model',
    async ([model], flags) => {
      const file = String(flags.output);
      const removal = readRemoval(String(flags.remove));
      const { cutModel } = await import('./ziplm.ts');
      const result = await cutModel(model, removal, file, flags.cache as 'keep' | 'compact');
      return { json: result, text: cutText(result) };
    },
  )
    .requiredOption('--remove <file>', 'JSON: {"attention.0": [0, 3], "mlp.0": [1, 5]}')
    .requiredOption('--output <file>', 'the .onnx file to write')
    .addOption(
      new Option(
        '--cache <form>',
        'inputs and outputs that count heads: keep them all, with zeros for those removed, so that the same code drives the model; or compact, cut with the model',
      )
        .choices(['keep', 'compact'])
        .default('keep'),
    )
    .addHelpText('after', examples('ziplm cut model.onnx --remove remove.json --output smaller.onnx'));

  withFlags(
    verb(
      'compare <dense> <others...>',
      'time models against the first by rounds of fresh processes',
      async (files, flags) => {
        const [dense, ...others] = files;
        const config = loadConfig(null, { ...written(flags, measuring), model: dense });
        const { compare } = await import('./ziplm.ts');
        const result = await compare(dense, others, config, terminal);
        return { json: result, text: comparisonText(result) };
      },
    ),
    measuring,
    'ziplm compare model.onnx smaller.onnx --shape-batch 32 --shape-sequence 64',
  );

  withFlags(
    verb(
      'evaluate <model> [config]',
      "compute the task's metric with its interval",
      async ([model, file], flags) => {
        const config = loadConfig(file, { ...written(flags, evaluating), model });
        const { evaluate } = await import('./ziplm.ts');
        const result = await evaluate(model, config, terminal);
        return { json: result, text: evaluationText(result) };
      },
    ),
    evaluating,
    'ziplm evaluate ziplm-out/2x ziplm.yml',
    'ziplm evaluate model/ --data-evaluation test.jsonl --metric f1',
  );

  verb(
    'report <records...>',
    'render run records, merged where they belong together',
    async (files, flags) => {
      const { mergeRecords } = await import('./report/merge.ts');
      const records = await Promise.all(files.map(readRecord));
      return { json: mergeRecords(records), text: await render(records, flags.format as Format) };
    },
  )
    .addOption(new Option('--format <format>', 'what to render').choices(formats).default('text'))
    .addHelpText(
      'after',
      examples(
        'ziplm report ziplm-out/run.json',
        'ziplm report a/run.json b/run.json --format html > report.html',
      ),
    );

  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  return program;
}

async function runVerb(config: Config, terminal: Terminal): Promise<Result> {
  const { run } = await import('./ziplm.ts');
  const record = await run(config, config.output, terminal);
  await writeReports([record], config.output);
  terminal.close();
  terminal.say(`Models, run.json, report.md and report.html are in ${config.output}`);
  const missed = record.targets.filter((t) => t.status !== 'met');
  for (const { target, status } of missed) terminal.warn(`the target of ${target}× is ${status}`);
  const { maxDrop } = config;
  const dropped = record.targets.filter((t) => maxDrop !== undefined && -t.metric.delta > maxDrop);
  for (const { target, metric } of dropped) {
    terminal.warn(
      `at ${target}× ${metric.name} falls by ${(-metric.delta).toFixed(4)}, more than max-drop (${maxDrop})`,
    );
  }
  const code = missed.length + dropped.length > 0 ? exitCodes.missed : exitCodes.done;
  return { json: record, text: await render([record], 'text'), code };
}

/** The structures that `cut --remove FILE` names. */
function readRemoval(file: string): Record<string, number[]> {
  const shape =
    'expected {"attention.0": [0, 3], "mlp.0": [1]}: block ids, as `ziplm inspect` lists them, to indices';
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? 'it is a folder'
          : (cause as Error).message;
    throw new InputError(`cut: --remove ${file} cannot be read: ${why}; ${shape}.`);
  }
  const isIndices = (list: unknown) =>
    Array.isArray(list) && list.every((i) => Number.isInteger(i) && i >= 0);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new InputError(`cut: --remove ${file} holds ${JSON.stringify(value).slice(0, 60)}, ${shape}.`);
  }
  for (const [id, list] of Object.entries(value)) {
    if (!isIndices(list))
      throw new InputError(
        `cut: --remove ${file}: "${id}" is ${JSON.stringify(list).slice(0, 60)}, ${shape}.`,
      );
  }
  return value as Record<string, number[]>;
}

/** The program itself: what this file does when it is started, and what a bundle of it does. */
export async function start(): Promise<void> {
  if (isMeasuringChild()) return (await import('./runtime/child.ts')).serveChild();
  const end = (error: Error) => {
    const { code, message } = endingOf(error);
    process.stderr.write(`${message}\n`);
    process.exit(code);
  };
  process.on('uncaughtException', end);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has had enough (`ziplm … | head`) is no failure.
    if (error.code === 'EPIPE') process.exit(exitCodes.done);
    end(error);
  });
  process.exitCode = await main(process.argv.slice(2));
}

if (import.meta.main) void start();
