/**
 * The rule of If: another If on the same condition, whose branches compute again what they need, and go backwards.
 * @module
 */
import { adjoint as adjointOf } from '../adjoint.ts';
import type { Adjoint, Rule } from '../operation.ts';

export const conditional: Rule = {
  through: [],
  from: 'every',
  backward: (op, adjoints) => {
    const { captured, node, g } = op;
    const seeds = new Map<number, Adjoint>();
    for (const [i, of] of adjoints.entries()) if (of) seeds.set(i, of);
    const bodies = ['then_branch', 'else_branch'].map((branch) => {
      const body = g.body(branch);
      for (const [i, gradient] of op.throughBody(branch, body, seeds).entries())
        body.output(`gradient.${i}`, gradient);
      return [branch, body.graph()] as const;
    });
    const values = g.ops('If', [node.inputs[0]], Object.fromEntries(bodies), captured.length);
    return [undefined, ...values.map((value) => adjointOf(value))];
  },
};
