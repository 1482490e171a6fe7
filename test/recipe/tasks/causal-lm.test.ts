import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config.ts';
import { emptyCache } from '../../../src/data/decoder.ts';
import { InputError } from '../../../src/errors.ts';
import { tokenLoss } from '../../../src/evaluate/token-loss.ts';
import { cloneModel } from '../../../src/onnx/edit.ts';
import { encodeModel } from '../../../src/onnx/encode.ts';
import { silent } from '../../../src/progress.ts';
import { type OpenedModel, openDataset, openModelFolder } from '../../../src/recipe/job.ts';
import { type AskedRows, askedRows, type TokenAnswers } from '../../../src/recipe/tasks/language.ts';
import { settled, taskOf } from '../../../src/recipe/tasks/registry.ts';
import type { Dataset } from '../../../src/recipe/tasks/task.ts';
import { openSession, type Session } from '../../../src/runtime/session.ts';
import { tensor } from '../../../src/tensor/tensor.ts';
import { type DecoderFixture, decoderFolder, someText } from '../../models/language.ts';
import { letterIds } from '../../models/letters.ts';
import { slidingPerplexity } from '../../reference/sliding.ts';
import { naiveTokenLoss } from '../../reference/token-loss.ts';

const fixtures: readonly DecoderFixture[] = [
  'gpt2-optimum',
  'gpt2-torchscript',
  'llama-gqa-optimum',
  'llama-gqa-dynamo',
];
/** <s> */
const BEGIN = 1;

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'ziplm-causal-'));
  for (const name of fixtures) decoderFolder(root, name, { begin: name.startsWith('llama') });
  writeFileSync(join(root, 'text.txt'), someText(900));
});
afterAll(() => rmSync(root, { recursive: true }));

const task = taskOf({ task: 'causal-lm' });

async function opened(name: DecoderFixture, flags: Readonly<Record<string, string>> = {}) {
  const model = await openModelFolder(join(root, name));
  const given = { model: name, task: 'causal-lm', 'data-evaluation': 'text.txt', 'max-length': '32' };
  const config = settled(loadConfig(null, { ...given, ...flags }, root), model);
  return { model, config };
}

const answering = (model: OpenedModel) => ({ model, session: { threads: 1 }, progress: silent });

/** The logits of one window alone: no padding, an empty cache. */
async function logitsOf(session: Session, model: OpenedModel, window: readonly number[]) {
  const shape = [1, window.length] as const;
  const own = (values: readonly number[]) => tensor('int64', [...shape], BigInt64Array.from(values, BigInt));
  const feeds = {
    input_ids: own(window),
    attention_mask: own(window.map(() => 1)),
    position_ids: own([...window.keys()]),
    ...emptyCache(model.inputs, shape),
  };
  const read = Object.entries(feeds).filter(([name]) => session.inputs.includes(name));
  const { logits } = await session.run(Object.fromEntries(read), ['logits']);
  return logits.data as Float32Array;
}

describe.each(fixtures)('%s', (name) => {
  test.each([
    [32, undefined],
    [32, 16],
    [20, 7],
    [9, 1],
  ])('windows of %d, %s on: the perplexity of each window read alone', async (size, stride) => {
    const flags = { 'max-length': String(size), ...(stride && { stride: String(stride) }) };
    const { model, config } = await opened(name, flags);
    const data = await openDataset(model, config, 'evaluation', silent);
    await using session = await openSession(model.folder.modelFile, { threads: 1 });
    const answers = await task.answer(session, data, answering(model));
    const ids = [...(name.startsWith('llama') ? [BEGIN] : []), ...letterIds(someText(900))];
    const plan = { size, stride: stride ?? size };
    const expected = await slidingPerplexity(ids, plan, (window) => logitsOf(session, model, window));
    const found = task.score(answers, data, { metric: 'perplexity', seed: 0 });
    expect(found.value / expected.perplexity).toBeCloseTo(1, 5);
    const asked = (data as AskedRows).rows.flatMap(({ targets }) => targets.filter((target) => target >= 0));
    expect(asked).toHaveLength(expected.tokens);
    expect(found.low).toBeLessThan(found.value);
    expect(found.high).toBeGreaterThan(found.value);
  });

  test('the loss of tokens is that of the logits that PyTorch gives', async () => {
    const { model } = await opened(name);
    const { samples } = JSON.parse(readFileSync(`test/fixtures/${name}/case.json`, 'utf8'));
    await using session = await openSession(model.folder.modelFile, { threads: 1 });
    let compared = 0;
    for (const { inputs, outputs } of samples) {
      const [b, s] = inputs.input_ids.shape;
      const ids: number[] = inputs.input_ids.data.map(Number);
      const mask: number[] = inputs.attention_mask.data.map(Number);
      if (mask.length !== b * s) continue; // read against a past
      const rows = Array.from({ length: b }, (_, row) => {
        const own = ids.slice(row * s, (row + 1) * s).filter((_, at) => mask[row * s + at] === 1);
        const targets = own.map((_, at) => own[at + 1] ?? -1);
        return { ids: own, typeIds: own.map(() => 0), document: row, targets };
      });
      const data = askedRows(rows, 0, model);
      const answers = (await task.answer(session, data, answering(model))) as TokenAnswers;
      const vocabulary = outputs.logits.shape[2];
      rows.forEach(({ targets }, row) => {
        const losses = targets.flatMap((target, at) => {
          const from = (row * s + at) * vocabulary;
          return target < 0 ? [] : naiveTokenLoss(outputs.logits.data.slice(from, from + vocabulary), [target]);
        });
        expect(answers.loss[row]).toBeCloseTo(losses.reduce((sum, loss) => sum + loss, 0), 3);
        compared += losses.length;
      });
    }
    expect(compared).toBeGreaterThanOrEqual(8);
  });

  test('candidates are judged, in the graph, by the loss that evaluation finds', async () => {
    const { model, config } = await opened(name, { stride: '16' });
    const data = await openDataset(model, config, 'evaluation', silent);
    await using session = await openSession(model.folder.modelFile, { threads: 1 });
    const answers = await task.answer(session, data, answering(model));
    const { value } = task.score(answers, data, { metric: 'perplexity', seed: 0 });
    const criterion = task.criterion(model, data);
    const extended = cloneModel(model.model);
    criterion.append!(extended);
    await using judging = await openSession(encodeModel(extended), { threads: 1 });
    expect(criterion.fetches).toEqual([tokenLoss.loss]);
    let [sum, weight] = [0, 0];
    for (const batch of data.batches) {
      const found = await judging.run({ ...batch.feeds, ...criterion.feeds!(batch) }, criterion.fetches);
      expect(found[tokenLoss.loss].shape).toEqual(batch.shape);
      const part = criterion.loss(found, batch, {});
      sum += part.sum;
      weight += part.weight;
    }
    expect(Math.exp(sum / weight) / value).toBeCloseTo(1, 5);
  });
});

describe('the rows', () => {
  const rowsOf = (data: Dataset) => (data as AskedRows).rows;

  test('of calibration do not overlap, whatever the stride, and are the first so many', async () => {
    const { model, config } = await opened('gpt2-optimum', { stride: '4', 'data-calibration': 'text.txt' });
    const all = await openDataset(model, config, 'calibration', silent);
    expect(rowsOf(all).flatMap(({ ids }) => ids)).toEqual(letterIds(someText(900)));
    const few = await openDataset(model, config, 'calibration', silent, 3);
    expect(rowsOf(few)).toEqual(rowsOf(all).slice(0, 3));
    expect(few.count).toBe(3);
  });

  test('of a table are documents of their own, and empty ones are none', async () => {
    const texts = ['Hello there', '', 'x', 'a longer text, of more letters than one window takes'];
    writeFileSync(join(root, 'rows.jsonl'), texts.map((text) => JSON.stringify({ text })).join('\n'));
    const { model, config } = await opened('gpt2-optimum', { 'data-evaluation': 'rows.jsonl' });
    const rows = rowsOf(await openDataset(model, config, 'evaluation', silent));
    expect(rows.map(({ document, ids }) => [document, ids.length])).toEqual([
      [0, 11],
      [3, 32],
      [3, texts[3].length - 32],
    ]);
  });

  test.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['a stride beyond the window', { stride: '33' }, /a stride of 33 leaves tokens out between windows of 32/],
    ['a window of one token', { 'max-length': '1' }, /a window of 1 token has nothing to predict/],
    ['no text', { 'data-evaluation': 'empty.txt' }, /has no text of two tokens or more/],
    ['a metric of classes', { metric: 'f1' }, /the metric "f1" is none of causal-lm's/],
  ])('%s is the reader’s to mend', async (_, flags, message) => {
    writeFileSync(join(root, 'empty.txt'), '');
    const reading = opened('gpt2-optimum', flags).then(({ model, config }) =>
      openDataset(model, config, 'evaluation', silent),
    );
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toBeInstanceOf(InputError);
  });
});

describe('the task', () => {
  test('is what config.json says', async () => {
    const model = await openModelFolder(join(root, 'llama-gqa-optimum'));
    const config = settled(loadConfig(null, { model: 'llama-gqa-optimum' }, root), model);
    expect([config.task, config.metric]).toEqual(['causal-lm', 'perplexity']);
  });

  test('is text classification where nothing says', async () => {
    const model = await openModelFolder(join(root, 'llama-gqa-dynamo'));
    const config = settled(loadConfig(null, { model: 'llama-gqa-dynamo' }, root), model);
    expect([config.task, config.metric]).toEqual(['text-classification', 'accuracy']);
  });

  test('must be named for an architecture of none', async () => {
    const model = await openModelFolder(join(root, 'gpt2-optimum'));
    const { config: of = {}, ...folder } = model.folder;
    const other = { folder: { ...folder, config: { ...of, architectures: ['T5ForConditionalGeneration'] } } };
    const config = loadConfig(null, { model: 'gpt2-optimum' }, root);
    expect(() => settled(config, other)).toThrow(
      /no task is known for the architecture T5ForConditionalGeneration .* Name one of text-classification, causal-lm/,
    );
    expect(settled({ ...config, task: 'causal-lm' }, other).task).toBe('causal-lm');
  });
});
