/**
 * Paths that a workflow or a configuration names stay in the workspace, wherever symbolic links lead.
 * @module
 */
import { lstatSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { InputError } from '../errors.ts';

/** Files of a model's folder that are looked at; one with more is no model's folder. */
const MAX_FILES = 10_000;

/**
 * The real path of what `path` names, which must lie in one of the folders; what is not there yet lies where its
 * nearest ancestor does.
 * @param folders absolute; as a rule the workspace and the job's temporary folder
 * @throws InputError naming the path and the workspace
 */
export function confined(path: string, what: string, folders: readonly string[]): string {
  const real = realpathOfNearest(resolve(folders[0], path));
  if (folders.some((folder) => isInside(real, realpathSync(folder)))) return real;
  throw new InputError(
    `action: ${what} is ${path}, which leads to ${real}, expected a path in the workspace (${folders[0]}). Copy it there in an earlier step.`,
  );
}

/**
 * The same for all that a folder holds, links in it included; a file is only itself.
 * @throws InputError naming the entry that leads outside
 */
export function confinedTree(path: string, what: string, folders: readonly string[]): string {
  const real = confined(path, what, folders);
  let count = 0;
  const visit = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (++count > MAX_FILES) {
        throw new InputError(
          `action: ${what} is ${path}, which holds more than ${MAX_FILES} files, expected a model's folder. Name that folder.`,
        );
      }
      const child = join(folder, entry.name);
      if (entry.isSymbolicLink()) confined(child, `a file of ${what}`, folders);
      else if (entry.isDirectory() && entry.name !== '.git' && entry.name !== 'node_modules') visit(child);
    }
  };
  if (statSync(real, { throwIfNoEntry: false })?.isDirectory() === true) visit(real);
  return real;
}

function realpathOfNearest(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    // A link that leads to nothing yet would be followed by whoever writes there.
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
      throw new InputError(
        `action: ${path} is a symbolic link that leads nowhere, expected a path in the workspace. Remove it.`,
      );
    }
    return join(realpathOfNearest(dirname(path)), basename(path));
  }
}

const isInside = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);

/** Whether a path, as it is written or where its links lead, lies in a folder. */
export function leadsInto(path: string, folder: string): boolean {
  const full = resolve(folder, path);
  return [full, realpathOfNearest(full)].some(
    (each) => isInside(each, resolve(folder)) || isInside(each, realpathSync(folder)),
  );
}
