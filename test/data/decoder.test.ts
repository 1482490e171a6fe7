import { describe, expect, test } from 'vitest';
import { emptyCache } from '../../src/data/decoder.ts';
import { InputError } from '../../src/errors.ts';
import type { ValueInfo } from '../../src/onnx/model.ts';

const ids: ValueInfo = { name: 'input_ids', type: 'int64', shape: ['batch_size', 'sequence_length'] };
const mask: ValueInfo = {
  name: 'attention_mask',
  type: 'int64',
  shape: ['batch_size', 'past_sequence_length + 1'],
};
const past = (type: 'float32' | 'float16'): ValueInfo => ({
  name: 'past_key_values.0.key',
  type,
  shape: ['batch_size', 2, 'past_sequence_length', 8],
});
const flag: ValueInfo = { name: 'use_cache_branch', type: 'bool', shape: [1] };
const count: ValueInfo = { name: 'num_logits_to_keep', type: 'int64', shape: [] };

describe('an empty cache', () => {
  test.each(['float32', 'float16'] as const)('has a past of length 0 in %s', (type) => {
    const feeds = emptyCache([ids, mask, past(type)], [3, 5]);
    expect(Object.keys(feeds)).toEqual(['past_key_values.0.key']);
    expect(feeds['past_key_values.0.key']).toMatchObject({ type, shape: [3, 2, 0, 8] });
    expect(feeds['past_key_values.0.key'].data).toHaveLength(0);
  });

  test('is not what a merged decoder looks into, and all logits are kept', () => {
    const feeds = emptyCache([ids, flag, count], [3, 5]);
    expect([...feeds.use_cache_branch.data]).toEqual([0]);
    expect([...feeds.num_logits_to_keep.data]).toEqual([0n]);
  });

  test('is none where the model reads tokens only', () => {
    expect(emptyCache([ids, mask], [3, 5])).toEqual({});
  });

  test.each<ValueInfo>([
    { name: 'encoder_hidden_states', type: 'float32', shape: ['batch_size', 'encoder_sequence_length', 8] },
    { name: 'pixel_values', type: 'float32', shape: ['batch_size', 3, 8, 8] },
  ])('does not stand for $name', (input) => {
    expect(() => emptyCache([ids, input], [3, 5])).toThrow(InputError);
    expect(() => emptyCache([ids, input], [3, 5])).toThrow(/neither tokens nor an empty past/);
  });
});
