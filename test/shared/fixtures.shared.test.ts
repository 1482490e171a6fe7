/** Every case in ../shared/fixtures, whoever laid it there and whenever, keeps the laws of exported models. */
import { describe, expect, test } from 'vitest';
import { casesIn } from '../onnx/fixtures.ts';
import { lawsOf } from '../structure/exported.ts';

const cases = casesIn('../../shared/fixtures');

test('there are cases', () => {
  expect(cases.length).toBeGreaterThanOrEqual(20);
});

describe.each(cases)('$name', (one) => lawsOf(one));
