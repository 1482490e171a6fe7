/**
 * A training step as one ONNX graph: batches and state in, state and losses out.
 *
 *   Loop over the optimiser's steps, carrying (steps done, weights, moments)
 *     each batch: cut out of the flat feeds → student, loss, backward
 *     (several batches a step: an inner Loop, carrying the sums of their gradients)
 *     norm → clip → AdamW
 *
 * A run does as many steps as it is fed batches for; only at its ends do weights and moments cross between JavaScript and the
 * runtime. Batches may differ in shape: each feed is the batches' tensors end to end, with where each begins and its shape.
 *
 * A graph for one step a run does without the Loop, at whose end the state would be copied once more.
 * @module
 */
import { type GraphBuilder, graphBuilder } from '../onnx/build.ts';
import type { Dim, ElementType, Graph, Model, ValueInfo } from '../onnx/model.ts';
import { type AdamW, adamWNodes, gradientNorm, type Slot } from './adamw.ts';
import { inline } from './inline.ts';
import { rateNodes, type Schedule } from './schedule.ts';

/** A learned weight: float32, its gradient a value of the step's graph. */
export interface Learned {
  readonly name: string;
  readonly shape: readonly number[];
  readonly gradient: string;
}

export interface StepPlan {
  /** The student with its loss and the backward nodes. */
  readonly graph: Graph;
  readonly opsets: ReadonlyMap<string, number>;
  readonly learned: readonly Learned[];
  /** Scalars of `graph` to report as means over a step's batches: name → value. */
  readonly reports: ReadonlyMap<string, string>;
  readonly optimiser: AdamW;
  readonly schedule: Schedule;
  /** Batches of a step. */
  readonly accumulate: number;
  /** Whether a run does any number of steps, or just one. */
  readonly loop: boolean;
}

/** Names of the step graph's inputs and outputs. */
export const port = {
  /** int64 []: steps to do; of a graph with a Loop only. */
  count: 'count',
  /** int64 []: steps done before; an output too, as `next(done)`. */
  done: 'done',
  /** The batches' tensors of a feed end to end [elements]; where each begins, and the end [batches + 1]; shapes [batches, rank]. */
  data: (feed: string) => `data/${feed}`,
  starts: (feed: string) => `starts/${feed}`,
  shapes: (feed: string) => `shapes/${feed}`,
  weight: (name: string) => `weight/${name}`,
  first: (name: string) => `first/${name}`,
  second: (name: string) => `second/${name}`,
  next: (state: string) => `next/${state}`,
  /** float32 [steps]; `norm` and `rate` are among them. */
  report: (name: string) => `report/${name}`,
} as const;

/** The state's inputs of a weight, in the order in which they are carried. */
export const stateOf = (name: string) => [port.weight(name), port.first(name), port.second(name)];

export function stepModel(plan: StepPlan): Model {
  const { learned, opsets } = plan;
  const g = graphBuilder('steps');
  const carried: Carried[] = [
    { name: port.done, type: 'int64', shape: [] },
    ...learned.flatMap(({ name, shape }) =>
      stateOf(name).map((state): Carried => ({ name: state, type: 'float32', shape })),
    ),
  ];
  const { state, reports, info } = (plan.loop ? manySteps : oneStep)(g, plan, carried);
  carried.forEach(({ name, type, shape }, i) => {
    g.output(port.next(name), state[i], type, shape);
  });
  for (const [name, value] of reports) g.output(port.report(name), value, 'float32', ['steps']);
  const domains = Object.fromEntries([...opsets].filter(([domain]) => domain !== ''));
  const model = g.model({ opset: opsets.get('') ?? 1, domains });
  described(model.graph, info);
  return model;
}

/** A part of the state, as it is declared. */
interface Carried {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** The state after a run, in the order of what was carried, and each report [steps]. */
interface Ran {
  readonly state: readonly string[];
  readonly reports: ReadonlyMap<string, string>;
  /** Values of this very graph whose shapes are worth declaring. */
  readonly info: readonly ValueInfo[];
}

function manySteps(g: GraphBuilder, plan: StepPlan, carried: readonly Carried[]): Ran {
  const count = g.input(port.count, 'int64', []);
  const initial = carried.map(({ name, type, shape }) => g.input(name, type, shape));
  const feeds = plan.graph.inputs.map((info) => declareFeed(g, info));

  const body = g.body('step');
  const iteration = body.input('iteration', 'int64', []);
  const go = body.input('go', 'bool', []);
  const state = carried.map(({ name, type, shape }) => body.input(name, type, shape));
  const done = stepNodes(body, plan, feeds, iteration, state);
  body.output('goes_on', go, 'bool', []);
  done.state.forEach((value, i) => {
    const { name, type, shape } = carried[i];
    body.output(port.next(name), value, type, shape);
  });
  for (const [name, value] of done.reports) body.output(port.report(name), value, 'float32', []);
  const results = g.ops(
    'Loop',
    [count, '', ...initial],
    { body: described(body.graph(), done.info) },
    carried.length + done.reports.size,
  );
  return {
    state: results.slice(0, carried.length),
    reports: new Map([...done.reports.keys()].map((name, i) => [name, results[carried.length + i]])),
    info: [],
  };
}

function oneStep(g: GraphBuilder, plan: StepPlan, carried: readonly Carried[]): Ran {
  const state = carried.map(({ name, type, shape }) => g.input(name, type, shape));
  const feeds = plan.graph.inputs.map((info) => declareFeed(g, info));
  const done = stepNodes(g, plan, feeds, g.scalar('int64', 0), state);
  const listed = [...done.reports].map(
    ([name, value]) => [name, g.op('Reshape', [value, g.ints(1)])] as const,
  );
  return { state: done.state, reports: new Map(listed), info: done.info };
}

interface Feed extends ValueInfo {
  readonly data: string;
  readonly starts: string;
  readonly shapes: string;
}

function declareFeed(g: GraphBuilder, info: ValueInfo): Feed {
  const { name, type } = info;
  const rank: Dim = info.shape?.length ?? `${name}.rank`;
  return {
    ...info,
    data: g.input(port.data(name), type as ElementType, [`${name}.elements`]),
    starts: g.input(port.starts(name), 'int64', [`${name}.starts`]),
    shapes: g.input(port.shapes(name), 'int64', [`${name}.batches`, rank]),
  };
}

/** What a graph knows of the shapes of its batches, which a Reshape by a computed shape does not tell. */
function described(graph: Graph, info: readonly ValueInfo[]): Graph {
  for (const one of info) graph.valueInfo.set(one.name, one);
  return graph;
}

/** One optimiser step; `state` holds the steps done, then each weight with its moments. */
function stepNodes(
  g: GraphBuilder,
  plan: StepPlan,
  feeds: readonly Feed[],
  iteration: string,
  state: readonly string[],
) {
  const { learned, optimiser, schedule, accumulate } = plan;
  const [done, ...rest] = state;
  const weights = learned.map((_, i) => rest[3 * i]);
  const { gradients, reports, info } =
    accumulate === 1
      ? batchNodes(g, plan, feeds, iteration, weights)
      : accumulated(g, plan, feeds, iteration, weights);
  const norm = gradientNorm(g, gradients);
  const rate = rateNodes(g, schedule, g.op('Cast', [done], { to: 1 }));
  const slots = learned.map(
    ({ shape }, i): Slot => ({
      weight: weights[i],
      first: rest[3 * i + 1],
      second: rest[3 * i + 2],
      gradient: gradients[i],
      decays: shape.length > 1,
    }),
  );
  const updated = adamWNodes(g, slots, optimiser, { rate, done, norm });
  return {
    state: [
      g.op('Add', [done, g.scalar('int64', 1)]),
      ...updated.flatMap(({ weight, first, second }) => [weight, first, second]),
    ],
    reports: new Map([...reports, ['norm', norm], ['rate', rate]]),
    info,
  };
}

interface Gradients {
  readonly gradients: readonly string[];
  readonly reports: ReadonlyMap<string, string>;
  /** Values of this very graph whose shapes are worth declaring. */
  readonly info: readonly ValueInfo[];
}

/** Forward and backward of the batch number `index` (int64 []). */
function batchNodes(
  g: GraphBuilder,
  plan: StepPlan,
  feeds: readonly Feed[],
  index: string,
  weights: readonly string[],
): Gradients {
  const here = g.op('Reshape', [index, g.ints(1)]);
  const next = g.op('Add', [here, g.scalar('int64', 1)]);
  const info: ValueInfo[] = [];
  const given = new Map(plan.learned.map(({ name }, i) => [name, weights[i]]));
  for (const { name, type, shape, data, starts, shapes } of feeds) {
    const [from, to] = [here, next].map((at) => g.op('Gather', [starts, at]));
    const piece = g.op('Slice', [data, from, to, g.ints(0)]);
    const value = g.op('Reshape', [piece, g.op('Gather', [shapes, index])], {}, { name });
    given.set(name, value);
    info.push({ name: value, type: type as ElementType, ...(shape && { shape }) });
  }
  const read = inline(g, plan.graph, given);
  return {
    gradients: plan.learned.map(({ gradient }) => read(gradient)),
    reports: new Map([...plan.reports].map(([name, value]) => [name, read(value)])),
    info,
  };
}

/** The means over a step's batches: sums carried through a Loop, divided once. */
function accumulated(
  g: GraphBuilder,
  plan: StepPlan,
  feeds: readonly Feed[],
  iteration: string,
  weights: readonly string[],
): Gradients {
  const { learned, accumulate } = plan;
  const count = g.scalar('int64', accumulate);
  const first = g.op('Mul', [iteration, count]);
  const zero = g.scalar('float32', 0);
  const names = [...plan.reports.keys()];
  const initial = [...weights.map((weight) => g.op('Mul', [weight, zero])), ...names.map(() => zero)];

  const body = g.body('batch');
  const at = body.input('batch', 'int64', []);
  const go = body.input('go', 'bool', []);
  const shapes = [...learned.map(({ shape }) => shape), ...names.map(() => [])];
  const sums = shapes.map((shape, i) => body.input(`sum.${i}`, 'float32', shape));
  const one = batchNodes(body, plan, feeds, body.op('Add', [first, at]), weights);
  body.output('goes_on', go, 'bool', []);
  [...one.gradients, ...one.reports.values()].forEach((value, i) => {
    body.output(`total.${i}`, body.op('Add', [sums[i], value]), 'float32', shapes[i]);
  });
  const totals = g.ops(
    'Loop',
    [count, '', ...initial],
    { body: described(body.graph(), one.info) },
    sums.length,
  );
  const means = totals.map((total) => g.op('Mul', [total, g.scalar('float32', 1 / accumulate)]));
  return {
    gradients: means.slice(0, learned.length),
    reports: new Map(names.map((name, i) => [name, means[learned.length + i]])),
    info: [],
  };
}
