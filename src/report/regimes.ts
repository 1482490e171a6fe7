/**
 * What a decoder's regimes gained, and what was taken out for it: depth (whole modules) or width (heads and neurons of those
 * that stay). A step waits for weights, and a module less is read the less; a prompt computes, and every structure less counts.
 * @module
 */
import type { RunRecord, TargetRecord } from '../record.ts';
import { decimal, interval, milliseconds, ratio, times } from './format.ts';

/** `batch 32 × 128 tokens`, `prompts of batch 8 × 512 tokens`, `steps of batch 1 × 1 token after 512` */
export function shapeText({ batch, sequence, source, prompt, decode }: RunRecord['shape']): string {
  const read = (tokens: number | undefined) =>
    tokens === undefined ? '' : ` reading ${tokens} of an encoder`;
  const tokens = (count: number) => `${count} ${count === 1 ? 'token' : 'tokens'}`;
  const parts = [
    ...(batch === undefined || sequence === undefined
      ? []
      : [{ weight: 1, text: `batch ${batch} × ${tokens(sequence)}${read(source)}` }]),
    ...(prompt === undefined
      ? []
      : [
          {
            weight: prompt.weight,
            text: `prompts of batch ${prompt.batch} × ${tokens(prompt.sequence)}${read(prompt.source)}`,
          },
        ]),
    ...(decode === undefined
      ? []
      : [
          {
            weight: decode.weight,
            text: `steps of batch ${decode.batch} × ${tokens(decode.sequence)} after ${decode.past}${read(decode.source)}`,
          },
        ]),
  ];
  if (parts.length === 1) return parts[0].text;
  return parts.map(({ weight, text }) => `${Number(weight.toPrecision(6))} × ${text}`).join(' + ');
}

/** Whether the record's speed is promised for a decoder's regimes. */
const hasRegimes = ({ shape }: RunRecord): boolean =>
  shape.prompt !== undefined || shape.decode !== undefined;

/**
 * A header and a row for the dense model and for each target, all cells ready to show: the speedup in each regime, then what is
 * gone of each kind of block. Empty where the shape has no regimes.
 */
export function gains(record: RunRecord): readonly (readonly string[])[] {
  if (!hasRegimes(record) || record.targets.length === 0) return [];
  const { shape, dense } = record;
  const mixed = dense.regimes ?? [];
  const alone = shape.decode === undefined ? 'prompt' : 'decode';
  const kinds = (['attention', 'mlp'] as const).filter((kind) =>
    record.targets.some(({ blocks }) => blocks.some((block) => block.kind === kind)),
  );
  const header = mixed.length > 0 ? [...mixed.map(({ name }) => name), 'a request'] : [alone];
  const latencies = [...mixed.map(({ latencyMs }) => latencyMs), dense.latencyMs];
  return [
    ['target', ...header, ...kinds.flatMap((kind) => [GONE[kind].depth, GONE[kind].width])],
    ['dense', ...latencies.map(({ median }) => milliseconds(median)), ...kinds.flatMap(() => ['', ''])],
    ...record.targets.map((target) => [
      times(target.target),
      ...mixed.map(({ name }) => speedupIn(target, name)),
      shown(target.speedup),
      ...kinds.flatMap((kind) => removed(target, kind)),
    ]),
  ];
}

const GONE = {
  attention: { depth: 'attentions gone', width: 'heads gone of the rest' },
  mlp: { depth: 'MLPs gone', width: 'neurons gone of the rest' },
} as const;

const shown = ({ median, low, high }: TargetRecord['speedup']): string =>
  `${ratio(median)} ${interval(low, high, 2)}`;

function speedupIn({ regimes = [] }: TargetRecord, name: string): string {
  const found = regimes.find((regime) => regime.name === name);
  return found === undefined ? '' : shown(found.speedup);
}

/** Depth and width: `3 of 12`, and of the modules that stay the share of structures that went: `14%`. */
function removed({ blocks }: TargetRecord, kind: 'attention' | 'mlp'): [string, string] {
  const all = blocks.filter((block) => block.kind === kind);
  const left = all.filter(({ kept }) => kept > 0);
  const of = left.reduce((sum, block) => sum + block.of, 0);
  const kept = left.reduce((sum, block) => sum + block.kept, 0);
  return [
    `${all.length - left.length} of ${all.length}`,
    of === 0 ? '' : `${decimal(100 * (1 - kept / of), 0)}%`,
  ];
}
