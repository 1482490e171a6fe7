/**
 * The process that meets the mutants: one after the other, as standard input lists them, an outcome a line on
 * descriptor 3. Whatever it dies of, its parent sees (`watch.ts`).
 *
 * To look at one mutant: npx node test/fuzz/child.ts FIXTURE bytes|fields SEED
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveModel } from '../../src/onnx/save.ts';
import { random } from '../../src/tensor/random.ts';
import { bombs } from './bombs.ts';
import { mutateBytes, pick } from './bytes.ts';
import { mutateFields } from './fields.ts';
import { type Ending, goTheWay } from './way.ts';

export interface Case {
  /** A folder of `test/fixtures`, the name of a bomb, or nothing for what only tries the watch. */
  readonly fixture: string;
  readonly kind: 'bytes' | 'fields' | 'untouched' | 'bomb' | Misdeed;
  readonly seed: number;
}

/** What the watch must see: each is done on purpose. */
export type Misdeed = 'hang' | 'crash' | 'memory' | 'escape' | 'litter';

export type Outcome =
  | Ending
  /** A bug: its stack. */
  | { readonly kind: 'failed'; readonly sentence: string };

export interface Folders {
  /** Where the mutant is put, and where the cut model goes. */
  readonly model: string;
  readonly out: string;
}

const fixtures = join(import.meta.dirname, '../fixtures');

const files = new Map<string, { model: Buffer; others: [string, Buffer][] }>();
function filesOf(name: string) {
  const known = files.get(name);
  if (known) return known;
  const folder = join(fixtures, name);
  const read = (file: string) => readFileSync(join(folder, file));
  const [model] = readdirSync(folder).filter((file) => file.endsWith('.onnx'));
  const others = readdirSync(folder).filter((file) => /\.onnx[._]data$/.test(file));
  const found = {
    model: read(model),
    others: others.map((file): [string, Buffer] => [file, read(file)]),
  };
  files.set(name, found);
  return found;
}

const misdeeds: Record<Misdeed, (folders: Folders) => void> = {
  hang() {
    for (;;);
  },
  crash() {
    process.abort();
  },
  memory() {
    for (const held: unknown[] = []; ; ) held.push(Array.from({ length: 1000 }, () => ({ held })));
  },
  escape({ out }) {
    writeFileSync(join(out, '../outside'), 'x');
  },
  litter({ out }) {
    writeFileSync(join(out, 'litter'), 'x');
  },
};

async function meet({ fixture, kind, seed }: Case, folders: Folders): Promise<Outcome> {
  const next = random(seed);
  const output = join(folders.out, 'cut.onnx');
  try {
    let ending: Ending = { kind: 'refused' };
    if (kind === 'bytes' || kind === 'fields' || kind === 'untouched') {
      const { model, others } = filesOf(fixture);
      const spliced = () =>
        filesOf(
          pick(
            readdirSync(fixtures).filter((name) => !name.includes('.')),
            next,
          ),
        ).model;
      const mutant =
        kind === 'untouched'
          ? model
          : kind === 'bytes'
            ? mutateBytes(model, spliced(), next)
            : mutateFields(model, next);
      for (const [name, bytes] of [['model.onnx', mutant] as const, ...others]) {
        writeFileSync(join(folders.model, name), bytes);
      }
      ending = await goTheWay(join(folders.model, 'model.onnx'), output, next);
    } else if (kind === 'bomb') {
      await saveModel(bombs[fixture](), join(folders.model, 'model.onnx'));
      ending = await goTheWay(join(folders.model, 'model.onnx'), output, next);
    } else misdeeds[kind](folders);
    const written = readdirSync(folders.out).filter(
      (name) => !/^(cut\.onnx|(cut|model)\.onnx[._]data)$/.test(name),
    );
    if (written.length > 0)
      throw new Error(`there are other files than the cut model's: ${written.join(', ')}`);
    return ending;
  } catch (error) {
    return { kind: 'failed', sentence: stackOf(error) };
  } finally {
    for (const folder of [folders.model, folders.out]) {
      for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
    }
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack?.split('\n').slice(0, 8).join('\n')}${cause}`;
}

async function serve(): Promise<void> {
  const { cases, folders } = JSON.parse(readFileSync(0, 'utf8')) as { cases: Case[]; folders: Folders };
  for (const one of cases) writeSync(3, `${JSON.stringify(await meet(one, folders))}\n`);
}

if (import.meta.main) {
  const [fixture, kind, seed] = process.argv.slice(2);
  if (fixture === undefined) await serve();
  else {
    const root = mkdtempSync(join(tmpdir(), 'ziplm-mutant-'));
    const folders: Folders = { model: join(root, 'model'), out: join(root, 'out') };
    for (const folder of [folders.model, folders.out]) mkdirSync(folder);
    console.log(await meet({ fixture, kind: kind as Case['kind'], seed: Number(seed) }, folders));
    rmSync(root, { recursive: true });
  }
}
