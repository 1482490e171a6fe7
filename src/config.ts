/**
 * The configuration. `schema` below is the one table that `ziplm.yml`, the command line's flags, the action's
 * inputs, `docs/configuration.md` and `docs/ziplm.schema.json` are made from: a new setting is a new line there.
 *
 * A setting's key is dotted and kebab-case (`data.calibration`, `calibration-rows`); its flag and input have the dots
 * as dashes (`--data-calibration`); in code it is camel-case (`config.data.calibration`, `config.calibrationRows`).
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { z } from 'zod';
import { InputError } from './errors.ts';
import { nearest } from './nearest.ts';

export const DEFAULT_FILE = 'ziplm.yml';

/** Settings that name a file: relative to the configuration file there, to the working directory in flags. */
const files = z.registry<{ readonly path: true }>();
const file = (help: string) => z.string().min(1).describe(help).register(files, { path: true });
const count = () => z.int().min(1);
/** A λ of distillation. */
const weight = (standard: number, of: string) =>
  z.number().min(0).max(1000).default(standard).describe(`Weight of ${of}, where there is a teacher.`);
const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).prefault({} as never);

const schema = z.strictObject({
  model: file('The model: a folder with model.onnx, config.json and tokenizer.json, or an .onnx file.'),
  task: z.enum(['text-classification']).default('text-classification').describe('What the model does.'),
  data: section({
    calibration: file('Rows that pruning looks at: a JSONL, CSV or Parquet file. `run` needs it.').optional(),
    training: file('Rows that training learns from; those of data.calibration when left out.').optional(),
    validation: file(
      'Rows that tell training when to stop; when left out, every tenth training row is set aside for it.',
    ).optional(),
    evaluation: file(
      'Rows that the metric is computed on; never seen by pruning. `run` and `evaluate` need it.',
    ).optional(),
    text: z.string().min(1).default('text').describe('The column with the text.'),
    pair: z.string().min(1).optional().describe('The column with the second text, where the task has pairs.'),
    label: z
      .string()
      .min(1)
      .default('label')
      .describe('The column with the label: a whole number, or a name in config.json.'),
  }),
  speedups: z
    .array(z.number().gt(1))
    .min(1)
    .refine((list) => new Set(list).size === list.length, 'a list without repeats')
    .default([1.5, 2, 3])
    .meta({ uniqueItems: true })
    .describe('The speedups to reach against the dense model, one pruned model each.'),
  shape: section({
    batch: count().default(32).describe('Rows per batch.'),
    sequence: count().default(128).describe('Tokens per row.'),
  }).describe('The input shape that speed is promised for.'),
  provider: z
    .enum(['auto', 'cuda', 'webgpu', 'cpu'])
    .default('auto')
    .describe('Where the model runs; `auto` takes the best that works and says which.'),
  threads: z
    .int()
    .min(0)
    .default(0)
    .describe("Threads of one session; 0 is ONNX Runtime's own choice, one per physical core."),
  method: z
    .enum(['one-shot', 'gradual'])
    .default('one-shot')
    .describe(
      '`one-shot` prunes without training; `gradual` distils each pruned model from the dense one, and prunes the next from there.',
    ),
  metric: z.enum(['accuracy', 'f1', 'matthews']).default('accuracy').describe('What evaluation reports.'),
  'max-drop': z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      'How far the metric may fall below the dense model (0.01 is one point) before `run` exits with 1.',
    ),
  'max-length': count()
    .optional()
    .describe("Tokens a row is cut to for calibration and evaluation; as a rule the tokenizer's own limit."),
  'calibration-rows': count().default(512).describe('How many of the first calibration rows are used.'),
  damping: z
    .number()
    .gt(0)
    .max(10)
    .default(0.01)
    .describe("What is added to a Hessian's diagonal, as a share of that diagonal's mean."),
  search: section({
    steps: count().default(60).describe('Candidates that the search evaluates per target.'),
    rows: count().default(256).describe("Calibration rows that a candidate's loss is computed on."),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(0)
      .describe('Seed of everything random in a run.'),
  }),
  train: section({
    epochs: z
      .number()
      .gt(0)
      .max(1000)
      .default(4)
      .describe('Passes over the training rows, for each target of a gradual run; may be a fraction.'),
    'learning-rate': z.number().gt(0).max(1).default(8e-5).describe('The greatest learning rate of AdamW.'),
    batch: count().default(32).describe('Rows of a training step.'),
    sequence: count().optional().describe('Tokens a training row is cut to; `max-length` when left out.'),
    schedule: z
      .enum(['linear', 'cosine', 'constant'])
      .default('linear')
      .describe('How the learning rate goes from its peak to 0, or stays.'),
    warmup: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe('The share of the steps in which the rate rises from 0.'),
    'weight-decay': z
      .number()
      .min(0)
      .max(1)
      .default(0.03)
      .describe('Decoupled decay of matrices and tables.'),
    'lambda-task': weight(0, 'the loss on the labels'),
    'lambda-logit': weight(0.5, "the divergence from the teacher's answers"),
    'lambda-token': weight(0.5, "the distance from the teacher's hidden states"),
    temperature: z
      .number()
      .gt(0)
      .max(100)
      .default(2)
      .describe("What logits are divided by when the teacher's answers are compared."),
    patience: count()
      .default(2)
      .describe('Epochs without a better validation loss after which training stops.'),
    'checkpoint-every': count()
      .default(50)
      .describe('Steps after which training is saved, to go on from when it is killed.'),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(0)
      .describe("Seed of the training rows' order."),
    teacher: file(
      'The model that `train` distils from: a folder or an .onnx file. Without it the labels alone teach.',
    ).optional(),
  }).describe('How gradual runs and `train` train.'),
  rounds: z
    .int()
    .min(3)
    .max(100)
    .default(6)
    .describe('Rounds of fresh processes that time a model against the dense one; 95 % intervals need 6.'),
  output: file('The folder that results are written to.').default('ziplm-out'),
});

type Camel<S extends string> = S extends `${infer A}-${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;
type Camelized<T> = T extends readonly (infer U)[]
  ? readonly U[]
  : T extends object
    ? { readonly [K in keyof T as K extends string ? Camel<K> : never]: Camelized<T[K]> }
    : T;

/** The resolved configuration: every default filled in, every path absolute. */
export type Config = Camelized<z.output<typeof schema>>;

export interface Setting {
  /** `data.calibration` */
  readonly key: string;
  /** `data-calibration`, as a flag after two dashes. */
  readonly flag: string;
  readonly help: string;
  readonly isPath: boolean;
  readonly schema: z.ZodType;
}

/** Every setting, in the table's order. */
export const settings: readonly Setting[] = listSettings(schema, '');

/** The schema that the project publishes, for editors to check `ziplm.yml` by. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  return { $schema, title: 'ziplm.yml', ...rest };
}

/**
 * Reads the configuration file, lays the flags over it, and fills in the defaults.
 *
 * @param file the configuration file; undefined for `ziplm.yml` in `cwd` where there is one, null for none at all
 * @param flags flag name without dashes (`data-calibration`) → what was written; lists by commas
 * @param cwd what paths in flags are relative to
 * @throws InputError in one sentence: which file and line or which flag, expected against got
 */
export function loadConfig(
  file: string | undefined | null,
  flags: Readonly<Record<string, string>>,
  cwd: string = process.cwd(),
): Config {
  const shown = file ?? DEFAULT_FILE;
  const path = resolve(cwd, shown);
  const isThere = file !== null && (file !== undefined || existsSync(path));
  const values = new Map<string, unknown>(isThere ? readSettings(path, shown) : []);
  for (const [flag, text] of Object.entries(flags)) {
    const setting = settings.find((s) => s.flag === flag);
    if (setting === undefined) throw unknown('on the command line', flag, (s) => `--${s.flag}`);
    values.set(setting.key, checked(setting, parseFlag(setting, text), `--${flag}`, cwd));
  }
  if (!values.has('model')) {
    const where = isThere ? `in ${shown}` : `and there is no ${shown} in ${cwd}`;
    throw new InputError(`config: no model is named ${where}. Name one by "model:" there or by --model.`);
  }
  if (!values.has('output')) values.set('output', resolve(cwd, 'ziplm-out'));
  return camelized(schema.parse(nested(values))) as Config;
}

/**
 * A data file that the work at hand cannot do without.
 * @throws InputError when the configuration does not name it
 */
export function need(config: Config, which: 'calibration' | 'evaluation'): string {
  const path = config.data[which];
  if (path !== undefined) return path;
  throw new InputError(
    `config: data.${which} is missing. Name a JSONL, CSV or Parquet file by "data: {${which}: …}" or by --data-${which}.`,
  );
}

/** The settings that a configuration file has, checked, in the order it has them. */
function* readSettings(path: string, shown: string): Generator<[string, unknown]> {
  const lines = new LineCounter();
  const document = parseDocument(readText(path, shown), { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken !== undefined) {
    const line = lines.linePos(broken.pos[0]).line;
    throw new InputError(`config: ${shown} line ${line} is not YAML: ${broken.message.split('\n')[0]}.`);
  }
  if (document.contents === null) return;
  yield* walk(document.contents, '', shown);

  function* walk(written: unknown, prefix: string, where: string): Generator<[string, unknown]> {
    const node = resolved(written, document);
    if (!isMap(node)) {
      const name = prefix === '' ? 'the file' : prefix.slice(0, -1);
      const below = settings.filter((s) => s.key.startsWith(prefix));
      const keys = new Set(below.map((s) => s.key.slice(prefix.length).split('.')[0]));
      throw new InputError(
        `config: ${where}: ${name} must be a mapping with keys among ${[...keys].join(', ')}, got ${shortly(heldBy(node, document))}.`,
      );
    }
    for (const pair of node.items) {
      const name = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
      const line = lines.linePos((pair.key as Node).range?.[0] ?? 0).line;
      const here = `${shown} line ${line}`;
      const key = prefix + name;
      const setting = settings.find((s) => s.key === key);
      if (setting !== undefined) {
        const value = heldBy(pair.value, document);
        yield [key, checked(setting, value, `${here}: ${key}`, dirname(path))];
      } else if (settings.some((s) => s.key.startsWith(`${key}.`))) {
        yield* walk(pair.value, `${key}.`, here);
      } else {
        throw unknown(here, key, (s) => `"${s.key}"`);
      }
    }
  }
}

function readText(path: string, shown: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : code;
    throw new InputError(`config: ${shown} cannot be read: ${why}. Give a ziplm.yml, or flags alone.`);
  }
}

const resolved = (node: unknown, document: Document): Node | undefined =>
  (isAlias(node) ? node.resolve(document) : (node as Node | null)) ?? undefined;

/** Scalars and flat lists of them are all that settings hold; deeper is not read, so that nothing in it can circle or grow. */
function heldBy(written: unknown, document: Document): unknown {
  const scalar = (node: unknown) => (isScalar(node) ? node.value : {});
  const node = resolved(written, document);
  if (node === undefined) return undefined;
  return isSeq(node) ? node.items.map((item) => scalar(resolved(item, document))) : scalar(node);
}

/** The value as the setting has it, a path made absolute. */
function checked(setting: Setting, value: unknown, where: string, base: string): unknown {
  const result = setting.schema.safeParse(value === undefined ? null : value, { reportInput: true });
  if (result.success) return setting.isPath ? resolve(base, String(result.data)) : result.data;
  const issue = result.error.issues[0];
  const index = issue.path.map((key) => `[${String(key)}]`).join('');
  throw new InputError(`config: ${where}${index} must be ${expected(issue)}, got ${shortly(issue.input)}.`);
}

/** What the schema wanted, to complete "must be …". */
function expected(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.expected === 'int' ? 'a whole number' : (typeNames[issue.expected] ?? issue.expected);
    case 'invalid_value':
      return issue.values.length === 1 ? String(issue.values[0]) : `one of ${issue.values.join(', ')}`;
    case 'too_small':
      if (issue.origin === 'array') return 'a list of at least one';
      if (issue.origin === 'string') return 'some text';
      return issue.inclusive === true ? `at least ${issue.minimum}` : `greater than ${issue.minimum}`;
    case 'too_big':
      return `at most ${issue.maximum}`;
    default:
      return issue.message;
  }
}

const typeNames: Partial<Record<string, string>> = {
  number: 'a number',
  string: 'a text',
  array: 'a list of numbers',
};

function unknown(where: string, name: string, spell: (setting: Setting) => string): InputError {
  const meant = meantBy(name);
  const hint = meant === undefined ? 'docs/configuration.md lists them.' : `Did you mean ${spell(meant)}?`;
  return new InputError(`config: ${where}: there is no setting "${name}". ${hint}`);
}

/** The setting whose key, flag, or last word is nearest to what was written. */
function meantBy(name: string): Setting | undefined {
  const written = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  // Of settings whose last word is the same, the first is meant.
  const spellings = new Map(
    settings
      .toReversed()
      .flatMap((s) => [s.key.split('.').at(-1)!, s.flag, s.key].map((spelling) => [spelling, s])),
  );
  return spellings.get(nearest(written, [...spellings.keys()]) ?? '');
}

/** What was written after a flag, as YAML would have given it. */
function parseFlag(setting: Setting, text: string): unknown {
  const type = unwrapped(setting.schema);
  const number = (word: string) => (word.trim() === '' || Number.isNaN(Number(word)) ? word : Number(word));
  if (type instanceof z.ZodNumber) return number(text);
  if (type instanceof z.ZodArray)
    return text
      .split(/[\s,]+/)
      .filter((word) => word !== '')
      .map(number);
  return text;
}

/** The type under the default and the optional. */
export function unwrapped(type: z.core.$ZodType): z.core.$ZodType {
  return type instanceof z.ZodDefault || type instanceof z.ZodOptional || type instanceof z.ZodPrefault
    ? unwrapped(type.unwrap())
    : type;
}

function listSettings(object: z.ZodObject, prefix: string): Setting[] {
  return Object.entries(object.shape).flatMap(([name, type]) => {
    const key = prefix + name;
    const inner = unwrapped(type);
    if (inner instanceof z.ZodObject) return listSettings(inner, `${key}.`);
    const help = (type as z.ZodType).description ?? (inner as z.ZodType).description ?? '';
    return [
      { key, flag: key.replaceAll('.', '-'), help, isPath: files.has(inner), schema: type as z.ZodType },
    ];
  });
}

function nested(values: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [key, value] of values) {
    const [head, tail] = key.split('.');
    if (tail === undefined) root[head] = value;
    else root[head] = { ...(root[head] as object), [tail]: value };
  }
  return root;
}

function camelized(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const camel = (key: string) => key.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [camel(key), camelized(inner)]));
}

/** A value on one short line. */
function shortly(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value))
    return `[${value.slice(0, 10).map(shortly).join(', ')}${value.length > 10 ? ', …' : ''}]`;
  if (typeof value === 'object') return '{…}';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
