import { expect, test } from 'vitest';
import {
  comparisonText,
  evaluationText,
  graphText,
  inspectionText,
  profileText,
  table,
} from '../src/tables.ts';

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

const consumer = {
  node: '/out/MatMul',
  weight: 'out.weight',
  axis: 0,
  rows: 384,
  cols: 384,
  input: 'merged',
  output: 'made',
} as const;

test('inspect', () => {
  const text = inspectionText({
    blocks: [
      {
        id: 'attention.0',
        kind: 'attention',
        structures: 12,
        headDim: 32,
        queryHeadsPerStructure: 1,
        consumer: { ...consumer, bias: 'out.bias' },
        producers: [
          { node: '/query/MatMul', weight: 'query.weight', axis: 1 },
          { node: '/key/MatMul', weight: 'key.weight', axis: 1 },
        ],
        coupled: [
          { initializer: 'query.bias', axis: 0 },
          { initializer: 'query.bias', axis: 0 },
        ],
        caches: [{ name: 'past.0.key', end: 'input', axis: 1 }],
        uses: 1,
      },
      {
        id: 'mlp.0',
        kind: 'mlp',
        structures: 1536,
        gated: false,
        consumer,
        producers: [{ node: '/up/MatMul', weight: 'up.weight', axis: 0 }],
        coupled: [],
        uses: 12,
      },
      {
        id: 'attention.1',
        kind: 'attention',
        structures: 4,
        headDim: 64,
        queryHeadsPerStructure: 3,
        consumer,
        producers: [],
        coupled: [],
        uses: 1,
      },
      { id: 'mlp.1', kind: 'mlp', structures: 9, gated: true, consumer, producers: [], coupled: [], uses: 1 },
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
      'attention.0',
      '  made by   /query/MatMul (query.weight, axis 1)',
      '            /key/MatMul (key.weight, axis 1)',
      '  cut with  query.bias, axis 0',
      '            past.0.key, axis 1, an input of the model',
      '  read by   /out/MatMul (out.weight, axis 0); its bias out.bias stays',
      '',
      'mlp.0',
      '  made by   /up/MatMul (up.weight, axis 0)',
      '  read by   /out/MatMul (out.weight, axis 0), in 12 places',
      '',
      'attention.1',
      '  read by   /out/MatMul (out.weight, axis 0)',
      '',
      'mlp.1',
      '  read by   /out/MatMul (out.weight, axis 0)',
      '',
      'Refused (1):',
      '  /pooler/MatMul: its input is an output of the model',
    ].join('\n'),
  );
});

test('inspect --graph draws steps under each other, and side by side where one reads several', () => {
  const makes = (...axes: string[]) => ({ name: 'value', axes });
  const step = (opType: string, axes: string[], ...reads: { name: string; axes: string[] }[]) => ({
    node: `/${opType}`,
    opType,
    makes: makes(...axes),
    reads,
  });
  const shared = { name: 'normed', axes: ['batch', '8'] };
  const text = graphText('mlp.0', {
    steps: [
      step('MatMul', ['batch', '8'], { name: 'down.weight', axes: ['12*', '8'] }),
      step('Mul', ['batch', '12*']),
    ],
    from: [
      { steps: [step('Sigmoid', ['batch', '12*'])], from: [], end: { name: 'gate', axes: ['batch', '12*'] } },
      {
        steps: [step('MatMul', ['batch', '12*'], shared, { name: 'up.weight', axes: ['8', '12*'] })],
        from: [],
      },
    ],
  });
  expect(text).toBe(
    [
      'mlp.0: each step reads those below it; * marks what is cut',
      '',
      'MatMul [batch, 8]  /MatMul ← down.weight [12*, 8]',
      'Mul [batch, 12*]',
      '├─ Sigmoid [batch, 12*]',
      '│  ↑ gate [batch, 12*]',
      '└─ MatMul [batch, 12*]  /MatMul ← normed [batch, 8], up.weight [8, 12*]',
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
