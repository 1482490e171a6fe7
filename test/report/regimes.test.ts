import { expect, test } from 'vitest';
import type { RunRecord } from '../../src/record.ts';
import { gains, shapeText } from '../../src/report/regimes.ts';
import { decoder, sample } from './sample.ts';

test('a shape is said as it was asked for', () => {
  expect(shapeText(sample.shape)).toBe('batch 32 × 64 tokens');
  expect(shapeText(decoder.shape)).toBe(
    '1 × prompts of batch 1 × 512 tokens + 200 × steps of batch 1 × 1 token after 512',
  );
  expect(shapeText({ decode: { ...decoder.shape.decode!, source: 64 } })).toBe(
    'steps of batch 1 × 1 token after 512 reading 64 of an encoder',
  );
});

test('depth counts whole modules, width the structures of the modules that stay', () => {
  const block = (id: string, kind: 'attention' | 'mlp', kept: number) => ({ id, kind, kept, of: 10 });
  const blocks = [
    block('attention.0', 'attention', 0),
    block('attention.1', 'attention', 5),
    block('attention.2', 'attention', 10),
    block('mlp.0', 'mlp', 0),
    block('mlp.1', 'mlp', 0),
  ];
  const targets = [{ ...decoder.targets[0], blocks }];
  const [header, dense, row] = gains({ ...decoder, targets });
  expect(header).toEqual([
    'target',
    'prompt',
    'decode',
    'a request',
    'attentions gone',
    'heads gone of the rest',
    'MLPs gone',
    'neurons gone of the rest',
  ]);
  expect(dense.slice(0, 3)).toEqual(['dense', '28.5 ms', '0.400 ms']);
  expect(row.slice(4)).toEqual(['1 of 3', '25%', '2 of 2', '']);
});

test('of one regime the measured speedup is the regime’s own', () => {
  const { regimes: _, ...dense } = decoder.dense;
  const targets = decoder.targets.map(({ regimes, ...target }) => target);
  const alone: RunRecord = { ...decoder, dense, targets, shape: { decode: decoder.shape.decode! } };
  const [header, , row] = gains(alone);
  expect(header.slice(0, 3)).toEqual(['target', 'decode', 'attentions gone']);
  expect(row[1]).toBe('1.27× [1.25, 1.28]');
  expect(gains(sample)).toEqual([]);
});
