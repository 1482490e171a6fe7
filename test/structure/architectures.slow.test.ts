/** Exports from which nothing was learnt beforehand (`scripts/export-architectures.py`) keep the same laws. */
import { describe } from 'vitest';
import { casesIn } from '../onnx/fixtures.ts';
import { lawsOf } from './exported.ts';

describe.each(casesIn('architectures'))('$name', (one) => lawsOf(one));
