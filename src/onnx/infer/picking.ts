/**
 * Rules of operators that pick elements by index or by value.
 * @module
 */
import { intAttribute } from '../walk.ts';
import { axisAttribute, axisIn, type Rule, scalarOf } from './known.ts';

const gather: Rule = (node, [data, indices]) => {
  const { type } = data;
  if (!data.shape || !indices.shape) return [{ type }];
  const axis = axisAttribute(node, data.shape, 0);
  const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
  const items = data.value?.items;
  const value =
    items && data.shape.length === 1 && indices.value
      ? {
          shape: indices.value.shape,
          items: indices.value.items.map((at) =>
            typeof at === 'number' ? items[axisIn(items.length, at)] : undefined,
          ),
        }
      : undefined;
  return [{ type, shape, value }];
};

const gatherND: Rule = (node, [data, indices]) => {
  const batch = intAttribute(node, 'batch_dims', 0);
  const depth = indices.shape?.at(-1);
  if (!data.shape || !indices.shape || typeof depth !== 'number') return [{ type: data.type }];
  return [{ type: data.type, shape: [...indices.shape.slice(0, -1), ...data.shape.slice(batch + depth)] }];
};

const oneHot: Rule = (node, [indices, depth, values]) => {
  if (!indices.shape) return [{ type: values.type }];
  const axis = axisIn(indices.shape.length + 1, intAttribute(node, 'axis', -1));
  return [{ type: values.type, shape: indices.shape.toSpliced(axis, 0, scalarOf(depth)) }];
};

const topK: Rule = (node, [data, count]) => {
  if (!data.shape) return [{ type: data.type }, { type: 'int64' }];
  const shape = data.shape.with(axisAttribute(node, data.shape, -1), scalarOf(count));
  return [
    { type: data.type, shape },
    { type: 'int64', shape },
  ];
};

const nonZero: Rule = (_node, [data]) => [{ type: 'int64', shape: [data.shape?.length, undefined] }];

/** The second input's shape, the first one's type. */
const gatherElements: Rule = (_node, [data, indices]) => [{ type: data.type, shape: indices.shape }];

const compress: Rule = (node, [data]) => {
  if (!data.shape || !node.attributes.has('axis'))
    return [{ type: data.type, shape: node.attributes.has('axis') ? undefined : [undefined] }];
  return [{ type: data.type, shape: data.shape.with(axisAttribute(node, data.shape, 0), undefined) }];
};

export const pickingRules = {
  Compress: compress,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  NonZero: nonZero,
  OneHot: oneHot,
  TopK: topK,
} as const satisfies Record<string, Rule>;
