/**
 * Rules of operators that make values: constants, ranges, what is filled or random, and the shapes of other values.
 * @module
 */
import { elementOf } from '../elements.ts';
import type { ElementType } from '../model.ts';
import { intAttribute, intsAttribute, tensorAttribute } from '../walk.ts';
import { type Expression, isNatural, multiply, same, subtract } from './expression.ts';
import { axisIn, describedShape, fill, largestValue, type Rule, scalarOf, vector } from './known.ts';

const constant: Rule = (node) => {
  const stored = tensorAttribute(node, 'value');
  if (stored) return [{ type: stored.type, shape: stored.shape }];
  for (const [name, attribute] of node.attributes) {
    const type: ElementType = name.startsWith('value_int')
      ? 'int64'
      : name.startsWith('value_float')
        ? 'float32'
        : 'string';
    switch (attribute.kind) {
      case 'int':
        return [{ type, shape: [], value: { shape: [], items: [Number(attribute.value)] } }];
      case 'float':
        return [{ type, shape: [], value: { shape: [], items: [attribute.value] } }];
      case 'string':
        return [{ type, shape: [] }];
      case 'ints':
      case 'floats': {
        const shape = [attribute.value.length];
        return [{ type, shape, value: { shape, items: attribute.value.map(Number) } }];
      }
      case 'strings':
        return [{ type, shape: [attribute.value.length] }];
    }
  }
  return [{}];
};

const random: Rule = (node) => [
  { type: elementOf(intAttribute(node, 'dtype', 1)) ?? 'float32', shape: intsAttribute(node, 'shape') },
];

const shapeOf: Rule = (node, [data]) => {
  const rank = data.shape?.length;
  if (!data.shape || rank === undefined) return [{ type: 'int64', shape: [undefined] }];
  const clamp = (bound: number) => Math.min(Math.max(axisIn(rank, bound), 0), rank);
  const dims = data.shape.slice(
    clamp(intAttribute(node, 'start', 0)),
    clamp(intAttribute(node, 'end', rank)),
  );
  return [{ type: 'int64', shape: [dims.length], value: vector(dims) }];
};

const size: Rule = (_node, [data]) => {
  const known = data.shape?.every((dim) => dim !== undefined);
  const items = [known ? (data.shape as Expression[]).reduce(multiply, 1) : undefined];
  return [{ type: 'int64', shape: [], value: { shape: [], items } }];
};

const range: Rule = (_node, [start, limit, delta]) => {
  const [from, to, by] = [start, limit, delta].map(scalarOf);
  if (from === undefined || to === undefined || by === undefined || by === 0)
    return [{ type: start.type, shape: [undefined] }];
  const span = subtract(to, from);
  if (typeof span === 'number' && typeof by === 'number') {
    const length = Math.max(0, Math.ceil(span / by));
    const value =
      typeof from === 'number' && length <= largestValue
        ? vector(Array.from({ length }, (_, i) => from + i * by))
        : undefined;
    return [{ type: start.type, shape: [length], value }];
  }
  return [{ type: start.type, shape: [same(by, 1) && isNatural(span) ? span : undefined] }];
};

const constantOfShape: Rule = (node, [target]) => {
  const stored = tensorAttribute(node, 'value');
  const type = stored?.type ?? 'float32';
  const shape = describedShape(target)?.map((dim) => (dim !== undefined && isNatural(dim) ? dim : undefined));
  const item = stored ? Number(stored.tensor().data[0]) : 0;
  return [{ type, shape, value: shape && fill(shape, item) }];
};

const eyeLike: Rule = (node, [data]) => [
  { type: elementOf(intAttribute(node, 'dtype', 0)) ?? data.type, shape: data.shape },
];

export const makingRules = {
  Constant: constant,
  ConstantOfShape: constantOfShape,
  EyeLike: eyeLike,
  RandomNormal: random,
  RandomUniform: random,
  Range: range,
  Shape: shapeOf,
  Size: size,
} as const satisfies Record<string, Rule>;
