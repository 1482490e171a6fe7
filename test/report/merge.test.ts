import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseRecord, type RunRecord } from '../../src/record.ts';
import { mergeRecords } from '../../src/report/merge.ts';
import { sample } from './sample.ts';

const created = (record: RunRecord, createdAt: string): RunRecord => ({ ...record, createdAt });

describe('mergeRecords', () => {
  test('one record is itself', () => {
    expect(mergeRecords([sample])).toEqual([sample]);
    expect(mergeRecords([])).toEqual([]);
  });

  test('targets that were run apart come together in order, whoever ran first', () => {
    const parts = sample.targets.map((t, i) =>
      created(
        { ...sample, targets: [t], configuration: { ...sample.configuration, speedups: [t.target] } },
        `2026-03-14T0${i}:00:00Z`,
      ),
    );
    fc.assert(
      fc.property(fc.shuffledSubarray(parts, { minLength: 2 }), (some) => {
        const merged = mergeRecords(some);
        expect(merged).toHaveLength(1);
        const asked = some.map((r) => r.targets[0].target).sort((a, b) => a - b);
        expect(merged[0].targets.map((t) => t.target)).toEqual(asked);
        // Every target but those of the latest run is said to have its own dense measurement.
        expect(merged[0].warnings.filter((w) => w.includes("that run's dense model"))).toHaveLength(
          some.length - 1,
        );
        expect(() => parseRecord(merged[0])).not.toThrow();
      }),
    );
  });

  test('of a target measured twice the later one counts', () => {
    const [first] = sample.targets;
    const later = { ...first, speedup: { median: 1.3, low: 1.29, high: 1.31 } };
    const before = created({ ...sample, targets: [first] }, '2026-01-01T00:00:00Z');
    const after = created({ ...sample, targets: [later] }, '2026-01-02T00:00:00Z');
    for (const order of [
      [before, after],
      [after, before],
    ]) {
      expect(mergeRecords(order)[0].targets).toEqual([later]);
    }
  });

  test('nothing comes together that was not measured alike', () => {
    const others: readonly RunRecord[] = [
      { ...sample, name: 'another' },
      { ...sample, provider: 'cuda' },
      { ...sample, threads: 1 },
      { ...sample, shape: { batch: 1, sequence: 64 } },
      { ...sample, hardware: { ...sample.hardware, fingerprint: 'other' } },
      { ...sample, model: { ...sample.model, sha256: 'b'.repeat(64) } },
      { ...sample, versions: { ...sample.versions, onnxruntime: '1.31.0' } },
      { ...sample, configuration: { ...sample.configuration, method: 'gradual' } },
      { ...sample, dense: { ...sample.dense, metric: { ...sample.dense.metric, name: 'f1' } } },
    ];
    for (const other of others) expect(mergeRecords([sample, other])).toEqual([sample, other]);
  });

  test('the order of keys in a configuration does not matter, nor where the output went', () => {
    const turned = Object.fromEntries(Object.entries(sample.configuration).reverse());
    expect(
      mergeRecords([sample, { ...sample, configuration: { ...turned, output: 'elsewhere' } }]),
    ).toHaveLength(1);
  });

  test('seconds add up stage by stage, whatever a stage is called', () => {
    const [first, second] = sample.targets;
    const names = ['search', 'constructor', '__proto__'];
    const seconds = JSON.parse(`{${names.map((n) => `"${n}":2`).join()}}`);
    const merged = mergeRecords([
      { ...sample, targets: [first], seconds },
      { ...sample, targets: [second], seconds, createdAt: '2026-05-01T00:00:00Z' },
    ]);
    expect(Object.entries(merged[0].seconds)).toEqual(names.map((n) => [n, 4]));
  });
});
