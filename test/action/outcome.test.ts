import { describe, expect, test } from 'vitest';
import { outcomeOf, outputsOf } from '../../src/action/outcome.ts';
import type { RunRecord, Status, TargetRecord } from '../../src/record.ts';
import { sample } from '../report/sample.ts';

/** The sample with targets of these statuses, and this change of the metric. */
function withTargets(statuses: readonly Status[], delta = 0): RunRecord {
  const [first] = sample.targets;
  const targets = statuses.map(
    (status, i): TargetRecord => ({
      ...first,
      target: 2 + i,
      status,
      speedup: { median: 3 + i, low: 2.5 + i, high: 3.5 + i },
      metric: { ...first.metric, delta },
    }),
  );
  return { ...sample, targets };
}

describe('the result is the worst of all targets', () => {
  test.each<[Status[], Status, number]>([
    [['met', 'met'], 'met', 0],
    [['met', 'inconclusive'], 'inconclusive', 0],
    [['missed', 'met', 'inconclusive'], 'missed', 1],
    [['missed', 'missed'], 'missed', 2],
    [[], 'inconclusive', 0],
  ])('%j: %s', (statuses, result, failures) => {
    const outcome = outcomeOf([withTargets(statuses)]);
    expect(outcome.result).toBe(result);
    expect(outcome.failures).toHaveLength(failures);
    expect(outcome.doubts).toHaveLength(statuses.filter((status) => status === 'inconclusive').length);
  });

  test('over several records', () => {
    expect(outcomeOf([withTargets(['met']), withTargets(['inconclusive'])]).result).toBe('inconclusive');
  });
});

describe('a metric that falls too far', () => {
  test.each<[number, number | undefined, number | undefined, Status]>([
    // change, the input, the record's own setting
    [-0.02, 0.01, undefined, 'missed'],
    [-0.02, undefined, 0.01, 'missed'],
    [-0.02, 0.03, 0.01, 'met'],
    [-0.02, undefined, undefined, 'met'],
    [-0.01, 0.01, undefined, 'met'],
    [0.5, 0, undefined, 'met'],
  ])('%d against %s and %s: %s', (delta, input, own, result) => {
    const record = withTargets(['met'], delta);
    const { maxDrop: _, ...rest } = record.configuration;
    const configuration = own === undefined ? rest : { ...rest, maxDrop: own };
    expect(outcomeOf([{ ...record, configuration }], input).result).toBe(result);
  });

  test('is told with both numbers', () => {
    const [failure] = outcomeOf([withTargets(['met'], -0.0234)], 0.01).failures;
    expect(failure).toMatch(/at 2× .*−0\.0234, which is more than max-drop \(0\.01\)/);
  });
});

describe('outputs', () => {
  const record = withTargets(['met', 'inconclusive'], -0.004);

  test('have a number for each target, by target', () => {
    const outputs = outputsOf([record], outcomeOf([record]));
    expect(outputs).toMatchObject({ result: 'inconclusive', met: '1', missed: '0', inconclusive: '1' });
    expect(JSON.parse(outputs.speedups!)).toEqual({ 2: 3, 3: 4 });
    expect(JSON.parse(outputs['speedup-lows']!)).toEqual({ 2: 2.5, 3: 3.5 });
    expect(JSON.parse(outputs.statuses!)).toEqual({ 2: 'met', 3: 'inconclusive' });
    expect(Number(outputs['largest-drop'])).toBeCloseTo(0.004);
    expect(outputs.fingerprint).toBe(record.hardware.fingerprint);
  });

  test('of several records are told apart by place, and have no number of one of them alone', () => {
    const outputs = outputsOf([record, record], outcomeOf([record, record]));
    expect(Object.keys(JSON.parse(outputs.bytes!))).toEqual(['0:2', '0:3', '1:2', '1:3']);
    expect(outputs).not.toHaveProperty('dense-bytes');
    expect(outputs.records).toBe('2');
  });

  test('say whether the machine was noisy', () => {
    const noisy = { ...record, hardware: { ...record.hardware, noise: ['Another program uses the GPU.'] } };
    expect(outputsOf([record], outcomeOf([record])).noisy).toBe('false');
    expect(outputsOf([record, noisy], outcomeOf([record])).noisy).toBe('true');
  });
});
