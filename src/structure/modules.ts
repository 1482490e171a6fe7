/**
 * Removing a whole module: what its consuming matrix made is zero, so only the output bias stays. It joins the next
 * residual addition, which broadcasts it; where there is none, it is expanded to the shape of a value that has the same axes.
 * @module
 */
import { freshName, insertNodes, newNode, removeDeadNodes, replaceUses } from '../onnx/edit.ts';
import type { Model, Node } from '../onnx/model.ts';
import { storedTensor } from '../onnx/stored.ts';
import { floatAttribute, type GraphIndex, indexGraph, type Use } from '../onnx/walk.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { type Analysis, operandKey } from './analyse.ts';
import { type Atom, type Axes, leaves, sameAxis, sizeOfAxis } from './axes.ts';
import { draftOf, sameAxes, shapeOf } from './draft.ts';

/**
 * Takes the consuming matrix that makes `output` out of the model, and with it all that only it needs.
 * @returns false when no other value has the shape of `output`; the model is then as it was
 */
export function removeModule(model: Model, analysis: Analysis, atom: Atom, output: string): boolean {
  const { graph } = model;
  const index = indexGraph(graph);
  const node = index.producer(output)?.node;
  if (!node) return true; // a matrix that serves several layers: an earlier removal took all that read this one
  const gemm = node.opType === 'Gemm' && node.inputs[2] !== undefined && node.inputs[2] !== '';
  if (gemm && floatAttribute(node, 'beta', 1) !== 1) return false;
  const added = analysis.operands.get(operandKey(node, 2)) ?? analysis.values.get(node.inputs[2] ?? '');
  if (gemm && added?.length !== 1) return false; // no vector, but another stream
  const state: State = {
    value: output,
    axes: analysis.values.get(output)!,
    ...(gemm && { bias: node.inputs[2] }),
  };
  for (let use = onlyUse(index, state.value); use; use = onlyUse(index, state.value)) {
    const residual = joins(analysis, state, use);
    if (residual) {
      if (state.bias !== undefined) use.node.inputs[use.position] = state.bias;
      else if (index.isOutput(use.node.outputs[0])) break;
      else replaceUses(graph, use.node.outputs[0], residual);
      removeDeadNodes(graph);
      return true;
    }
    if (!passes(model, analysis, state, use)) break;
  }
  return expand(model, analysis, atom, node, state);
}

/** The value that stands for the module's result, and the vector that it is everywhere. */
interface State {
  value: string;
  axes: Axes;
  bias?: string;
}

function onlyUse(index: GraphIndex, value: string): Use | undefined {
  const uses = index.uses(value);
  return uses.length === 1 && !index.isOutput(value) && uses[0].owner === uses[0].node ? uses[0] : undefined;
}

/** The other side of an addition to a value of the same shape. */
function joins(analysis: Analysis, { axes }: State, { node, position }: Use): string | undefined {
  if (node.opType !== 'Add') return undefined;
  const other = node.inputs[1 - position];
  return sameAxes(analysis.values.get(other), axes) ? other : undefined;
}

/** Follows the vector through an addition of another one, or a change of layout that leaves the last axis alone. */
function passes(model: Model, analysis: Analysis, state: State, { node, position }: Use): boolean {
  const [next] = node.outputs;
  const axes = analysis.values.get(next);
  if (!axes || position < 0) return false;
  const last = state.axes.at(-1)!;
  if (node.opType === 'Add') {
    const other = node.inputs[1 - position];
    const vector = analysis.operands.get(operandKey(node, 1 - position));
    if (!vector || vector.length > 1 || model.graph.initializers.get(other)?.shape.length === 0) return false;
    if (sizeOfAxis(vector[0] ?? []) !== sizeOfAxis(last)) return false;
    if (state.bias === undefined) state.bias = other;
    else {
      const sum = freshName(model.graph, `${other}_sum`);
      insertNodes(model.graph, [newNode('Add', [state.bias, other], [sum])]);
      state.bias = sum;
    }
  } else if (!['Reshape', 'Transpose', 'Identity', 'Dropout'].includes(node.opType) || position !== 0)
    return false;
  if (!sameAxis(axes.at(-1) ?? [], last)) return false;
  state.value = next;
  state.axes = axes;
  return true;
}

/** Writes the vector out in full, in the shape that other values tell. */
function expand(
  model: Model,
  analysis: Analysis,
  atom: Atom,
  consumer: Node,
  { value, axes, bias }: State,
): boolean {
  const { graph } = model;
  const draft = draftOf(model);
  const earlier = graph.nodes.slice(0, graph.nodes.indexOf(consumer)).flatMap((node) => node.outputs);
  const sources = [...graph.inputs.map(({ name }) => name), ...earlier].filter(
    (name) => !analysis.values.get(name)?.flatMap(leaves).includes(atom),
  );
  const shape = shapeOf(draft, axes, sources, analysis.values);
  if (shape === undefined) return false;
  let vector = bias;
  if (vector === undefined) {
    vector = draft.fresh(`${value}_zero`);
    const type = (analysis.typeOf(value) ?? 'float32') as Tensor['type'];
    graph.initializers.set(vector, storedTensor(zeros(type, [sizeOfAxis(axes.at(-1)!)!])));
  }
  const maker = graph.nodes.find((node) => node.outputs.includes(value))!;
  maker.outputs = maker.outputs.map((name) => (name === value ? draft.fresh(`${value}_unused`) : name));
  draft.op('Expand', [vector, shape], [], value);
  draft.settle();
  removeDeadNodes(graph);
  return true;
}
