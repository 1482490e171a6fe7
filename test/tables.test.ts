import { expect, test } from 'vitest';
import { comparisonText, evaluationText, inspectionText, profileText, table } from '../src/tables.ts';

test('words are flush left, numbers flush right, and every column keeps its width', () => {
  expect(
    table(
      ['name', 'ms'],
      [
        ['long name', '9.5 ms'],
        ['x', '110.25 ms'],
      ],
    ),
  ).toBe(['name              ms', 'long name     9.5 ms', 'x          110.25 ms'].join('\n'));
});

test('inspect', () => {
  const text = inspectionText({
    blocks: [
      { id: 'attention.0', kind: 'attention', structures: 12, headDim: 32, queryHeadsPerStructure: 1 },
      { id: 'mlp.0', kind: 'mlp', structures: 1536, gated: false },
      { id: 'attention.1', kind: 'attention', structures: 4, headDim: 64, queryHeadsPerStructure: 3 },
      { id: 'mlp.1', kind: 'mlp', structures: 9, gated: true },
    ],
    refused: [{ at: '/pooler/MatMul', reason: 'its input is an output of the model' }],
  });
  expect(text).toBe(
    [
      'block        structures  each',
      'attention.0          12  a head of 32',
      'mlp.0              1536  a neuron',
      'attention.1           4  a key-value head of 64 with its 3 query heads',
      'mlp.1                 9  a neuron with its gate',
      '',
      'Refused (1):',
      '  /pooler/MatMul: its input is an output of the model',
    ].join('\n'),
  );
});

test('inspect of a model with nothing to remove says so', () => {
  expect(inspectionText({ blocks: [], refused: [] })).toBe('Nothing can be removed.');
});

test("names from a model's graph carry no escape sequences to the terminal", () => {
  const text = inspectionText({ blocks: [], refused: [{ at: '\x1b[2Jnode', reason: 'a\nb' }] });
  expect(text).not.toContain('\x1b');
  expect(text.split('\n').at(-1)).toMatch(/node: a b$/);
});

test('compare shows the dense model, the ratio with its interval, and two states where there were two', () => {
  const latencyMs = { median: 110, low: 109, high: 111 };
  const estimate = { median: 2.004, low: 1.9996, high: 2.0104 };
  const text = comparisonText({
    rounds: Array.from({ length: 6 }, () => ({ at: 0, medianMs: {} })),
    models: [
      { name: 'dense.onnx', file: 'dense.onnx', latencyMs },
      {
        name: '2x.onnx',
        file: '2x.onnx',
        latencyMs: { median: 55, low: 54, high: 56 },
        speedup: {
          ...estimate,
          rounds: 6,
          groups: 2,
          slower: { ...estimate, median: 1.75 },
          faster: { ...estimate, median: 2.01 },
        },
      },
    ],
  });
  expect(text).toBe(
    [
      'model        latency  speedup  95 %',
      'dense.onnx  110.0 ms  dense',
      '2x.onnx      55.0 ms  2.00×    [1.99, 2.02]',
      '',
      '6 rounds of fresh processes; intervals hold 95 %.',
      '2x.onnx: the machine was seen in two states, 1.75× and 2.01×.',
    ].join('\n'),
  );
});

test('profile shows every level of every kind of block, fastest last', () => {
  const text = profileText({
    hardware: { cpu: 'Some CPU', fingerprint: 'abc' },
    provider: 'cpu',
    shape: { batch: 32, sequence: 64 },
    fixedMs: 10,
    modelMs: 110,
    latencyTable: [
      {
        signature: 's',
        kind: 'mlp',
        blocks: ['mlp.0', 'mlp.1'],
        rows: [
          { kept: 1536, medianMs: 10, low: 9.9, high: 10.1 },
          { kept: 768, medianMs: 5, low: 4.9, high: 5.1 },
          { kept: 0, medianMs: 0, low: 0, high: 0 },
        ],
      },
    ],
  });
  expect(text).toContain('Some CPU, cpu, batch 32 × 64 tokens (fingerprint abc)');
  expect(text).toContain('whole model 110.0 ms, of which outside the blocks 10.0 ms');
  expect(text).toContain('mlp (2 blocks alike: mlp.0, mlp.1)');
  expect(text).toMatch(/^ 768 {3}5\.00 ms .* 2\.00×$/m);
});

test('evaluate', () => {
  expect(
    evaluationText({ metric: { name: 'accuracy', value: 0.888, low: 0.8733, high: 0.9023 }, rows: 1821 }),
  ).toBe('accuracy 88.8% [87.3, 90.3] on 1821 rows');
});
