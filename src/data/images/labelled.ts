/**
 * Which pictures there are, and what is on them: a folder for each class, or rows of a file.
 * @module
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { InputError } from '../../errors.ts';
import type { LabelNames } from '../folder.ts';
import { cellOf, labelParser, readRecords, textOf } from '../rows.ts';

export interface LabelledPicture {
  readonly file: string;
  /** The class's id. */
  readonly label: number;
}

export interface PictureColumns {
  /** The column with a picture's path, relative to the file of rows. */
  readonly image: string;
  readonly label: string;
}

const known: ReadonlySet<string> = new Set(['.jpg', '.jpeg', '.png', '.webp']);
/** Pictures to whoever laid them there, and not read here. */
const foreign: ReadonlySet<string> = new Set([
  '.bmp',
  '.gif',
  '.tif',
  '.tiff',
  '.ppm',
  '.pgm',
  '.avif',
  '.heic',
]);

/**
 * Lists the first `limit` pictures of a data file (JSONL, JSON, CSV, TSV or Parquet), or of a folder that holds one for each
 * class. A folder's classes take turns, so that the first of its pictures are of all classes alike. Labels, and names of
 * folders, are read as `readRows` reads labels; where the configuration names no classes, folders that are not numbers
 * are counted in the order of their names, as torchvision's ImageFolder counts them.
 * @throws InputError for a path, a column or a label that is not there, and for pictures of a format that is not read
 */
export async function listPictures(
  path: string,
  { limit = Number.POSITIVE_INFINITY, image, label }: PictureColumns & { readonly limit?: number },
  labels: LabelNames | undefined,
): Promise<LabelledPicture[]> {
  if (existsSync(path) && statSync(path).isDirectory()) return picturesBelow(path, limit, labels);
  const toLabel = labelParser(labels);
  const records = await readRecords(path, [image, label], limit);
  return records.map(({ values, at }) => ({
    file: resolve(dirname(path), textOf(values, image, at)),
    label: toLabel(cellOf(values, label, at), at),
  }));
}

function picturesBelow(path: string, limit: number, labels: LabelNames | undefined): LabelledPicture[] {
  const classes = readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
    .sort();
  const areNumbers = classes.every((name) => /^\d+$/.test(name));
  const toLabel = labelParser(labels ?? (areNumbers ? undefined : classes));
  const lists = classes.map((name) => {
    const label = toLabel(name, join(path, name));
    return filesBelow(join(path, name)).map((file): LabelledPicture => ({ file, label }));
  });
  const longest = Math.max(0, ...lists.map((list) => list.length));
  const all = Array.from({ length: longest }, (_, turn) =>
    lists.flatMap((list) => list.slice(turn, turn + 1)),
  );
  const pictures = all.flat();
  if (pictures.length > 0) return pictures.slice(0, limit);
  throw new InputError(
    `data: the folder "${path}" holds no pictures, expected a folder for each class with ${[...known].join(', ')} in it. Name another folder, or a file of rows, in data.`,
  );
}

/** The pictures of a folder and of those in it, in the order of their names. */
function filesBelow(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const unread = files.find((file) => foreign.has(extname(file).toLowerCase()));
  if (unread !== undefined) {
    throw new InputError(
      `data: "${unread}" is a picture of a format that is not read, expected ${[...known].join(', ')}. Convert it, or take it out of the folder.`,
    );
  }
  return files.filter((file) => known.has(extname(file).toLowerCase()));
}
