/**
 * Mutants by bytes: what damage on the way and an attacker without a decoder make of a file.
 */
import { integer, type Random } from '../../src/tensor/random.ts';

/**
 * Where a message's own words stand: tags, lengths, and what is short. Weights are most of a file, and a changed
 * weight is a good model; so damage is done here, as a rule. Read without any schema: whatever parses as fields is one.
 */
export function skeleton(bytes: Uint8Array): {
  readonly spots: readonly number[];
  readonly lengths: readonly number[];
} {
  const spots: number[] = [];
  const lengths: number[] = [];
  const varint = (from: number, end: number): [value: number, at: number] | undefined => {
    let value = 0;
    for (let at = from, scale = 1; at < end && at < from + 10; at++, scale *= 128) {
      value += (bytes[at] & 127) * scale;
      if (bytes[at] < 128) return [value, at + 1];
    }
    return undefined;
  };
  /** The starts of fields in a range, or undefined where it is not fields from end to end. */
  const fields = (from: number, end: number) => {
    const found: { at: number; lengthAt: number; payload: number; to: number }[] = [];
    for (let at = from; at < end; ) {
      const tag = varint(at, end);
      if (!tag || tag[0] < 8 || tag[0] > 400) return undefined;
      const [wire, lengthAt] = [tag[0] % 8, tag[1]];
      const value = wire === 1 ? [8, lengthAt] : wire === 5 ? [4, lengthAt] : varint(lengthAt, end);
      if (!value || ![0, 1, 2, 5].includes(wire)) return undefined;
      const to = wire === 0 ? value[1] : value[1] + value[0];
      if (to > end) return undefined;
      found.push({ at, lengthAt: wire === 2 ? lengthAt : -1, payload: value[1], to });
      at = to;
    }
    return found;
  };
  const visit = (from: number, end: number, depth: number) => {
    const inside = depth < 12 && end - from < bytes.length + 1 ? fields(from, end) : undefined;
    if (!inside) return;
    for (const { at, lengthAt, payload, to } of inside) {
      for (let i = at; i < payload; i++) spots.push(i);
      if (lengthAt < 0) continue;
      lengths.push(lengthAt);
      if (to - payload <= 64) for (let i = payload; i < to; i++) spots.push(i);
      visit(payload, to, depth + 1);
    }
  };
  visit(0, bytes.length, 0);
  return { spots, lengths };
}

/** What a part's length is turned into. */
const inflated: readonly (readonly number[])[] = [
  [0],
  [1],
  [0x7f],
  [0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0x07], // 2^31 − 1
  [0xff, 0xff, 0xff, 0xff, 0x0f], // 2^32 − 1
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // −1
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], // a number that does not end
];

/**
 * One to four damages to a file.
 * @param other another file, to splice with
 */
export function mutateBytes(original: Uint8Array, other: Uint8Array, next: Random): Uint8Array {
  const { spots, lengths } = skeleton(original);
  let bytes = Uint8Array.from(original);
  const place = () =>
    Math.min(next() < 0.7 ? pick(spots, next) : integer(next, bytes.length), bytes.length - 1);
  const replace = (from: number, to: number, middle: Uint8Array) => {
    const out = new Uint8Array(from + middle.length + bytes.length - to);
    out.set(bytes.subarray(0, from));
    out.set(middle, from);
    out.set(bytes.subarray(to), from + middle.length);
    bytes = out;
  };
  const noise = (length: number) => Uint8Array.from({ length }, () => integer(next, 256));
  const damages = [
    () => {
      bytes[place()] ^= 1 << integer(next, 8);
    },
    () => {
      bytes[place()] = integer(next, 256);
    },
    () => {
      const at = place();
      replace(at, at, noise(1 + integer(next, 8)));
    },
    () => {
      const at = place();
      replace(at, Math.min(at + 1 + integer(next, 16), bytes.length), noise(0));
    },
    () => {
      bytes = bytes.slice(0, 1 + place());
    },
    () => {
      const [from, to] = [place(), integer(next, other.length)];
      replace(from, bytes.length, other.subarray(to));
    },
    () => {
      const [from, at] = [place(), place()];
      replace(at, at, bytes.slice(from, from + integer(next, 200)));
    },
    () => {
      const at = Math.min(pick(lengths, next), bytes.length - 1);
      let end = at;
      while (end < bytes.length - 1 && bytes[end] >= 128) end++;
      replace(at, end + 1, Uint8Array.from(pick(inflated, next)));
    },
  ];
  const count = next() < 0.6 ? 1 : 2 + integer(next, 3);
  for (let left = count; left > 0 && bytes.length > 0; left--) pick(damages, next)();
  return bytes;
}

export function pick<T>(from: readonly T[], next: Random): T {
  return from[integer(next, from.length)];
}
