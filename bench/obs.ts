/**
 * Our OBS pass against the published one and its faster forms (../shared/peers/obs_reference.py), interleaved in one run.
 *
 *   npx node bench/obs.ts [--shapes 384x1536,768x3072] [--repeats 3] [--rank1 384x1536] [--threads 2]
 *                         [--damping 0] [--work FOLDER] [--json]
 *
 * The layer is the peer's own random layer of that shape, the same arrays on both sides. In each round every form takes
 * its turn, in an order that turns around from round to round. A turn is two passes of which the faster counts, so that
 * nobody pays for waking up; rank1, which takes seconds or minutes, has one. The peers run in a process of their own.
 * Errors are relative, tr((Ŵ−W)·H·(Ŵ−W)ᵀ) / tr(W·H·Wᵀ) with the undamped H, computed in float64 on both sides.
 * @module
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { markdownTable } from 'markdown-table';
import { openKernels } from '../src/prune/kernels.ts';
import { keptLevels } from '../src/prune/levels.ts';
import { type ObsLevel, obs } from '../src/prune/obs.ts';
import { median } from '../src/tensor/statistics.ts';
import { machineLines, python, spread } from './machine.ts';
import { readFloats, readNpy, writeNpy } from './npy.ts';

const run = promisify(execFile);
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const PEER = here('../../shared/peers/obs_reference.py');

const peerForms = ['lazy', 'inplace', 'rank1'] as const;
type PeerForm = (typeof peerForms)[number];
type Form = 'ours' | PeerForm;

interface Layer {
  /** Where `W.npy` [rows, n] and `H.npy` [n, n] are. */
  readonly folder: string;
  readonly rows: number;
  readonly n: number;
  /** Wᵀ [n, rows], as an ONNX MatMul holds it. */
  readonly wt: Float32Array;
  /** H + λI, as our database builds it. */
  readonly damped: Float64Array;
}

interface Timing {
  readonly pruneSeconds: number;
  readonly invertSeconds: number;
  /** Relative error of each level, from many columns to few. */
  readonly errors?: ReadonlyMap<number, number>;
}

interface ShapeResult {
  readonly shape: string;
  readonly timings: Readonly<Partial<Record<Form, readonly Timing[]>>>;
  readonly levels: readonly LevelResult[];
  /** Removals in the order of the float64 pass before the first that differs, of how many. */
  readonly sameOrder: number;
  readonly removals: number;
}

/** Relative errors of one level. */
interface LevelResult {
  readonly units: number;
  readonly ours: number;
  /** The exact float64 refit of our mask. */
  readonly refit: number;
  /** The peer's lazy pass in float64, of its own mask. */
  readonly float64: number;
  /** The peer's lazy pass in float32. */
  readonly lazy: number;
}

interface Settings {
  readonly repeats: number;
  readonly threads: number;
  readonly damping: number;
  readonly rank1: readonly string[];
  readonly work: string;
}

const note = (message: string) => process.stderr.write(`${message}\n`);

interface PeerAnswer {
  readonly invert_seconds: number;
  readonly prune_seconds: number;
  readonly levels: readonly { readonly units: number; readonly error: number }[];
}

async function askPeer(form: PeerForm, settings: Settings, more: readonly string[]): Promise<PeerAnswer> {
  const { threads, damping } = settings;
  const fixed = ['--algo', form, '--threads', String(threads), '--damp', String(damping)];
  const { stdout } = await run(python, [PEER, ...fixed, ...more], {
    maxBuffer: 1 << 26,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  });
  return (JSON.parse(stdout) as PeerAnswer[])[0];
}

/** The peer's random layer of a shape, with the float64 pass over it. */
async function openLayer(shape: string, settings: Settings) {
  const folder = join(settings.work, shape);
  mkdirSync(folder, { recursive: true });
  const prefix = join(folder, 'float64');
  const float64 = await askPeer('lazy', settings, ['--shape', shape, '--dtype', 'float64', '--save', prefix]);
  const weight = readFloats(`${prefix}.weight.npy`);
  const hessian = readFloats(`${prefix}.hessian.npy`);
  const [rows, n] = weight.shape;
  const wt = new Float32Array(rows * n);
  for (let r = 0; r < rows; r++) for (let j = 0; j < n; j++) wt[j * rows + r] = weight.data[r * n + j];
  const damped = Float64Array.from(hessian.data);
  let mean = 0;
  for (let i = 0; i < n; i++) mean += damped[i * n + i] / n;
  for (let i = 0; i < n; i++) damped[i * n + i] += settings.damping * mean;
  writeNpy(join(folder, 'W.npy'), weight.shape, weight.data);
  writeNpy(join(folder, 'H.npy'), hessian.shape, hessian.data);
  const layer: Layer = { folder, rows, n, wt, damped };
  const order = Array.from(readNpy(`${prefix}.order.npy`).data, Number);
  return { layer, float64: { errors: errorsOf(float64), order } };
}

const errorsOf = ({ levels }: PeerAnswer) => new Map(levels.map(({ units, error }) => [units, error]));

/** The better of two passes, sessions opened and warmed by the first. */
async function timeOurs(layer: Layer, { threads }: Settings) {
  const { wt, damped, rows, n } = layer;
  const groups = Array.from({ length: n }, (_, j) => [j]);
  const levels = keptLevels({ kind: 'mlp', structures: n });
  await using kernels = openKernels({ provider: 'cpu', threads });
  let best: { timing: Timing; levels: readonly ObsLevel[]; order: readonly number[] } | undefined;
  for (let pass = 0; pass < 2; pass++) {
    const begun = performance.now();
    const hinv = await kernels.inverse(damped, n);
    if (hinv === undefined) throw new Error('bench: the Hessian is not positive definite; give --damping');
    const inverted = performance.now();
    const found = await obs({ wt, hinv, rows, groups, levels }, kernels);
    const timing = {
      pruneSeconds: (performance.now() - inverted) / 1e3,
      invertSeconds: (inverted - begun) / 1e3,
    };
    if (best === undefined || total(timing) < total(best.timing)) best = { timing, ...found };
  }
  return best!;
}

async function timePeer(form: PeerForm, { folder }: Layer, settings: Settings): Promise<Timing> {
  const passes = form === 'rank1' ? 1 : 2;
  const files = ['--weight', join(folder, 'W.npy'), '--hessian', join(folder, 'H.npy')];
  const answer = await askPeer(form, settings, [...files, '--repeat', String(passes)]);
  return {
    pruneSeconds: answer.prune_seconds,
    invertSeconds: answer.invert_seconds,
    errors: errorsOf(answer),
  };
}

const total = ({ pruneSeconds, invertSeconds }: Timing) => pruneSeconds + invertSeconds;

async function measureShape(shape: string, settings: Settings): Promise<ShapeResult> {
  note(`${shape}: the float64 pass`);
  const { layer, float64 } = await openLayer(shape, settings);
  const forms: Form[] = [
    'ours',
    'lazy',
    'inplace',
    ...(settings.rank1.includes(shape) ? ['rank1' as const] : []),
  ];
  const timings: Partial<Record<Form, readonly Timing[]>> = {};
  let ours: Awaited<ReturnType<typeof timeOurs>> | undefined;
  for (let round = 0; round < settings.repeats; round++) {
    for (const form of round % 2 === 0 ? forms : forms.toReversed()) {
      if (form === 'ours') ours = await timeOurs(layer, settings);
      const timing = form === 'ours' ? ours!.timing : await timePeer(form, layer, settings);
      timings[form] = [...(timings[form] ?? []), timing];
      note(`${shape}: round ${round + 1}, ${form}: ${total(timing).toFixed(2)} s`);
    }
  }
  note(`${shape}: errors in float64`);
  const errors = await errorsInFloat64(layer, ours!.levels);
  const lazy = timings.lazy!.at(-1)!.errors!;
  const firstOther = ours!.order.findIndex((column, step) => column !== float64.order[step]);
  return {
    shape,
    timings,
    levels: errors.map(({ units, error, refit }) => ({
      units,
      ours: error,
      refit,
      float64: known(float64.errors, units),
      lazy: known(lazy, units),
    })),
    sameOrder: firstOther < 0 ? ours!.order.length : firstOther,
    removals: ours!.order.length,
  };
}

function known(errors: ReadonlyMap<number, number>, units: number): number {
  const error = errors.get(units);
  if (error === undefined) throw new Error(`bench: the peer has no level of ${units} columns`);
  return error;
}

async function errorsInFloat64({ folder, rows }: Layer, levels: readonly ObsLevel[]) {
  for (const { kept, structures, wt } of levels.slice(1)) {
    writeNpy(join(folder, `${kept}.wt.npy`), [kept, rows], wt);
    writeNpy(join(folder, `${kept}.columns.npy`), [kept], Int32Array.from(structures));
  }
  const { stdout } = await run(python, [here('oracle.py'), folder], { maxBuffer: 1 << 26 });
  return JSON.parse(stdout) as { units: number; error: number; refit: number }[];
}

/** Ratio of a peer's seconds to ours in the same round. */
function ratios(result: ShapeResult, form: Form, seconds: (timing: Timing) => number): number[] {
  return result.timings[form]!.map((timing, round) => seconds(timing) / seconds(result.timings.ours![round]));
}

function timeTable(results: readonly ShapeResult[]): string {
  const rows = results.flatMap((result) =>
    (['ours', ...peerForms] as const).flatMap((form) => {
      const timings = result.timings[form];
      if (timings === undefined) return [];
      const pass = (t: Timing) => t.pruneSeconds;
      const times = (seconds: (timing: Timing) => number) =>
        form === 'ours' ? '1' : spread(ratios(result, form, seconds), 1);
      return [
        [
          result.shape,
          form,
          spread(timings.map(pass)),
          spread(timings.map((t) => t.invertSeconds)),
          spread(timings.map(total)),
          times(pass),
          times(total),
        ],
      ];
    }),
  );
  const header = ['layer', 'form', 'pass, s', 'inverse, s', 'both, s', 'pass / ours', 'both / ours'];
  return markdownTable([header, ...rows], { align: ['l', 'l', 'r', 'r', 'r', 'r', 'r'] });
}

const excess = (error: number, oracle: number) => error / oracle - 1;
/** A relative excess, where 0.1 % is 1.0e-3. */
const relative = (share: number) => `${share < 0 ? '−' : '+'}${Math.abs(share).toExponential(1)}`;

function errorTable({ levels }: ShapeResult): string {
  const every = levels.filter((_, i) => i % 6 === 0 || i === levels.length - 1);
  const rows = every.map(({ units, ours, refit, float64, lazy }) => [
    String(units),
    float64.toPrecision(6),
    relative(excess(ours, float64)),
    relative(excess(ours, refit)),
    relative(excess(lazy, float64)),
  ]);
  const worst = (excessOf: (level: LevelResult) => number) => relative(Math.max(...levels.map(excessOf)));
  const last = [
    `worst of ${levels.length}`,
    '',
    worst(({ ours, float64 }) => excess(ours, float64)),
    worst(({ ours, refit }) => excess(ours, refit)),
    worst(({ lazy, float64 }) => excess(lazy, float64)),
  ];
  const header = [
    'columns kept',
    'error, float64 pass',
    'ours above it',
    'ours above our mask refitted',
    'lazy (float32) above it',
  ];
  return markdownTable([header, ...rows, last], { align: ['r', 'r', 'r', 'r', 'r'] });
}

function verdicts(result: ShapeResult): string[] {
  const all = (form: PeerForm) => median(ratios(result, form, total));
  const worst = Math.max(...result.levels.map(({ ours, float64 }) => excess(ours, float64)));
  const say = (passed: boolean, what: string) =>
    `- ${passed ? 'pass' : '**FAIL**'}: ${result.shape}, ${what}`;
  return [
    ...(result.timings.rank1
      ? [say(all('rank1') >= 15, `${all('rank1').toFixed(1)} times as fast as rank1 (at least 15)`)]
      : []),
    say(all('lazy') > 1, `${all('lazy').toFixed(2)} times as fast as lazy (more than 1), inverses included`),
    say(worst <= 1e-3, `every level's error within 0.1 % of the float64 pass's (worst ${relative(worst)})`),
    `- ${result.sameOrder} of ${result.removals} removals in the float64 pass's order before the first other one`,
  ];
}

const { values: flags } = parseArgs({
  options: {
    shapes: { type: 'string', default: '384x1536,768x3072' },
    rank1: { type: 'string', default: '384x1536' },
    repeats: { type: 'string', default: '3' },
    threads: { type: 'string', default: String(availableParallelism()) },
    damping: { type: 'string', default: '0' },
    work: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const work = flags.work ?? mkdtempSync(join(tmpdir(), 'ziplm-bench-'));
try {
  const settings: Settings = {
    repeats: Number(flags.repeats),
    threads: Number(flags.threads),
    damping: Number(flags.damping),
    rank1: flags.rank1.split(','),
    work,
  };
  const machine = await machineLines();
  const results: ShapeResult[] = [];
  for (const shape of flags.shapes.split(',')) results.push(await measureShape(shape, settings));
  const { repeats, threads, damping } = settings;
  if (flags.json) console.log(JSON.stringify({ machine, repeats, threads, damping, results }, null, 1));
  else {
    console.log(machine.join('\n\n'));
    console.log(`\n${repeats} rounds, ${threads} threads, damping ${damping}; median [range]\n`);
    console.log(timeTable(results));
    for (const result of results) console.log(`\n${result.shape}\n\n${errorTable(result)}`);
    console.log(`\n${results.flatMap(verdicts).join('\n')}`);
  }
} finally {
  if (flags.work === undefined) rmSync(work, { recursive: true, force: true });
}
