/**
 * Installing ONNX Runtime into the tool cache: `npm ci` of the lock file in `runtime/`, without scripts. npm checks
 * every package against the lock; what came out is checked against `runtime/SHA256SUMS`, then and at every later use.
 * @module
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MachineError } from '../../errors.ts';
import type { Progress } from '../../progress.ts';
import { holdsAll, parseSums, stored } from './store.ts';

/** Runs npm in a folder; rejects with what it printed last. */
export type Npm = (args: readonly string[], folder: string) => Promise<void>;

/**
 * The runtime folder in the tool cache, installed if it is not there.
 * @param own the folder that holds `runtime/` with the lock file
 * @throws MachineError when npm fails, with its last words
 */
export async function installedRuntime(
  own: string,
  toolCache: string,
  progress: Progress,
  npm: Npm = runNpm,
): Promise<string> {
  const source = join(own, 'runtime');
  const { dependencies } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const version = dependencies['onnxruntime-node'];
  const sums = sumsForHere(readFileSync(join(source, 'SHA256SUMS'), 'utf8'), version);
  return stored(
    { root: toolCache, name: 'onnxruntime-node', version },
    (folder) => holdsAll(folder, sums),
    async (folder) => {
      progress.say(`Installing onnxruntime-node ${version} into the tool cache (once per runner)`);
      for (const name of ['package.json', 'package-lock.json']) {
        await copyFile(join(source, name), join(folder, name));
      }
      await npm(['ci', '--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund'], folder).catch(
        (cause: unknown) => {
          throw new MachineError(
            `runtime: onnxruntime-node ${version} could not be installed: ${(cause as Error).message}. ` +
              'Let the runner reach the npm registry, or install it beforehand and name its folder by the input runtime.',
            { cause },
          );
        },
      );
      await removeOtherPlatforms(join(folder, 'node_modules/onnxruntime-node/bin/napi-v6'));
      if (!(await holdsAll(folder, sums))) {
        throw new MachineError(
          `runtime: the libraries of onnxruntime-node ${version} that npm installed are not those of runtime/SHA256SUMS. ` +
            'Check the registry that npm uses on this runner.',
        );
      }
    },
  );
}

/** The part of the list that concerns this machine. */
function sumsForHere(text: string, version: string): Map<string, string> {
  const here = `/${process.platform}/${process.arch}/`;
  const sums = new Map([...parseSums(text)].filter(([path]) => path.includes(here)));
  if (sums.size === 0) {
    throw new MachineError(
      `runtime: onnxruntime-node ${version} has no libraries for ${process.platform}-${process.arch}, expected x64 or arm64 Linux, ` +
        'arm64 macOS or Windows. Use a runner of that kind.',
    );
  }
  return sums;
}

/** Five sixths of the package are for machines that this is not. */
async function removeOtherPlatforms(libraries: string): Promise<void> {
  for (const platform of await readdir(libraries)) {
    for (const arch of await readdir(join(libraries, platform))) {
      if (platform === process.platform && arch === process.arch) continue;
      await rm(join(libraries, platform, arch), { recursive: true });
    }
  }
}

/** The npm that came with this Node, or else the one on PATH: a runner's own Node brings it along. */
function runNpm(args: readonly string[], folder: string): Promise<void> {
  const beside = join(dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js');
  const [program, ...first] = existsSync(beside) ? [process.execPath, beside] : [npmOnPath];
  return new Promise((resolve, reject) => {
    execFile(
      program,
      [...first, ...args],
      { cwd: folder, timeout: 15 * 60_000, maxBuffer: 16 * 2 ** 20, shell: program === 'npm.cmd' },
      (error, stdout, stderr) => {
        if (error === null) resolve();
        else reject(new Error(lastWords(`${stdout}\n${stderr}`) ?? error.message, { cause: error }));
      },
    );
  });
}

const npmOnPath = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** npm's first line of error, without the place of its log. */
function lastWords(printed: string): string | undefined {
  const lines = printed.split('\n').map((line) => line.trim());
  const errors = lines.filter((line) => /^npm (error|ERR!)/i.test(line) && !/complete log/i.test(line));
  const said = errors.map((line) => line.replace(/^npm (error|ERR!)\s*/i, '')).filter((line) => line !== '');
  return said.length === 0 ? undefined : said.slice(0, 2).join(', ').slice(0, 300);
}
