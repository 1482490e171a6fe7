/**
 * Stages that survive: each stage's result is written whole, under a key of what it depends on. A run that was
 * killed finds what was finished; a second run reuses what still holds.
 *
 * A result is a JSON file or a folder, `NAME-KEY`, written beside its final name and renamed: it is there entirely
 * or not at all.
 * @module
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Progress } from '../progress.ts';

/** Results of another layout are not read: raise this when a stage's stored form changes. */
const FORMAT = 1;

export interface Stages {
  /** The result of `compute`, or what an earlier run stored under the same name and key. */
  json<T>(name: string, key: unknown, compute: () => Promise<T>): Promise<T>;
  /** The same for a result that is files: `compute` fills the folder that it is given. Returns the finished folder. */
  folder(name: string, key: unknown, compute: (folder: string) => Promise<void>): Promise<string>;
  /** Work whose result is not kept, but whose time counts. */
  timed<T>(chapter: string, work: () => Promise<T>): Promise<T>;
  /** Where results are kept, and whatever a stage needs to go on from when it is killed in its middle. */
  readonly root: string;
  /** Whether a stage's result is already there. */
  has(name: string, key: unknown): boolean;
  /** Wall time by chapter, of what this run computed. */
  readonly seconds: Record<string, number>;
  readonly reused: string[];
}

/** A stable digest of JSON-like data: object keys sorted. */
export function digest(value: unknown): string {
  const stable = (_: string, item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item;
  return createHash('sha256').update(JSON.stringify(value, stable)).digest('hex').slice(0, 16);
}

/**
 * Opens the folder of stored stages; unfinished leftovers of a killed run are removed.
 * @param now milliseconds, for the stages' times
 */
export function openStages(folder: string, progress: Progress, now: () => number = Date.now): Stages {
  mkdirSync(folder, { recursive: true });
  for (const entry of readdirSync(folder)) {
    if (entry.endsWith('.partial')) rmSync(join(folder, entry), { recursive: true });
  }
  const seconds: Record<string, number> = {};
  const reused: string[] = [];
  const pathOf = (name: string, key: unknown) => join(folder, `${name}-${digest([FORMAT, name, key])}`);

  async function stage(name: string, path: string, write: (partial: string) => Promise<void>) {
    if (existsSync(path)) {
      reused.push(name);
      progress.say(`${name}: reused from an earlier run`);
      return;
    }
    const began = now();
    const partial = `${path}.partial`;
    try {
      await write(partial);
      renameSync(partial, path);
    } catch (error) {
      rmSync(partial, { recursive: true, force: true });
      throw error;
    }
    addSeconds(name, began);
  }

  /** Stages of one kind (`levels-mlp.0`, `search-2.040`) are one chapter. */
  function addSeconds(name: string, began: number) {
    const [chapter] = name.split('-');
    seconds[chapter] = (seconds[chapter] ?? 0) + (now() - began) / 1000;
  }

  return {
    root: folder,
    seconds,
    reused,
    async timed(chapter, work) {
      const began = now();
      const result = await work();
      addSeconds(chapter, began);
      return result;
    },
    has: (name, key) => existsSync(pathOf(name, key)) || existsSync(`${pathOf(name, key)}.json`),
    async json<T>(name: string, key: unknown, compute: () => Promise<T>): Promise<T> {
      const path = `${pathOf(name, key)}.json`;
      await stage(name, path, async (partial) => writeFileSync(partial, JSON.stringify(await compute())));
      return JSON.parse(readFileSync(path, 'utf8')) as T;
    },
    async folder(name, key, compute) {
      const path = pathOf(name, key);
      await stage(name, path, async (partial) => {
        mkdirSync(partial);
        await compute(partial);
      });
      return path;
    },
  };
}
