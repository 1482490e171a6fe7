/**
 * What a rule sees of a node, and what all rules share.
 * @module
 */
import type { Node } from '../../onnx/model.ts';
import { type Axes, type Axis, factors, isUnit, sameAxis } from '../axes.ts';
import type { ShapeInputs, ShapeValue } from '../shape-values.ts';

/** One node at work, as a rule sees it. */
export interface Operation extends ShapeInputs {
  readonly node: Node;
  readonly opset: number;
  /** The axes of an input; undefined when it is absent or nothing is known about it. */
  axes(input: number): Axes | undefined;
  isConstant(input: number): boolean;
  value(input: number): ShapeValue | undefined;
  int(name: string, otherwise: number): number;
  ints(name: string): readonly number[] | undefined;
  text(name: string): string | undefined;
  freeze(of: Axis, what: string): void;
  /** Pairs two axes slice by slice; freezes both where that is impossible. */
  unify(a: Axis, b: Axis): void;
  /** Sums over axis `at` of one input against an axis of the other. A constant matrix makes it a consumer. */
  contract(one: Contracted, other: Contracted): void;
  /** Slices that meet only their own kind while two activations are multiplied: heads. */
  batch(of: Axis): void;
  /** The inside of a head: what such a product keeps beside its batch. */
  mix(of: Axis): void;
  /**
   * What an integer vector (an input, or an attribute by name) must hold after a cut: per item the axes whose sizes
   * add up to it, or undefined where it stays as it is.
   */
  target(where: number | string, items: readonly (readonly Axis[] | undefined)[], redundant?: boolean): void;
  /** The declared axes of an output, for operators that are not followed. */
  declared(output: number): Axes | undefined;
}

export interface Contracted {
  readonly input: number;
  readonly at: number;
}

export type Rule = (op: Operation) => readonly (Axes | undefined)[];

export const sized = (of: Axis) => factors(of).some((atom) => atom.size !== undefined);
export const at = (index: number, rank: number) => (index < 0 ? index + rank : index);

/** Numpy's broadcasting: aligned at the right; axes that are not units are the same axis. */
export function broadcast(op: Operation, all: readonly Axes[]): Axes {
  const rank = Math.max(0, ...all.map((axes) => axes.length));
  return Array.from({ length: rank }, (_, i) => {
    const here = all.flatMap((axes) => {
      const own = axes[i - rank + axes.length];
      return own && !isUnit(own) ? [own] : [];
    });
    const numbered = here.filter(sized);
    // A dimension without a number may be 1 or the whole: which one decides what a cut would have to do.
    if (
      numbered.length > 0 &&
      numbered.length < here.length &&
      !here.every((one) => sameAxis(one, here[0]))
    ) {
      for (const one of numbered) op.freeze(one, 'pairs it with a dimension of unknown size');
      return numbered[0];
    }
    for (const other of here.slice(1)) op.unify(here[0], other);
    return here[0] ?? [];
  });
}

/** Freezes all that goes in, and gives up on what comes out, but for its declared shape. */
export const opaque: Rule = (op) => {
  op.node.inputs.forEach((_, input) => {
    for (const one of op.axes(input) ?? []) op.freeze(one, 'is not followed');
  });
  return op.node.outputs.map((_, output) => op.declared(output));
};

/** Wraps a rule that needs the axes of its first `count` inputs. */
export const known =
  (count: number, rule: (op: Operation, ...axes: Axes[]) => readonly (Axes | undefined)[]): Rule =>
  (op) => {
    const axes = Array.from({ length: count }, (_, input) => op.axes(input));
    return axes.every((one) => one !== undefined) ? rule(op, ...(axes as Axes[])) : opaque(op);
  };
