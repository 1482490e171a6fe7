/**
 * The configuration. `schema` below is the one table that `ziplm.yml`, the command line's flags, the action's
 * inputs, `docs/configuration.md` and `docs/ziplm.schema.json` are made from: a new setting is a new line there.
 *
 * A setting's key is dotted and kebab-case (`data.calibration`, `calibration-rows`); its flag and input have the dots
 * as dashes (`--data-calibration`); in code it is camel-case (`config.data.calibration`, `config.calibrationRows`).
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { z } from 'zod';
import { InputError } from './errors.ts';
import { measureNames } from './evaluate/measures.ts';
import { nearest } from './nearest.ts';

export const DEFAULT_FILE = 'ziplm.yml';

/** Settings that name a file: relative to the configuration file there, to the working directory in flags. */
const files = z.registry<{ readonly path: true }>();
const file = (help: string) => z.string().min(1).describe(help).register(files, { path: true });
/** One file or several, each with a name before an equals sign or without: see `namedFile`. */
const fileList = (help: string) =>
  z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .describe(help)
    .register(files, { path: true });
const count = () => z.int().min(1);
/** A λ of distillation. */
const weight = (standard: number, of: string) =>
  z.number().min(0).max(1000).default(standard).describe(`Weight of ${of}, where there is a teacher.`);
/** The weight of a regime. */
const share = (of: string) =>
  z
    .number()
    .min(0)
    .max(1e9)
    .default(1)
    .describe(`${of}, where \`shape\` has both regimes: only the proportion counts, and 0 leaves it out.`);
const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).prefault({} as never);

const schema = z.strictObject({
  model: file('The model: a folder with model.onnx, config.json and tokenizer.json, or an .onnx file.'),
  task: z
    .enum([
      'text-classification',
      'causal-lm',
      'masked-lm',
      'image-classification',
      'question-answering',
      'token-classification',
      'sentence-similarity',
    ])
    .optional()
    .describe('What the model does; as a rule what `architectures` in its config.json say.'),
  data: section({
    calibration: fileList(
      'Rows that pruning looks at: a JSONL, CSV or Parquet file, or for language models plain text. `run` needs it. A list of files, each `FILE` or `NAME=FILE`, is a domain each.',
    ).optional(),
    training: file('Rows that training learns from; those of data.calibration when left out.').optional(),
    validation: file(
      'Rows that tell training when to stop; when left out, every tenth training row is set aside for it.',
    ).optional(),
    evaluation: file(
      'Rows that the metric is computed on; never seen by pruning. `run` and `evaluate` need it.',
    ).optional(),
    text: z.string().min(1).default('text').describe('The column with the text.'),
    pair: z.string().min(1).optional().describe('The column with the second text, where the task has pairs.'),
    image: z
      .string()
      .min(1)
      .default('image')
      .describe("The column with a picture's path, relative to the file that names it."),
    label: z
      .string()
      .min(1)
      .default('label')
      .describe(
        'The column with the label: a whole number, or a name in config.json; of sentence-similarity, how alike the texts are.',
      ),
    question: z.string().min(1).default('question').describe('The column with the question.'),
    context: z.string().min(1).default('context').describe('The column with the text that holds its answer.'),
    answers: z.string().min(1).default('answers').describe('The column with the right answers.'),
    words: z.string().min(1).default('tokens').describe("The column with a sentence's words, a list."),
    tags: z
      .string()
      .min(1)
      .default('ner_tags')
      .describe("The column with the words' labels, a list of whole numbers or of names in config.json."),
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
    source: count()
      .optional()
      .describe(
        'Tokens that an encoder has read, where a decoder attends to them; as many as are in its cache, or as it reads, when left out.',
      ),
    prompt: z
      .strictObject({
        batch: count()
          .optional()
          .describe(
            'Speed of reading a prompt into an empty cache: rows per batch; `shape.batch` when left out.',
          ),
        sequence: count().optional().describe('Tokens of a prompt; `shape.sequence` when left out.'),
        weight: share('How often a request reads a prompt'),
      })
      .optional(),
    decode: z
      .strictObject({
        batch: count()
          .optional()
          .describe(
            'Speed of a step of generation, against a cache: rows per batch; `shape.batch` where that is set, else 1.',
          ),
        sequence: count().default(1).describe('Tokens that a step reads.'),
        past: count()
          .optional()
          .describe('Tokens in the cache before the step; as many as a prompt has when left out.'),
        weight: share('How many steps a request takes'),
      })
      .optional(),
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
  metric: z.enum(measureNames).optional().describe("What evaluation reports; the task's own when left out."),
  'max-drop': z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      'How far the metric may fall below the dense model (0.01 is one point) before `run` exits with 1; of perplexity, by what share it may rise.',
    ),
  'max-length': count()
    .optional()
    .describe(
      "Tokens a row is cut to for calibration and evaluation, or a window of running text holds; as a rule the tokenizer's own limit, and for windows at most 2048.",
    ),
  stride: count()
    .optional()
    .describe(
      'Tokens by which the windows of a language model advance in evaluation, each but the first scored on what is new to it; a whole window when left out.',
    ),
  'doc-stride': z
    .int()
    .min(0)
    .default(128)
    .describe(
      'Tokens that the windows of a long context share, in question-answering: at most half of what a window holds.',
    ),
  'max-answer-length': count().default(30).describe('Tokens of an answer, at most, in question-answering.'),
  'calibration-rows': count()
    .default(512)
    .describe(
      'How many of the calibration rows are used, of each domain; in the file also `calibration: {rows: …}`.',
    ),
  'evaluation-rows': count()
    .optional()
    .describe('How many of the first evaluation rows the metric is computed on; all when left out.'),
  calibration: section({
    select: z
      .enum(['first', 'random', 'similar', 'adaptive'])
      .default('first')
      .describe(
        'Which calibration rows are used: the first, drawn at random, those that resemble `data.validation`, or those that serve best in trials.',
      ),
    trials: z
      .int()
      .min(2)
      .max(1000)
      .default(8)
      .describe('Choices of rows and damping that `select: adaptive` tries; each prunes every block once.'),
    combine: z
      .enum(['mean', 'worst'])
      .default('mean')
      .describe('How several domains of calibration count: all alike, or the one that loses most.'),
  }),
  damping: z
    .number()
    .gt(0)
    .max(10)
    .default(0.01)
    .describe("What is added to a Hessian's diagonal, as a share of that diagonal's mean."),
  search: section({
    strategy: z
      .enum(['coefficients', 'evolution'])
      .default('coefficients')
      .describe(
        'What the search varies: the coefficients of the dynamic program (ZipLM), or from its solution on the levels themselves (DarwinLM); `search: evolution` for short.',
      ),
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
  const { $schema, properties = {}, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  // What `readSettings` takes beside the table's own spelling.
  const { search, calibration } = properties as Record<string, z.core.JSONSchema.JSONSchema>;
  const { strategy } = search.properties as Record<string, z.core.JSONSchema.JSONSchema>;
  const both: typeof properties = {
    ...properties,
    search: { ...search, type: ['object', 'string'], anyOf: [{ type: 'object' }, { enum: strategy.enum! }] },
    calibration: {
      ...calibration,
      properties: { rows: properties['calibration-rows'], ...calibration.properties },
    },
  };
  return { $schema, title: 'ziplm.yml', ...rest, properties: both };
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
  // A step is one row's as a rule, unless a batch is asked for; which the default of shape.batch does not.
  if (!values.has('shape.decode.batch') && [...values.keys()].some((key) => key.startsWith('shape.decode.')))
    values.set('shape.decode.batch', values.get('shape.batch') ?? 1);
  return camelized(schema.parse(nested(values))) as Config;
}

/**
 * A data file that the work at hand cannot do without.
 * @throws InputError when the configuration does not name it
 */
export function need(config: Config, which: 'calibration' | 'evaluation'): string {
  const path = [config.data[which] ?? []].flat()[0];
  if (path !== undefined) return namedFile(path).file;
  throw new InputError(
    `config: data.${which} is missing. Name a JSONL, CSV or Parquet file by "data: {${which}: …}" or by --data-${which}.`,
  );
}

/** A calibration domain as it is written in a list: `news=data/news.jsonl`, or the file alone, which then is its name too. */
export interface NamedFile {
  readonly name: string;
  readonly file: string;
}

/** Splits `NAME=FILE`. A file whose own name has an equals sign is written with a folder: `./a=b.jsonl`. */
export function namedFile(written: string): NamedFile {
  const [, name, file] = /^([\w-]+)=(.+)$/s.exec(written) ?? [];
  return file === undefined ? { name: basename(written), file: written } : { name, file };
}

/** Settings that stand for their section where a single value is written instead of it: `search: evolution`. */
const shorthands: Readonly<Record<string, string>> = { search: 'search.strategy' };

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
    // A regime is asked for by what it says: one that says nothing would go unheard.
    const isEmpty = isMap(node) && node.items.length === 0 && /\..*\./.test(prefix);
    if (!isMap(node) || isEmpty) {
      const name = prefix === '' ? 'the file' : prefix.slice(0, -1);
      const below = settings.filter((s) => s.key.startsWith(prefix));
      const keys = new Set(below.map((s) => s.key.slice(prefix.length).split('.')[0]));
      const got = isEmpty ? 'an empty one' : shortly(heldBy(node, document));
      throw new InputError(
        `config: ${where}: ${name} must be a mapping with keys among ${[...keys].join(', ')}, got ${got}.`,
      );
    }
    for (const pair of node.items) {
      const name = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
      const line = lines.linePos((pair.key as Node).range?.[0] ?? 0).line;
      const here = `${shown} line ${line}`;
      const key = prefix + name;
      // `calibration: {rows: 8}` is `calibration-rows: 8`: what has the same flag is the same.
      const setting =
        settings.find((s) => s.key === key) ??
        settings.find((s) => s.flag === key.replaceAll('.', '-') && !s.key.includes('.')) ??
        (isScalar(resolved(pair.value, document))
          ? settings.find((s) => s.key === shorthands[key])
          : undefined);
      if (setting !== undefined) {
        const value = heldBy(pair.value, document);
        yield [setting.key, checked(setting, value, `${here}: ${key}`, dirname(path))];
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
  if (result.success) return setting.isPath ? located(result.data as string | string[], base) : result.data;
  const issue = result.error.issues[0];
  const index = issue.path.map((key) => `[${String(key)}]`).join('');
  throw new InputError(`config: ${where}${index} must be ${expected(issue)}, got ${shortly(issue.input)}.`);
}

/** A path made absolute; or each of a list, names left as they are. */
function located(paths: string | readonly string[], base: string): string | string[] {
  if (typeof paths === 'string') return resolve(base, paths);
  return paths.map((path) => {
    const { name, file } = namedFile(path);
    return file === path ? resolve(base, file) : `${name}=${resolve(base, file)}`;
  });
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
    case 'invalid_union':
      return 'a path, or a list of paths';
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
  // A path may hold a blank.
  if (type instanceof z.ZodUnion) {
    const paths = text.split(',').map((path) => path.trim());
    return paths.length === 1 ? text : paths.filter((path) => path !== '');
  }
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
    const path = key.split('.');
    const last = path.pop()!;
    const level = path.reduce((at, name) => {
      at[name] ??= {};
      return at[name] as Record<string, unknown>;
    }, root);
    level[last] = value;
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
