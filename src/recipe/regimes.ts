/**
 * The regimes that speed is promised for, and what a model is fed in each.
 *
 * A decoder reads a prompt once (`prompt`: many tokens, an empty cache) and then steps (`decode`: one token, or a few, against the
 * cache of those before). Anything else has one regime, which is timed as a prompt is.
 * @module
 */
import type { Config } from '../config.ts';
import { InputError } from '../errors.ts';
import type { RunRecord } from '../record.ts';
import type { Regime } from '../runtime/compare.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type OpenedModel, timingFeeds } from './job.ts';

/** A regime's shape. `weight` is how often a request runs it; of a single regime it is 1. */
export interface RegimeShape {
  readonly name: 'prompt' | 'decode';
  readonly weight: number;
  readonly batch: number;
  readonly sequence: number;
  /** Tokens in the cache. */
  readonly past: number;
  /** Tokens that an encoder has read. */
  readonly source?: number;
}

/**
 * The regimes that `shape` asks for: those it has a mapping of, or the one of its own batch and sequence.
 * @throws InputError when it leaves out all that it names
 */
export function regimesOf({ batch, sequence, source, prompt, decode }: Config['shape']): RegimeShape[] {
  const read = source === undefined ? {} : { source };
  const whole = { batch: prompt?.batch ?? batch, sequence: prompt?.sequence ?? sequence, past: 0, ...read };
  const named: RegimeShape[] = [
    ...(prompt === undefined ? [] : [{ name: 'prompt' as const, weight: prompt.weight, ...whole }]),
    ...(decode === undefined
      ? []
      : [
          {
            name: 'decode' as const,
            weight: decode.weight,
            batch: decode.batch ?? batch,
            sequence: decode.sequence,
            past: decode.past ?? whole.sequence,
            ...read,
          },
        ]),
  ];
  if (named.length === 0) return [{ name: 'prompt', weight: 1, ...whole }];
  const used = named.filter(({ weight }) => weight > 0);
  if (used.length === 0) {
    throw new InputError(
      `config: shape.${named.map(({ name }) => name).join(' and shape.')} ${named.length === 1 ? 'has' : 'have'} the weight 0, expected a regime that a request runs. Give ${named.length === 1 ? 'it' : 'one of them'} a weight above 0.`,
    );
  }
  return used.length === 1 ? [{ ...used[0], weight: 1 }] : used;
}

/** What the record says of the shape: as it was asked for, with what was left out filled in. */
export function recordedShape(shape: Config['shape']): RunRecord['shape'] {
  const regimes = regimesOf(shape);
  const { batch, sequence, source, prompt, decode } = shape;
  const read = source === undefined ? {} : { source };
  if (prompt === undefined && decode === undefined) return { batch, sequence, ...read };
  return Object.fromEntries(
    regimes.map(({ name, past, ...told }) => [name, name === 'decode' ? { ...told, past } : told]),
  );
}

/**
 * The regimes with the inputs that a model is timed on.
 * @throws InputError for a step against a cache where the model has none
 */
export function timedRegimes(opened: OpenedModel, config: Pick<Config, 'shape' | 'search'>): TimedRegime[] {
  return regimesOf(config.shape).map((regime) => {
    const { name, weight, ...shape } = regime;
    if (shape.past > 0) requireCache(opened);
    return { name, weight, shape: regime, feeds: timingFeeds(opened, { shape, search: config.search }) };
  });
}

export interface TimedRegime extends Regime {
  readonly shape: RegimeShape;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

/** A cache is an input that is longer the more tokens came before. */
function requireCache({ inputs, folder }: OpenedModel): void {
  const grows = inputs.some(({ shape }) =>
    shape?.some((dim) => typeof dim === 'string' && /past/i.test(dim) && !dim.includes('+')),
  );
  if (grows) return;
  throw new InputError(
    `config: shape.decode times a step against a cache, but "${folder.modelFile}" has no input with past keys and values ` +
      `(it has ${inputs.map(({ name }) => name).join(', ')}). Export the decoder with its cache ("text-generation-with-past"), or leave shape.decode out.`,
  );
}
