/**
 * The law of the house: a file imports its own room and lower floors, never up, never sideways, types included; and
 * a foreign package has one door. `docs/architecture.md` says why.
 *
 * Imports are found in the text. Biome's format, checked before the tests run, puts every `import` and `export …
 * from` at the start of a line.
 */
import { posix } from 'node:path';

/** From the ground up. A name with a slash is a room (a folder of `src`), one without is a file of `src`. */
export const floors: readonly (readonly string[])[] = [
  ['errors.ts', 'progress.ts', 'nearest.ts', 'version.ts'],
  ['tensor/'],
  ['onnx/'],
  ['runtime/', 'structure/', 'autodiff/', 'data/'],
  ['prune/', 'train/', 'evaluate/'],
  ['record.ts', 'config.ts'],
  ['recipe/'],
  ['ziplm.ts'],
  ['report/', 'github/'],
  ['terminal.ts', 'tables.ts', 'flags.ts', 'exit.ts', 'reports.ts'],
  ['action/'],
  ['cli.ts', 'action.ts', 'index.ts'],
];

/** Foreign package → the rooms that may import it. */
export const doors: Readonly<Record<string, readonly string[]>> = {
  '@bufbuild/protobuf': ['onnx/'],
  'onnxruntime-node': ['runtime/'],
  systeminformation: ['runtime/'],
  '@huggingface/tokenizers': ['data/'],
  'csv-parse': ['data/'],
  hyparquet: ['data/'],
  'fastest-levenshtein': ['nearest.ts'],
  zod: ['record.ts', 'config.ts'],
  yaml: ['config.ts'],
  echarts: ['report/'],
  'markdown-table': ['report/'],
  commander: ['cli.ts', 'flags.ts'],
  '@actions/artifact': ['github/'],
  '@actions/core': ['action/', 'action.ts'],
  '@actions/github': ['action/'],
  '@actions/cache': ['github/'],
  '@octokit/rest': ['github/'],
};

/** The room of a file of `src` (a path with forward slashes, relative to it). */
export function roomOf(file: string): string {
  const slash = file.indexOf('/');
  return slash < 0 ? file : file.slice(0, slash + 1);
}

/** What a source text imports, types and dynamic imports included. */
export function importsOf(source: string): string[] {
  const patterns = [
    /^(?:import|export)\s[^;'"`]*?\bfrom\s+['"]([^'"]+)['"]/gm,
    /^import\s+['"]([^'"]+)['"]/gm,
    /\b(?:import|require|createRequire\([^()]*\))\(\s*['"]([^'"]+)['"]/g,
  ];
  return patterns.flatMap((pattern) => [...source.matchAll(pattern)].map(([, specifier]) => specifier));
}

/** The files of `src` that a file imports, relative to `src`. */
export function localImports(file: string, source: string): string[] {
  return importsOf(source)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(file), specifier));
}

/** How a file of `src` breaks the law, one sentence each. */
export function violations(file: string, source: string): string[] {
  const room = roomOf(file);
  const floor = floorOf(room);
  if (floor < 0) return [`${file} is in no room of the house: give "${room}" a floor in test/house.ts`];
  const local = localImports(file, source).flatMap((target) => {
    const other = roomOf(target);
    if (target.startsWith('../')) return [`${file} imports ${target}, which is outside src`];
    if (other === room || (floorOf(other) >= 0 && floorOf(other) < floor)) return [];
    const direction = floorOf(other) < 0 ? 'into no room' : floorOf(other) > floor ? 'up' : 'sideways';
    return [`${file} imports ${target}: ${direction}`];
  });
  const foreign = importsOf(source)
    .filter((specifier) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
    .map(packageOf)
    .filter((name) => !doors[name]?.includes(room))
    .map((name) => `${file} imports ${name}, whose door is ${doors[name]?.join(' or ') ?? 'nowhere'}`);
  return [...local, ...foreign];
}

/** The first cycle among files, as the path that closes it; none when there is none. */
export function cycle(imports: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    path.push(file);
    for (const next of imports.get(file) ?? []) {
      const found = visit(next);
      if (found !== undefined) return found;
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  for (const file of imports.keys()) {
    const found = visit(file);
    if (found !== undefined) return found;
  }
  return undefined;
}

const floorOf = (room: string): number => floors.findIndex((floor) => floor.includes(room));

export const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
