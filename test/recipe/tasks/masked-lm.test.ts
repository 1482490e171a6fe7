import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config.ts';
import { silent } from '../../../src/progress.ts';
import { type OpenedModel, openDataset, openModelFolder } from '../../../src/recipe/job.ts';
import type { AskedRows } from '../../../src/recipe/tasks/language.ts';
import { settled, taskOf } from '../../../src/recipe/tasks/registry.ts';
import { openSession } from '../../../src/runtime/session.ts';
import { tensor } from '../../../src/tensor/tensor.ts';
import { fillerFolder, someText } from '../../models/language.ts';
import { letterIds } from '../../models/letters.ts';
import { naivePerplexity, naiveTokenLoss } from '../../reference/token-loss.ts';

/** <s>, </s> and <mask>. */
const [BEGIN, END, MASK] = [1, 2, 3];

let root: string;
let model: OpenedModel;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ziplm-masked-'));
  model = await openModelFolder(fillerFolder(root));
  writeFileSync(join(root, 'text.txt'), someText(2000));
});
afterAll(() => rmSync(root, { recursive: true }));

const task = taskOf({ task: 'masked-lm' });

function configOf(flags: Readonly<Record<string, string>> = {}) {
  const given = { model: 'filler', 'data-evaluation': 'text.txt', 'data-calibration': 'text.txt' };
  return settled(loadConfig(null, { ...given, ...flags }, root), model);
}

async function rowsOf(flags: Readonly<Record<string, string>> = {}, limit?: number) {
  return (await openDataset(model, configOf(flags), 'evaluation', silent, limit)) as AskedRows;
}

describe('masked-lm', () => {
  test('is what a filler of gaps is for', () => {
    const { task: name, metric } = configOf();
    expect([name, metric]).toEqual(['masked-lm', 'perplexity']);
  });

  test('reads the whole text in stretches, special tokens around each, gaps in it', async () => {
    const { rows } = await rowsOf();
    const originals = rows.map(({ ids, targets }) => ids.map((id, at) => (targets[at] < 0 ? id : targets[at])));
    for (const ids of originals) {
      expect([ids[0], ids.at(-1)]).toEqual([BEGIN, END]);
      expect(ids.length).toBeLessThanOrEqual(48);
    }
    expect(originals.flatMap((ids) => ids.slice(1, -1))).toEqual(letterIds(someText(2000)));
    const gaps = rows.flatMap(({ ids, targets }) => ids.filter((_, at) => targets[at] >= 0));
    expect(gaps.filter((id) => id === MASK).length / gaps.length).toBeGreaterThan(0.7);
    expect(gaps.length / 2000).toBeGreaterThan(0.1);
    expect(gaps.length / 2000).toBeLessThan(0.2);
  });

  test('has its gaps by the seed, the same in the first rows as in all', async () => {
    const all = await rowsOf();
    expect((await rowsOf({}, 5)).rows).toEqual(all.rows.slice(0, 5));
    expect((await rowsOf({ 'search-seed': '9' })).sha256).not.toBe(all.sha256);
  });

  test('scores the gaps, and they alone', async () => {
    const data = await rowsOf();
    await using session = await openSession(model.folder.modelFile, { threads: 1 });
    const answering = { model, session: { threads: 1 }, progress: silent };
    const answers = await task.answer(session, data, answering);
    const losses: number[] = [];
    let right = 0;
    for (const { ids, targets } of data.rows) {
      const shape = [1, ids.length];
      const { logits } = await session.run({
        input_ids: tensor('int64', shape, BigInt64Array.from(ids, BigInt)),
        attention_mask: tensor('int64', shape, new BigInt64Array(ids.length).fill(1n)),
      });
      const vocabulary = logits.shape[2];
      for (const [at, target] of targets.entries()) {
        if (target < 0) continue;
        const row = [...(logits.data as Float32Array).slice(at * vocabulary, (at + 1) * vocabulary)];
        losses.push(...naiveTokenLoss(row, [target]));
        right += Number(row[target] === Math.max(...row));
      }
    }
    const perplexity = task.score(answers, data, { metric: 'perplexity', seed: 0 });
    const accuracy = task.score(answers, data, { metric: 'accuracy', seed: 0 });
    expect(perplexity.value / naivePerplexity(losses)).toBeCloseTo(1, 5);
    expect(accuracy.value).toBeCloseTo(right / losses.length, 12);
  });

  test.each([
    ['too little room', { 'max-length': '3' }, /3 tokens leave room for 1 of the text/],
    ['training', { method: 'gradual' }, undefined],
  ])('%s', async (_, flags, message) => {
    if (message === undefined) expect(taskOf(configOf(flags)).training).toBeUndefined();
    else await expect(rowsOf(flags)).rejects.toThrow(message);
  });
});
