/**
 * The algebra of axes.
 *
 * An *axis* is an ordered product of *atoms*, outermost first: the packed axis of an attention is `h·d`, its batch
 * `b·s`. An atom is a factor whose slices no operator has told apart yet. What operators reveal refines it: a Reshape
 * divides it into a product, a Split into a sum of axes laid end to end. Atoms that an operator pairs are united, so
 * that all axes cut by one removal hold the same atom. A unit axis is the empty product.
 *
 * Representation: union-find; only a root's fields count. A root with `parts` stands for them. An atom whose size is
 * not a number in the graph (batch, sequence) has `size` undefined: such atoms are never cut, they only
 * prove that two dimensions are the same.
 * @module
 */
import { InputError } from '../errors.ts';

export interface Atom {
  size: number | undefined;
  parent?: Atom;
  parts?:
    | { readonly kind: 'product'; readonly axis: Axis }
    | { readonly kind: 'sum'; readonly terms: readonly Axis[] };
  /** Why no slice of this atom may be removed; the first reason stays. */
  frozen?: Reason;
}

export type Axis = readonly Atom[];
export type Axes = readonly Axis[];

/** A node (its name for messages) and what it does to the axis, in a few words. */
export interface Reason {
  readonly at: string;
  readonly what: string;
}

/** A new axis of its own. A size of 1 gives the unit axis. */
export function axis(size: number | undefined): Axis {
  return size === 1 ? [] : [{ size }];
}

export function find(atom: Atom): Atom {
  let root = atom;
  while (root.parent) root = root.parent;
  for (let at = atom; at !== root; ) {
    const next = at.parent!;
    at.parent = root;
    at = next;
  }
  return root;
}

/** The axis as a product of roots that are not products themselves; units vanish. */
export function factors(of: Axis): Atom[] {
  const out: Atom[] = [];
  walk(of, (root) => {
    if (root.parts?.kind === 'product') return [root.parts.axis];
    if (root.size !== 1) out.push(root);
    return [];
  });
  return out;
}

/** More parts than any transformer's axis has: a graph can be written that doubles them at every node. */
const mostParts = 512;

/**
 * Visits the roots of an axis in order, and in place of each the axes that `inside` gives for it.
 * @throws InputError when there are more than a model can have a use for
 */
function walk(of: Axis, inside: (root: Atom) => readonly Axis[]): void {
  const pending = of.toReversed();
  for (let visits = 0; pending.length > 0; visits++) {
    if (visits > 8 * mostParts) {
      throw new InputError(
        `structure: a dimension of the model is put together from more than ${visits - 1} others, which no transformer's is; export it again.`,
      );
    }
    const terms = inside(find(pending.pop()!));
    for (let i = terms.length - 1; i >= 0; i--) pending.push(...terms[i].toReversed());
  }
}

/** All atoms of an axis that nothing divides further, those inside sums included. */
export function leaves(of: Axis): Atom[] {
  const out: Atom[] = [];
  walk(of, (root) => {
    if (root.parts) return root.parts.kind === 'sum' ? root.parts.terms : [root.parts.axis];
    if (root.size !== 1) out.push(root);
    return [];
  });
  return out;
}

/** The number of slices, or undefined when a factor has no number. */
export function sizeOfAxis(of: Axis): number | undefined {
  let size = 1;
  for (const atom of factors(of)) {
    if (atom.size === undefined) return undefined;
    size *= atom.size;
  }
  return size;
}

export function isUnit(of: Axis): boolean {
  return factors(of).length === 0;
}

/** The same atoms in the same order. */
export function sameAxis(a: Axis, b: Axis): boolean {
  const left = factors(a);
  const right = factors(b);
  return left.length === right.length && left.every((atom, i) => atom === right[i]);
}

/** Forbids every removal along this axis, now and after any refinement. */
export function freeze(of: Axis, reason: Reason): void {
  for (const atom of factors(of)) {
    atom.frozen ??= reason;
    if (atom.parts?.kind === 'sum') for (const term of atom.parts.terms) freeze(term, reason);
  }
}

function refine(atom: Atom, parts: NonNullable<Atom['parts']>): void {
  atom.parts = parts;
  if (atom.frozen)
    for (const part of parts.kind === 'product' ? [parts.axis] : parts.terms) freeze(part, atom.frozen);
}

/** Divides an atom into `outer`·rest; undefined where its slices are already told apart another way. */
function divide(atom: Atom, outer: number): [Atom, Axis] | undefined {
  const inner = atom.size! / outer;
  if (!Number.isInteger(inner)) return undefined;
  if (atom.parts?.kind === 'sum') {
    // Equal terms, one for each outer slice, are a product when all terms are the same axis.
    const [first, ...others] = atom.parts.terms;
    if (atom.parts.terms.length !== outer || sizeOfAxis(first) !== inner) return undefined;
    if (!others.every((term) => unify(first, term))) return undefined;
    const lead: Atom = { size: outer };
    delete atom.parts;
    refine(atom, { kind: 'product', axis: [lead, ...first] });
    return [lead, first];
  }
  const lead: Atom = { size: outer };
  const rest = axis(inner);
  refine(atom, { kind: 'product', axis: [lead, ...rest] });
  return [lead, rest];
}

/**
 * Divides an axis into consecutive pieces of these sizes. Earlier divisions elsewhere are kept: a piece that holds
 * several of their terms is a sum of them.
 * @returns undefined when a boundary falls inside a slice of the leading atom
 */
export function partition(of: Axis, sizes: readonly number[]): readonly Axis[] | undefined {
  const [lead, ...rest] = factors(of);
  if (!lead || sizes.length > mostParts) return sizes.length === 1 ? [of] : undefined;
  if (sizes.length === 1) return [of];
  const inner = sizeOfAxis(rest);
  if (inner === undefined || lead.size === undefined) return undefined;
  const wanted = sizes.map((size) => size / inner);
  if (!wanted.every(Number.isInteger) || wanted.reduce((sum, n) => sum + n, 0) !== lead.size)
    return undefined;
  const bounds = [0];
  for (const size of wanted) bounds.push(bounds.at(-1)! + size);
  const pieces: Axis[] = [];
  let offset = 0;
  for (const term of lead.parts?.kind === 'sum' ? lead.parts.terms : [undefined]) {
    const size = term ? sizeOfAxis(term)! : lead.size;
    const [from, to] = [offset, offset + size];
    const marks = [from, ...bounds.filter((bound) => bound > from && bound < to), to];
    const inside = marks.slice(1).map((mark, i) => mark - marks[i]);
    const parts = term ? partition(term, inside) : inside.map(axis);
    if (!parts) return undefined;
    pieces.push(...parts);
    offset = to;
  }
  refine(lead, { kind: 'sum', terms: pieces });
  let next = 0;
  return wanted.map((size) => {
    const group: Axis[] = [];
    for (let sum = 0; sum < size; next++) {
      group.push(pieces[next]);
      sum += sizeOfAxis(pieces[next])!;
    }
    return [...(size === 0 ? [{ size: 0 }] : concatenate(group)), ...rest];
  });
}

/** An axis of these axes laid end to end. */
export function concatenate(terms: readonly Axis[]): Axis {
  if (terms.length === 1) return terms[0];
  const sizes = terms.map(sizeOfAxis);
  if (sizes.some((size) => size === undefined)) return axis(undefined);
  const atom: Atom = { size: sizes.reduce((sum: number, size) => sum + size!, 0) };
  const parts = terms.reduce((sum, term) => (sum > mostParts ? sum : sum + leaves(term).length), 0);
  if (parts > mostParts) {
    const crowd = { at: 'the graph', what: `joins more than ${mostParts} parts to one axis` };
    for (const term of terms) freeze(term, crowd);
    return [{ ...atom, frozen: crowd }];
  }
  refine(atom, { kind: 'sum', terms });
  for (const { frozen } of terms.flatMap(leaves)) if (frozen && !atom.frozen) atom.frozen = frozen;
  return [atom];
}

function unite(a: Atom, b: Atom): boolean {
  if (a === b) return true;
  const [parts, other] = [a.parts, b.parts];
  if (parts && other) {
    if (parts.kind !== 'sum' || other.kind !== 'sum' || parts.terms.length !== other.terms.length)
      return false;
    if (parts.terms.some((term, i) => sizeOfAxis(term) !== sizeOfAxis(other.terms[i]))) return false;
    if (!parts.terms.every((term, i) => unify(term, other.terms[i]))) return false;
  }
  const [root, child] = parts || (!other && a.size !== undefined) ? [a, b] : [b, a];
  if (find(root) === find(child)) return true; // uniting the terms has met itself
  const frozen = root.frozen ?? child.frozen;
  child.parent = root;
  root.size ??= child.size;
  if (frozen) freeze([root], frozen);
  return true;
}

/**
 * Makes two axes the same, refining both where their boundaries differ.
 * @returns false when their slices cannot correspond one to one; the caller must freeze both
 */
export function unify(a: Axis, b: Axis): boolean {
  const left = factors(a);
  const right = factors(b);
  while (left.length > 0 && right.length > 0) {
    const [l, r] = [left[0], right[0]];
    if (l === r || (l.size !== undefined && l.size === r.size)) {
      if (!unite(l, r)) return false;
      left.shift();
      right.shift();
    } else if (l.size === undefined || r.size === undefined) {
      // A dimension without a number equals whatever the rest of the other side is.
      const leftOpen = l.size === undefined && (left.length === 1 || r.size !== undefined);
      const [symbol, rest] = leftOpen ? [left, right] : [right, left];
      if (symbol.length === 1 && rest.length > 1 && !rest.includes(symbol[0])) {
        refine(symbol[0], { kind: 'product', axis: [...rest] });
        return true;
      }
      if (l.size !== r.size && (left.length > 1 || right.length > 1)) return false;
      if (!unite(l, r)) return false;
      left.shift();
      right.shift();
    } else {
      const [large, small] = l.size > r.size ? [left, right] : [right, left];
      const divided = divide(large[0], small[0].size!);
      if (!divided) return false;
      large.splice(0, 1, divided[0], ...factors(divided[1]));
    }
  }
  return left.length === right.length;
}

/** A dimension as known before running: coefficient × atoms without a number. */
export interface Extent {
  readonly times: number;
  readonly symbols: readonly Atom[];
}

export function extentOf(of: Axis): Extent {
  const all = factors(of);
  return {
    times: all.reduce((product, atom) => product * (atom.size ?? 1), 1),
    symbols: all.filter((atom) => atom.size === undefined),
  };
}

/** Takes the factors that make up `extent` off one end of `from`; undefined when none prove to. */
function takeOff(from: readonly Atom[], { times, symbols }: Extent, end: 'front' | 'back') {
  const left = [...from];
  const wanted = factors(symbols).filter((atom) => atom.size === undefined);
  let size = times * factors(symbols).reduce((product, atom) => product * (atom.size ?? 1), 1);
  const taken: Atom[] = [];
  const take = (atom: Atom) => (end === 'front' ? taken.push(atom) : taken.unshift(atom));
  while (size !== 1 || wanted.length > 0) {
    const atom = end === 'front' ? left.shift() : left.pop();
    if (!atom) return undefined;
    if (atom.size === undefined) {
      const at = wanted.indexOf(atom);
      if (at < 0) return undefined;
      wanted.splice(at, 1);
      take(atom);
    } else if (size % atom.size === 0) {
      size /= atom.size;
      take(atom);
    } else if (size > 1 && atom.size % size === 0) {
      const divided = divide(atom, end === 'front' ? size : atom.size / size);
      if (!divided) return undefined;
      const parts = factors([divided[0], ...divided[1]]);
      if (end === 'front') left.unshift(...parts);
      else left.push(...parts);
    } else return undefined;
  }
  return { taken, left };
}

/**
 * Row-major regrouping: the same slices in the same order under other boundaries. Matches target dimensions from the
 * front and from the back: what matches is proven, whatever lies between.
 * @param dims undefined for a dimension that is not known
 * @returns the matched dimensions, the others undefined, and the factors that are left for those
 */
export function matchEnds(
  axes: Axes,
  dims: readonly (Extent | undefined)[],
): { readonly matched: readonly (Axis | undefined)[]; readonly rest: Axis } {
  let rest: readonly Atom[] = axes.flatMap(factors);
  const matched: (Axis | undefined)[] = dims.map(() => undefined);
  let [low, high] = [0, dims.length];
  for (const end of ['front', 'back'] as const) {
    while (low < high) {
      const at = end === 'front' ? low : high - 1;
      const extent = dims[at];
      const step = extent && takeOff(rest, extent, end);
      if (!step) break;
      matched[at] = step.taken;
      rest = step.left;
      if (end === 'front') low++;
      else high--;
    }
  }
  return { matched, rest };
}

/** The same where at most one dimension stays open, which holds what is left; undefined otherwise. */
export function regroup(axes: Axes, dims: readonly (Extent | undefined)[]): Axes | undefined {
  const { matched, rest } = matchEnds(axes, dims);
  const open = matched.filter((one) => one === undefined).length;
  if (open > 1 || (open === 0 && rest.length > 0)) return undefined;
  return matched.map((one) => one ?? rest);
}

/** Evaluates the size of an axis in any arithmetic: `of` gives an atom's new size, or undefined to look inside. */
export function measure<T>(
  of: Axis,
  ring: {
    one: T;
    times(a: T, b: T): T;
    plus(a: T, b: T): T;
    of(atom: Atom): T | undefined;
    number(size: number): T;
  },
): T {
  return factors(of).reduce((product, atom) => {
    const size =
      ring.of(atom) ??
      (atom.parts?.kind === 'sum'
        ? atom.parts.terms.map((term) => measure(term, ring)).reduce(ring.plus)
        : ring.number(atom.size ?? 1));
    return ring.times(product, size);
  }, ring.one);
}

/** Which slices of an axis stay when `kept` says which of an atom's do (undefined: all). Ascending per atom's order. */
export function keptSlices(of: Axis, kept: (atom: Atom) => readonly number[] | undefined): number[] {
  return factors(of).reduce<number[]>(
    (outer, atom) => {
      const inner = keptOfAtom(atom, kept);
      return outer.flatMap((o) => inner.map((i) => o * atom.size! + i));
    },
    [0],
  );
}

function keptOfAtom(atom: Atom, kept: (atom: Atom) => readonly number[] | undefined): readonly number[] {
  const own = kept(atom);
  if (own) return own;
  if (atom.parts?.kind !== 'sum') return Array.from({ length: atom.size! }, (_, i) => i);
  let offset = 0;
  return atom.parts.terms.flatMap((term) => {
    const here = keptSlices(term, kept).map((index) => index + offset);
    offset += sizeOfAxis(term)!;
    return here;
  });
}
