/**
 * A model in parts, run one after the other: from its first part, or from a later one with what crosses into it.
 * @module
 */
import type { Segment } from '../onnx/segments.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { openGraph } from './graph.ts';
import type { Session, SessionOptions } from './session.ts';

export type Values = Readonly<Record<string, Tensor>>;

export interface ChainRun {
  /** The part to begin with; 0 when left out. */
  readonly from?: number;
  /** What crosses into that part. */
  readonly values?: Values;
  /** Is told what crosses into each later part, as soon as it is known. */
  readonly onPlace?: (part: number, values: Values) => void;
}

export interface Chain extends AsyncDisposable {
  readonly parts: number;
  /**
   * Runs the parts in order, as far as `fetches` need them.
   * @param feeds the whole model's inputs; what no part reads is left out
   * @throws as `Session.run`
   */
  run(feeds: Values, fetches: readonly string[], options?: ChainRun): Promise<Record<string, Tensor>>;
}

/**
 * Each session has threads and memory of its own. The threads of a part that is done would spin, and take the cores from the
 * next part: they stop when their run ends. And each arena would keep what its part took at most: together several times what is
 * ever in use at once.
 */
const TAKING_TURNS = { 'session.force_spinning_stop': '1' };

/** Opens a session for each part. */
export async function openChain(segments: readonly Segment[], options: SessionOptions = {}): Promise<Chain> {
  const apart = { ...options, arena: false, extra: { ...TAKING_TURNS, ...options.extra } };
  const own = segments.length > 1 ? apart : options;
  const sessions: Session[] = [];
  const close = async () => {
    for (const session of sessions.splice(0)) await session[Symbol.asyncDispose]();
  };
  try {
    for (const { model } of segments) sessions.push(await openGraph(model, own));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    parts: sessions.length,
    async run(feeds, fetches, { from = 0, values = {}, onPlace } = {}) {
      let crossing = values;
      const found: Record<string, Tensor> = {};
      const missing = new Set(fetches);
      for (let part = from; part < sessions.length && missing.size > 0; part++) {
        const session = sessions[part];
        const wanted = session.outputs.filter((name) => missing.has(name));
        const passed = segments[part].gives;
        const given = onlyThose({ ...feeds, ...crossing }, session.inputs);
        const made = await session.run(given, [...new Set([...wanted, ...passed])]);
        for (const name of wanted) {
          found[name] = made[name];
          missing.delete(name);
        }
        crossing = crossingInto(segments, part + 1, { ...crossing, ...made });
        if (part + 1 < sessions.length) onPlace?.(part + 1, crossing);
      }
      return found;
    },
    [Symbol.asyncDispose]: close,
  };
}

/** Of values of earlier parts, those that a part or one behind it reads. */
export function crossingInto(segments: readonly Segment[], part: number, values: Values): Values {
  const read = new Set(segments.slice(part).flatMap(({ takes }) => takes));
  return Object.fromEntries(Object.entries(values).filter(([name]) => read.has(name)));
}

export function onlyThose(all: Values, names: readonly string[]): Record<string, Tensor> {
  const wanted = new Set(names);
  return Object.fromEntries(Object.entries(all).filter(([name]) => wanted.has(name)));
}
