/**
 * Rules of If, Loop and Scan: what is known of their bodies' outputs.
 * @module
 */
import { graphAttribute, intAttribute, intsAttribute } from '../walk.ts';
import { axisIn, given, type Known, merge, type Rule, scalarOf, unknown } from './known.ts';

/** Both branches run only one at a time: what they agree on is known. */
const ifRule: Rule = (node, _inputs, context) => {
  const [yes, no] = ['then_branch', 'else_branch'].map((name) => {
    const graph = graphAttribute(node, name);
    return graph && context.body(graph, []);
  });
  return node.outputs.map((_, i) => merge(yes?.[i] ?? unknown, no?.[i] ?? unknown));
};

/** Keeps of a carried value what holds in every iteration: what the body gives back as it came in. */
function carried(
  initial: readonly Known[],
  step: (state: readonly Known[]) => readonly Known[],
): [Known[], readonly Known[]] {
  // No value may be taken over from the first iteration.
  let state = initial.map(({ type, shape }): Known => ({ type, shape }));
  let results = step(state);
  // Each round makes a dimension unknown, or is the last; ranks may shrink to unknown once.
  for (let round = 0; round < 3; round++) {
    const next = state.map((known, i): Known => {
      const { type, shape } = merge(known, { ...results[i], type: known.type });
      return { type: known.type ?? results[i]?.type ?? type, shape };
    });
    if (JSON.stringify(next) === JSON.stringify(state)) return [state, results];
    state = next;
    results = step(state);
  }
  return [state.map(({ type }) => ({ type })), results];
}

/** Inputs: trip count, condition, carried values; outputs: carried values, then one stacked axis per scan output. */
const loop: Rule = (node, inputs, context) => {
  const body = graphAttribute(node, 'body');
  if (!body) return node.outputs.map(() => unknown);
  const counter: Known = { type: 'int64', shape: [] };
  const condition: Known = { type: 'bool', shape: [] };
  const initial = given(node, inputs).slice(2);
  const [state, results] = carried(initial, (now) =>
    context.body(body, [counter, condition, ...now]).slice(1),
  );
  // A condition may end the loop early; without one the trip count is exact.
  const endless = !node.inputs[1];
  const trips = endless ? scalarOf(inputs[0]) : undefined;
  return node.outputs.map((_, i) => {
    if (i < state.length) return state[i];
    const { type, shape } = results[i] ?? unknown;
    return { type, shape: shape && [trips, ...shape] };
  });
};

/** Scans its last `num_scan_inputs` inputs along an axis. */
const scan: Rule = (node, operands, context) => {
  const inputs = given(node, operands);
  const body = graphAttribute(node, 'body');
  if (!body) return node.outputs.map(() => unknown);
  const count = Math.min(Math.max(intAttribute(node, 'num_scan_inputs', 0), 0), inputs.length);
  const split = inputs.length - count;
  const inAxes = intsAttribute(node, 'scan_input_axes', new Array(count).fill(0));
  let length: Known['shape'] = [undefined];
  const slices = inputs.slice(split).map(({ type, shape }, i): Known => {
    if (!shape) return { type };
    const axis = axisIn(shape.length, inAxes[i]);
    if (shape[axis] !== undefined) length = [shape[axis]];
    return { type, shape: shape.toSpliced(axis, 1) };
  });
  const [state, results] = carried(inputs.slice(0, split), (now) => context.body(body, [...now, ...slices]));
  const outAxes = intsAttribute(node, 'scan_output_axes', []);
  return node.outputs.map((_, i) => {
    if (i < state.length) return state[i];
    const { type, shape } = results[i] ?? unknown;
    const axis = shape && axisIn(shape.length + 1, outAxes[i - state.length] ?? 0);
    return {
      type,
      shape: axis === undefined ? undefined : shape?.toSpliced(axis, 0, ...(length ?? [undefined])),
    };
  });
};

export const controlRules = { If: ifRule, Loop: loop, Scan: scan } as const satisfies Record<string, Rule>;
