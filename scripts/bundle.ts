/**
 * Writes `dist/`, which is committed: the action and the command line, each as one file that runs alone, and the
 * licences of what is in them. The same sources and packages give the same bytes; a test compares them.
 *
 *   npm run bundle
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** File in `dist/` → the program that it runs. In CommonJS nothing may be awaited at the top. */
const programs: Readonly<Record<string, string>> = {
  'index.cjs': `
    import { dirname } from 'node:path';
    import { start } from './src/action.ts';
    void start(dirname(__dirname), __filename);`,
  'cli.cjs': `
    import { start } from './src/cli.ts';
    void start();`,
};

/** CommonJS has no `import.meta`; files that are started themselves ask for `main`, which a bundle's are not. */
const banner = "const __metaUrl = require('node:url').pathToFileURL(__filename).href;";

/** Name in `dist/` → content. */
export async function bundle(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const packages = new Set<string>();
  for (const [name, contents] of Object.entries(programs)) {
    const { outputFiles, metafile } = await build({
      stdin: { contents, resolveDir: root, sourcefile: name.replace('.cjs', '.ts'), loader: 'ts' },
      absWorkingDir: root,
      outfile: `dist/${name}`,
      bundle: true,
      platform: 'node',
      target: 'node24',
      format: 'cjs',
      // Its libraries are found at run time, by a path that no bundler can follow.
      external: ['onnxruntime-node'],
      define: { 'import.meta.url': '__metaUrl', 'import.meta.main': 'false' },
      banner: { js: name === 'cli.cjs' ? `#!/usr/bin/env node\n${banner}` : banner },
      legalComments: 'none',
      minifyWhitespace: true,
      minifySyntax: true,
      metafile: true,
      write: false,
      logLevel: 'error',
    });
    files.set(name, outputFiles[0].text);
    for (const input of Object.keys(metafile.inputs)) {
      const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
      if (found !== null) packages.add(found[1]);
    }
  }
  files.set('licenses.txt', licences([...packages].sort()));
  return files;
}

/** What is in the bundles, by whom, and under which terms. */
function licences(folders: readonly string[]): string {
  const sections = folders.map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(root, folder, 'package.json'), 'utf8'),
    ) as {
      name: string;
      version: string;
      license?: string;
    };
    const texts = readdirSync(join(root, folder))
      .filter((file) => /^(licen[cs]e|notice|copying)([.-].*)?$/i.test(file))
      .sort()
      .map((file) =>
        readFileSync(join(root, folder, file), 'utf8')
          .replaceAll('\r\n', '\n')
          .trim(),
      );
    return [`${name} ${version}: ${license ?? 'see below'}`, ...texts].join('\n\n');
  });
  const rule = `\n\n${'-'.repeat(80)}\n\n`;
  return `dist/ contains these packages.${rule}${[...new Set(sections)].join(rule)}\n`;
}

if (import.meta.main) {
  const dist = join(root, 'dist');
  if (existsSync(dist)) rmSync(dist, { recursive: true });
  mkdirSync(dist);
  for (const [name, text] of await bundle()) writeFileSync(join(dist, name), text);
}
