/**
 * The options from ZipLM's neighbours against the defaults, at equal time (docs/options.md).
 *
 *   npx node bench/options.ts search  --record /tmp/minilm/run.json --work /tmp/options [--seeds 5] [--goals 2,3]
 *   npx node bench/options.ts domains --record /tmp/minilm/run.json --work /tmp/options [--seeds 3] [--goals 2]
 *   npx node bench/options.ts rows    --record /tmp/minilm/run.json --work /tmp/options [--seeds 3] [--goals 2]
 *
 * The latency table is the record's, so that nothing is timed here but the search itself, and databases are kept in the work
 * folder. What counts as time is what the search computed: ids that went through a candidate, padding included, as a share of all
 * that a candidate is judged on. Seconds are shown beside it; they are the machine's mood. Held-out rows are those of the
 * yardstick's test file, which no calibration reads.
 * @module
 */
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadConfig } from '../src/config.ts';
import { klDivergence } from '../src/evaluate/losses.ts';
import { silent } from '../src/progress.ts';
import { openCandidates } from '../src/prune/candidates.ts';
import type { BlockLevels } from '../src/prune/database.ts';
import { type LatencyTable, timeAt } from '../src/prune/latency.ts';
import type { Assignment } from '../src/prune/spdy.ts';
import { type Calibration, openCalibration } from '../src/recipe/calibration.ts';
import { denseGround } from '../src/recipe/ground.ts';
import { openMachine, openModelFolder, prunableBlocks, readFile } from '../src/recipe/job.ts';
import { type Domain, openJudge } from '../src/recipe/judge.ts';
import { openLoss, openObjective, strategies } from '../src/recipe/objective.ts';
import { openStages } from '../src/recipe/stages.ts';
import { databaseStep, type Work } from '../src/recipe/steps.ts';
import { settled, taskOf } from '../src/recipe/tasks/registry.ts';
import type { Dataset } from '../src/recipe/tasks/task.ts';
import { trialsStep } from '../src/recipe/trials.ts';
import { readRecord } from '../src/record.ts';
import { mean } from '../src/tensor/statistics.ts';
import { machineLines } from './machine.ts';

const MODELS = '../shared/models';
const SST2 = `${MODELS}/minilm-sst2`;
const MAILS = `${MODELS}/spam-filter`;

interface Bench {
  readonly work: Work;
  readonly table: LatencyTable;
  readonly goals: readonly number[];
  readonly seeds: number;
  /** Flags over those of the yardstick, as on the command line. */
  with(flags: Readonly<Record<string, string>>): Bench;
}

async function openBench(folder: string, record: string, goals: string, seeds: number): Promise<Bench> {
  const { latencyTable: entries, modelMs, fixedMs } = await readRecord(record);
  const opened = await openModelFolder(SST2);
  const base = { threads: '1' };
  const given = loadConfig('bench/minilm.yml', base);
  const machine = await openMachine(given, silent);
  mkdirSync(folder, { recursive: true });
  const common = { opened, analysis: prunableBlocks(opened), machine, progress: silent };
  const stages = openStages(folder, silent);
  const at = (flags: Readonly<Record<string, string>>): Bench => ({
    work: { ...common, stages, config: settled(loadConfig('bench/minilm.yml', { ...base, ...flags }), opened) },
    table: { entries, modelMs, fixedMs },
    goals: goals.split(',').map(Number),
    seeds,
    with: (more) => at({ ...flags, ...more }),
  });
  return at({});
}

/** The databases of a calibration, and what is asked of candidates. */
async function fieldOf(work: Work, calibration: Calibration) {
  const ground = denseGround(work.opened, work.analysis);
  const databases = await databaseStep(work, ground, calibration);
  const judged = calibration.domains.map((domain) => domain.judged);
  const key = [ground.sha256, calibration.sha256, work.config.damping];
  await using objective = await openObjective(work, ground, databases, judged, key);
  const { priors, rises } = objective;
  const loss = await openLoss(work, ground, databases, judged);
  return { ground, databases, priors, rises, judged: loss.judged, close: loss.close };
}

type OpenField = Awaited<ReturnType<typeof fieldOf>>;

/** One search, from nothing: what it found, and what it cost in evaluations on all rows, and in seconds. */
async function searched(
  { work, table }: Bench,
  { databases, priors, rises, judged, close: _ }: OpenField,
  goal: number,
  steps: number,
) {
  const { search, calibration } = work.config;
  let ids = 0;
  const counted: Domain[] = judged.map(({ costs, measure }) => ({
    costs,
    measure(assignment, batch) {
      ids += costs[batch];
      return measure(assignment, batch);
    },
  }));
  const all = judged.flatMap(({ costs }) => costs).reduce((sum, cost) => sum + cost, 0);
  const judge = openJudge(counted, calibration.combine, search.seed);
  const objective = { ...judge, priors, rises, [Symbol.asyncDispose]: async () => {} };
  const times = work.analysis.blocks.map(({ id }, b) =>
    databases[b].levels.map(({ kept }) => timeAt(table.entries, id, kept)),
  );
  const budget = table.modelMs / goal - table.fixedMs;
  const began = performance.now();
  const found = await strategies[search.strategy](objective, times, budget, { goal, steps, starts: [] }, {
    seed: search.seed,
    progress: silent,
  });
  const seconds = (performance.now() - began) / 1000;
  if (found === undefined) throw new Error(`options: no assignment is ${goal} times as fast`);
  return { ...found, cost: ids / all, seconds };
}

/** Loss against the dense model, and accuracy, of assignments on rows that calibration never saw. */
async function heldOut({ opened, analysis, config, machine }: Work, databases: readonly BlockLevels[], rows: Dataset) {
  const outputs = [opened.model.graph.outputs[0].name];
  const candidates = await openCandidates(opened.model, analysis, databases, { ...machine.session, outputs });
  const task = taskOf(config);
  const answering = { model: opened, session: machine.session, progress: silent };
  const answer = async (assignment: Assignment) => {
    const run = (feeds: Parameters<typeof candidates.run>[1]) => candidates.run(assignment, feeds, outputs);
    return (await task.answer({ run }, rows, answering)) as { logits: number[]; classes: number };
  };
  const dense = await answer(databases.map(() => 0));
  return {
    async of(assignment: Assignment) {
      const own = await answer(assignment);
      const [before, after] = [dense, own].map(({ logits }) => Float32Array.from(logits));
      const accuracy = task.score(own, rows, { metric: config.metric, seed: 0 }).value;
      return { loss: klDivergence(before, after, own.classes), accuracy };
    },
    close: () => candidates[Symbol.asyncDispose](),
  };
}

/** A row of results, each a list over seeds. */
function report(name: string, columns: Readonly<Record<string, readonly number[]>>) {
  const shown = Object.entries(columns).map(([column, values]) => {
    const digits = column.includes('loss') ? 5 : column === 'accuracy' ? 4 : 1;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return `${column} ${mean(values).toFixed(digits)} [${low.toFixed(digits)}-${high.toFixed(digits)}]`;
  });
  console.log(`${name}: ${shown.join(', ')}`);
}

/** Lists by column, of records. */
function columnsOf<T extends Record<string, number>>(rows: readonly T[]): Record<string, number[]> {
  return Object.fromEntries(Object.keys(rows[0]).map((key) => [key, rows.map((row) => row[key])]));
}

/** Evolution against coefficients: the same database, table, start and calibration rows. */
async function compareSearches(bench: Bench): Promise<void> {
  const { work, goals, seeds } = bench;
  const field = await fieldOf(work, await openCalibration(work.opened, work.config, silent));
  const rows = await readFile(work.opened, work.config, 'evaluation', work.config.data.evaluation!, silent);
  const test = await heldOut(work, field.databases, rows);
  for (const goal of goals) {
    const results = { program: [] as Record<string, number>[], coefficients: [] as Record<string, number>[], evolution: [] as Record<string, number>[] };
    for (let seed = 0; seed < seeds; seed++) {
      const run = async (strategy: 'coefficients' | 'evolution', steps: number) => {
        const { work: own } = bench.with({ 'search-strategy': strategy, 'search-seed': String(seed) });
        const found = await searched({ ...bench, work: own }, field, goal, steps);
        const { loss, accuracy } = await test.of(found.assignment);
        const { cost, seconds, evaluations } = found;
        return { 'calibration loss': found.loss, 'held-out loss': loss, accuracy, evaluations, cost, seconds };
      };
      // The program alone is what both begin with.
      if (seed === 0) results.program.push(await run('coefficients', 8));
      const coefficients = await run('coefficients', work.config.search.steps);
      results.coefficients.push(coefficients);
      results.evolution.push(await run('evolution', coefficients.cost));
    }
    for (const [name, found] of Object.entries(results)) report(`${goal}x ${name}`, columnsOf(found));
  }
  await test.close();
  await field.close();
}

/** One domain, both pooled in turn, and both as domains: equal numbers of rows, judged in both. */
async function compareDomains(bench: Bench): Promise<void> {
  const [reviews, mails] = [`${SST2}/train.jsonl`, `${MAILS}/train.jsonl`];
  const half = String(bench.work.config.calibrationRows / 2);
  const halfJudged = String(bench.work.config.search.rows / 2);
  const both = { 'data-calibration': `reviews=${reviews},mails=${mails}`, 'calibration-rows': half, 'search-rows': halfJudged };
  const ways: Readonly<Record<string, Record<string, string>>> = {
    'reviews only': { 'data-calibration': reviews },
    'mails only': { 'data-calibration': mails },
    mean: both,
    worst: { ...both, 'calibration-combine': 'worst' },
  };
  for (const goal of bench.goals) {
    for (const [name, flags] of Object.entries(ways)) {
      const found: Record<string, number>[] = [];
      for (let seed = 0; seed < bench.seeds; seed++) {
        const own = bench.with({ ...flags, 'calibration-select': 'random', 'search-seed': String(seed) });
        const { work } = own;
        const field = await fieldOf(work, await openCalibration(work.opened, work.config, silent));
        const result = await searched(own, field, goal, work.config.search.steps);
        const losses: Record<string, number> = {};
        for (const [domain, file] of [['reviews', SST2], ['mails', MAILS]]) {
          const rows = await readFile(work.opened, work.config, 'evaluation', `${file}/test.jsonl`, silent);
          const test = await heldOut(work, field.databases, rows);
          const { loss, accuracy } = await test.of(result.assignment);
          losses[`held-out loss on ${domain}`] = loss;
          if (domain === 'reviews') losses.accuracy = accuracy;
          await test.close();
        }
        const worst = Math.max(losses['held-out loss on reviews'], losses['held-out loss on mails']);
        found.push({ ...losses, 'worst loss': worst, cost: result.cost });
        await field.close();
      }
      report(`${goal}x ${name}`, columnsOf(found));
    }
  }
}

/** The first rows, random ones, similar ones, and those of trials; and the default with the trials' time spent on more. */
async function compareRows(bench: Bench): Promise<void> {
  const similar = { 'data-validation': `${SST2}/validation.jsonl` };
  const ways: Readonly<Record<string, Record<string, string>>> = {
    first: {},
    random: { 'calibration-select': 'random' },
    similar: { 'calibration-select': 'similar', ...similar },
    adaptive: { 'calibration-select': 'adaptive' },
    'first, four times the rows': { 'calibration-rows': String(4 * bench.work.config.calibrationRows) },
  };
  for (const goal of bench.goals) {
    for (const [name, flags] of Object.entries(ways)) {
      const found: Record<string, number>[] = [];
      for (let seed = 0; seed < bench.seeds; seed++) {
        const own = bench.with({ ...flags, 'search-seed': String(seed), speedups: String(goal) });
        const { opened, config } = own.work;
        const began = performance.now();
        const available = await openCalibration(opened, config, silent);
        const ground = denseGround(opened, own.work.analysis);
        const adapted =
          config.calibration.select === 'adaptive'
            ? await trialsStep(own.work, ground, own.table, available)
            : { calibration: available, damping: config.damping };
        const work = { ...own.work, config: { ...config, damping: adapted.damping } };
        const field = await fieldOf(work, adapted.calibration);
        const chosen = (performance.now() - began) / 1000;
        const result = await searched({ ...own, work }, field, goal, config.search.steps);
        const rows = await readFile(opened, config, 'evaluation', config.data.evaluation!, silent);
        const test = await heldOut(work, field.databases, rows);
        const { loss, accuracy } = await test.of(result.assignment);
        found.push({ 'held-out loss': loss, accuracy, 'seconds before the search': chosen, cost: result.cost });
        await test.close();
        await field.close();
      }
      report(`${goal}x ${name}`, columnsOf(found));
    }
  }
}

const chapters = { search: compareSearches, domains: compareDomains, rows: compareRows } as const;

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: {
      record: { type: 'string' },
      work: { type: 'string' },
      goals: { type: 'string', default: '2' },
      seeds: { type: 'string', default: '3' },
    },
    allowPositionals: true,
  });
  const chapter = positionals[0] as keyof typeof chapters;
  if (!Object.hasOwn(chapters, chapter) || values.record === undefined || values.work === undefined) {
    console.error('usage: npx node bench/options.ts search|domains|rows --record RUN.json --work FOLDER');
    process.exit(2);
  }
  console.log((await machineLines()).join('\n'));
  const bench = await openBench(values.work, values.record, values.goals, Number(values.seeds));
  await chapters[chapter](bench);
}
