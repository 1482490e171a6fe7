/**
 * What a rule sees of a node, what it answers, and what all rules share.
 * @module
 */
import type { Node } from '../../onnx/model.ts';
import { type Axes, type Axis, axis, factors, isUnit, sameAxis } from '../axes.ts';
import { type Item, numbersOf, type ShapeInputs, type ShapeValue } from '../shape-values.ts';

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
  /** Forbids every removal along an axis; `what` is a verb phrase whose subject is the node. */
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

/** The axes of a node's outputs, or why they cannot be told. */
export type Answer = Outputs | Refused;
export type Outputs = readonly (Axes | undefined)[];
export type Rule = (op: Operation) => Answer;

/** Why a node is not followed: a verb phrase whose subject is the node. Without one, the cause lies before it. */
export interface Refused {
  readonly why: string | undefined;
}
export const refused = (why?: string): Refused => ({ why });
export const isRefused = (answer: unknown): answer is Refused =>
  typeof answer === 'object' && answer !== null && 'why' in answer;

export const computed = refused('takes its sizes from what only a run can tell');
export const outside = refused('names an axis that its operand does not have');
const lacking = refused('lacks an operand');

/** Applies a rule. What is refused stays whole: its operands are frozen, its outputs have their declared axes. */
export function follow(op: Operation, rule: Rule | undefined): { readonly outputs: Outputs; why?: string } {
  const answer = rule ? rule(op) : refused();
  if (!isRefused(answer)) return { outputs: answer };
  freezeInputs(op, answer.why ?? 'is not followed');
  const outputs = op.node.outputs.map((_, output) => op.declared(output));
  return answer.why === undefined ? { outputs } : { outputs, why: answer.why };
}

/** Any rank. */
export const any = undefined;

/** Wraps a rule that needs the axes of the node's first operands, of the given ranks. */
export const known =
  (ranks: readonly (number | undefined)[], rule: (op: Operation, ...axes: Axes[]) => Answer): Rule =>
  (op) => {
    if (ranks.some((_, input) => !op.node.inputs[input])) return lacking;
    const axes = ranks.map((_, input) => op.axes(input));
    if (!axes.every((one) => one !== undefined)) return refused();
    const wrong = ranks.findIndex((rank, input) => rank !== undefined && rank !== axes[input].length);
    if (wrong < 0) return rule(op, ...axes);
    return refused(`takes an operand of ${ranks[wrong]} dimensions and has one of ${axes[wrong].length}`);
  };

/** Wraps a rule that works along the axis of its first operand that the attribute `axis` names. */
export const along = (
  absent: number | ((op: Operation) => number),
  rule: (op: Operation, x: Axes, at: number) => Answer,
): Rule =>
  known([any], (op, x) => {
    const at = place(op.int('axis', typeof absent === 'number' ? absent : absent(op)), x.length);
    return at === undefined ? outside : rule(op, x, at);
  });

/** Every output lies as `x` does. */
export const alike = (op: Operation, x: Axes): Outputs => op.node.outputs.map(() => x);

/** Where an index points, -1 being the last of `rank`; undefined where there is nothing. */
export function place(index: number, rank: number): number | undefined {
  const at = index < 0 ? index + rank : index;
  return Number.isInteger(at) && at >= 0 && at < rank ? at : undefined;
}

/** The distinct axes that an attribute `axes`, or an input, lists; undefined where neither is there. */
export function listedAxes(
  op: Operation,
  input: number,
  rank: number,
): readonly number[] | Refused | undefined {
  const listed = op.ints('axes') ?? (op.node.inputs[input] ? numbersOf(op.value(input)) : []);
  if (!listed) return refused('works along axes that are computed');
  if (listed.length === 0 && !op.ints('axes') && !op.node.inputs[input]) return undefined;
  const places = listed.map((index) => place(index, rank));
  const all = places.every((at) => at !== undefined) && new Set(places).size === places.length;
  return all ? (places as number[]) : outside;
}

/** The axis of a computed size: of its factors, the batch before the heads, or an unknown one. */
export const sizedBy = (item: Item): Axis =>
  item && Number.isSafeInteger(item.times) && item.times >= 0
    ? [...item.symbols, ...axis(item.times)]
    : axis(undefined);

/** Freezes all that a node reads, or all but some of its inputs. */
export function freezeInputs(op: Operation, what: string, except: readonly number[] = []): void {
  op.node.inputs.forEach((_, input) => {
    if (!except.includes(input)) for (const one of op.axes(input) ?? []) op.freeze(one, what);
  });
}

const sized = (of: Axis) => factors(of).some((atom) => atom.size !== undefined);

/** Whether it is certain that the axis has one slice, or several. */
export const isCertain = (of: Axis) => isUnit(of) || sized(of);

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
