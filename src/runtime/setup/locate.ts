/**
 * Where ONNX Runtime comes from, for a program that lies alone in a file: an ordered list of places, of which the
 * first that has it wins. Nothing of the workspace is among them: it belongs to whoever wrote the pull request.
 *
 * A *runtime folder* holds `node_modules/onnxruntime-node`; `loadRuntime` and the measuring processes find it by the
 * variable that `useRuntime` sets.
 * @module
 */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { InputError } from '../../errors.ts';
import type { Progress } from '../../progress.ts';
import { runtimeVariable } from '../ort.ts';
import { installedRuntime } from './install.ts';

export interface Places {
  /** A folder that the user names: it has the package, or is the package. */
  readonly given?: string;
  /** The action's own folder: the one that holds `dist/`, `runtime/` and perhaps `node_modules/`. */
  readonly own: string;
  readonly toolCache: string;
  /** From which nothing is loaded. */
  readonly workspace?: string;
}

export interface Located {
  readonly folder: string;
  readonly version: string;
  /** For the log: which place it was. */
  readonly from: string;
}

type Resolver = (places: Places, progress: Progress) => Promise<Located | undefined>;

/** In the order in which they are asked. */
const resolvers: readonly Resolver[] = [
  async ({ given, workspace }) => (given === undefined ? undefined : requireGiven(given, workspace)),
  async ({ own }) => packageIn(own, "the action's own node_modules"),
  async ({ own, toolCache }, progress) =>
    packageIn(await installedRuntime(own, toolCache, progress), 'the tool cache'),
];

/**
 * Finds ONNX Runtime, and installs it into the tool cache where nobody else brought it.
 * @throws InputError when the folder that was named does not have it, or lies in the workspace
 * @throws MachineError when it cannot be installed
 */
export async function locateRuntime(places: Places, progress: Progress): Promise<Located> {
  for (const find of resolvers) {
    const located = await find(places, progress);
    if (located !== undefined) return located;
  }
  throw new Error(`runtime: what was installed below ${places.toolCache} is no onnxruntime-node`);
}

/** From here on, this process and those that it starts load ONNX Runtime from there. */
export function useRuntime({ folder }: Pick<Located, 'folder'>, env: NodeJS.ProcessEnv = process.env): void {
  env[runtimeVariable] = folder;
}

/** Where the package's libraries lie, relative to a runtime folder. */
export function libraryFolder(platform = process.platform, arch = process.arch): string {
  return join('node_modules', 'onnxruntime-node', 'bin', 'napi-v6', platform, arch);
}

/** The package in `folder/node_modules`, if it has libraries for this machine. */
export function packageIn(folder: string, from: string): Located | undefined {
  const manifest = join(folder, 'node_modules', 'onnxruntime-node', 'package.json');
  if (!existsSync(manifest) || !existsSync(join(folder, libraryFolder(), 'onnxruntime_binding.node'))) {
    return undefined;
  }
  const { name, version } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string; version?: string };
  return name === 'onnxruntime-node' && version !== undefined ? { folder, version, from } : undefined;
}

function requireGiven(given: string, workspace: string | undefined): Located {
  if (!existsSync(given)) {
    throw new InputError(
      `runtime: the folder ${given} is not there, expected one with node_modules/onnxruntime-node. Correct the input runtime, or leave it out.`,
    );
  }
  const folder = realpathSync(resolve(given));
  if (workspace !== undefined && `${folder}${sep}`.startsWith(`${realpathSync(workspace)}${sep}`)) {
    throw new InputError(
      `runtime: the folder ${given} lies in the workspace, from which nothing is executed. Name a folder of the runner's, or leave the input runtime out.`,
    );
  }
  // The folder itself, its node_modules, or the package in there.
  for (const candidate of [folder, dirname(folder), dirname(dirname(folder))]) {
    const located = packageIn(candidate, 'the folder that was named');
    const isPackageOrAbove = candidate === folder || folder.startsWith(join(candidate, 'node_modules'));
    if (located !== undefined && isPackageOrAbove) return located;
  }
  throw new InputError(
    `runtime: ${given} has no onnxruntime-node for ${process.platform}-${process.arch}, expected node_modules/onnxruntime-node with its ` +
      'libraries in it. Run `npm install --ignore-scripts onnxruntime-node` there, or leave the input runtime out.',
  );
}
