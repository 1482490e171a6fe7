/** What may be removed, and removing it, as a caller of the command line sees it. */
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openModel } from '../src/onnx/load.ts';
import { openSession } from '../src/runtime/session.ts';
import { ziplm } from './command.ts';
import { fixture, scratch } from './onnx/fixtures.ts';
import { type Case, difference, type Feeds, readCase, tensorsOf } from './structure/running.ts';

interface Inspection {
  readonly blocks: readonly Readonly<Record<string, unknown>>[];
  readonly refused: readonly { readonly at: string; readonly reason: string }[];
}

async function inspect(file: string): Promise<Inspection> {
  const { code, stdout, stderr } = await ziplm(['inspect', file, '--json']);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

/** The published fields of the blocks that an architecture has, in forward order, ids counted per kind. */
function publishedBlocks(blocks: Case['blocks']) {
  const seen = { attention: 0, mlp: 0 };
  return blocks.map(({ kind, width, gated, heads, kv_heads, head_dim }) => {
    const id = `${kind}.${seen[kind]++}`;
    return kind === 'mlp'
      ? { id, kind, structures: width, gated }
      : {
          id,
          kind,
          structures: kv_heads,
          headDim: head_dim,
          queryHeadsPerStructure: heads / kv_heads,
        };
  });
}

describe('inspect --json', () => {
  test.each(['bert-optimum', 'distilbert-optimum', 'roberta-dynamo', 'llama-gqa-dynamo'])(
    '%s: the blocks of its architecture in forward order, under the published names',
    async (name) => {
      const { folder, path } = fixture(name);
      const { blocks, refused } = await inspect(path);
      const want = publishedBlocks(readCase(folder).blocks);
      expect(blocks.map(({ id }) => id)).toEqual(want.map(({ id }) => id));
      for (const [i, block] of blocks.entries()) {
        expect(block).toMatchObject(want[i]);
        // An attention is not gated, and a neuron has no heads.
        expect('gated' in block).toBe(block.kind === 'mlp');
        expect('headDim' in block || 'queryHeadsPerStructure' in block).toBe(block.kind === 'attention');
      }
      for (const refusal of refused) expect(Object.keys(refusal).sort()).toEqual(['at', 'reason']);
    },
  );

  test('what stays whole is named with its reason, and is no failure', async () => {
    const { blocks, refused } = await inspect(fixture('llama-gqa-optimum').path);
    expect(blocks.map(({ kind }) => kind)).toEqual(['attention', 'mlp', 'attention', 'mlp']);
    const [{ at, reason }] = refused;
    expect(at).toBe('"/model/layers.0/input_layernorm/ReduceMean" (ReduceMean)');
    expect(reason).toBe(
      `The axis of 48 that "/model/layers.0/self_attn/q_proj/MatMul" (MatMul) reads cannot be cut: ${at} reduces over it.`,
    );
  });

  test('a folder and its file are the same model', async () => {
    const { folder, path } = fixture('bert-optimum');
    expect(await inspect(folder)).toEqual(await inspect(path));
  });
});

describe('inspect --graph', () => {
  const bert = fixture('bert-optimum').path;

  test('draws a block from the matrix that reads it to those that make it', async () => {
    const { code, stdout, stderr } = await ziplm(['inspect', bert, '--graph', 'mlp.0']);
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('mlp.0: each step reads those below it; * marks what is cut');
    expect(lines[2]).toMatch(/^MatMul \[.*, 48\] {2}\S*output\/dense\/MatMul ← \S+ \[40\*, 48\]$/);
    expect(lines).toContain('   Erf [batch_size, sequence_length, 40*]');
    expect(lines.some((line) => /^│ {2}MatMul .*40\*\] {2}\S*intermediate/.test(line))).toBe(true);
  });

  test('without a block draws all, in JSON too', async () => {
    const { stdout } = await ziplm(['inspect', bert, '--json', '--graph']);
    const { blocks, graphs } = JSON.parse(stdout) as Inspection & { graphs: Record<string, unknown> };
    expect(Object.keys(graphs)).toEqual(blocks.map(({ id }) => id));
  });

  test('a block that is not there is named, and the nearest that is', async () => {
    const { code, stdout, stderr } = await ziplm(['inspect', bert, '--graph', 'mpl.1']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.trimEnd()).toBe(
      'inspect: the model has no block "mpl.1", expected one of attention.0, mlp.0, attention.1, mlp.1. Did you mean mlp.1?',
    );
  });
});

describe('cut', () => {
  /** The outputs of a model file, by ONNX Runtime itself. */
  async function outputsOf(file: string, feeds: Feeds): Promise<Feeds> {
    await using session = await openSession(file, { threads: 1 });
    return await session.run(feeds);
  }

  async function checkAgainstPyTorch(name: string, model: string, removal: number): Promise<string[]> {
    const at = await scratch();
    const about = readCase(fixture(name).folder);
    const { blocks } = about.samples[0].removals[removal];
    const ids = publishedBlocks(about.blocks).map(({ id }) => id);
    const named = Object.fromEntries(Object.entries(blocks).map(([i, gone]) => [ids[+i], gone]));
    writeFileSync(join(at, 'remove.json'), JSON.stringify(named));
    mkdirSync(join(at, 'out'));
    const output = join(at, 'out', 'smaller.onnx');
    const { code, stdout, stderr } = await ziplm(
      ['cut', model, '--remove', join(at, 'remove.json'), '--output', output, '--json'],
      { cwd: at },
    );
    expect([code, stderr]).toEqual([0, '']);
    const result = JSON.parse(stdout);
    expect(result.file).toBe(output);
    expect(result.removed).toEqual(
      Object.fromEntries(Object.entries(named).map(([id, gone]) => [id, gone.length])),
    );
    expect(result.maxAbsDiff).toBeLessThanOrEqual(about.tolerance);
    for (const { inputs, removals } of about.samples) {
      const got = await outputsOf(output, tensorsOf(inputs));
      expect(difference(tensorsOf(removals[removal].outputs), got)).toBeLessThanOrEqual(about.tolerance);
    }
    return readdirSync(join(at, 'out')).sort();
  }

  test.each([0, 1, 2])('removal %d of bert-optimum is what PyTorch says of the masked model', async (i) => {
    const written = await checkAgainstPyTorch('bert-optimum', fixture('bert-optimum').path, i);
    expect(written).toEqual(['smaller.onnx']);
  });

  test('a lone file with external data, a whole attention and a whole MLP removed', async () => {
    const at = await scratch();
    const { folder } = fixture('bert-external-data');
    for (const name of ['model.onnx', 'model.onnx_data']) copyFileSync(join(folder, name), join(at, name));
    const last = readCase(folder).samples[0].removals.length - 1;
    const written = await checkAgainstPyTorch('bert-external-data', join(at, 'model.onnx'), last);
    expect(written).toContain('smaller.onnx');
  });

  test('the blocks that stay have the structures that were not named', async () => {
    const at = await scratch();
    writeFileSync(
      join(at, 'remove.json'),
      '{"attention.0": [0, 1, 2, 3], "attention.1": [1], "mlp.1": [5, 0]}',
    );
    const output = join(at, 'smaller.onnx');
    const { code, stdout } = await ziplm([
      'cut',
      fixture('bert-optimum').path,
      '--remove',
      join(at, 'remove.json'),
      '--output',
      output,
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain(output);
    const { blocks } = await inspect(output);
    expect(blocks.map(({ kind, structures }) => [kind, structures])).toEqual([
      ['mlp', 40],
      ['attention', 3],
      ['mlp', 38],
    ]);
  });

  test('caches stay as they are, or shrink and are told', async () => {
    const at = await scratch();
    const { path } = fixture('gpt2-optimum');
    writeFileSync(join(at, 'remove.json'), '{"attention.0": [1], "attention.1": [0, 1, 2, 3], "mlp.0": [3]}');
    const cutTo = (form: string[], ...more: string[]) =>
      ziplm(['cut', path, '--remove', 'remove.json', '--output', `${form.join('')}.onnx`, ...form, ...more], {
        cwd: at,
      });
    const heads = async (file: string) => {
      const { graph } = await openModel(file);
      return [...graph.inputs, ...graph.outputs]
        .filter(({ name }) => /key|value/.test(name))
        .map(({ name, shape }) => [name, shape![1]]);
    };
    const dense = await heads(path);

    expect((await cutTo([])).stdout).not.toContain('past_key_values');
    expect(await heads(join(at, '.onnx'))).toEqual(dense);

    const { stdout } = await cutTo(['--cache', 'compact'], '--json');
    const now = (name: unknown) => (String(name).includes('.0.') ? 3 : 0);
    expect(await heads(join(at, '--cachecompact.onnx'))).toEqual(dense.map(([name]) => [name, now(name)]));
    const told: { name: string; axis: number; from: number; to: number }[] = JSON.parse(stdout).caches;
    const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
    expect(told.toSorted(byName)).toEqual(
      dense.map(([name, from]) => ({ name, axis: 1, from, to: now(name) })).toSorted(byName as never),
    );
    const { stdout: text } = await cutTo(['--cache', 'compact']);
    expect(text).toMatch(/past_key_values\.0\.key +1 +4 +3\n/);

    const wrong = await cutTo(['--cache', 'small']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/keep.*compact/);
  });
});
