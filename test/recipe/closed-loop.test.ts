import { expect, test } from 'vitest';
import { silent } from '../../src/progress.ts';
import { bestTurn, closedLoop, type Shot, tighterGoal, verdict } from '../../src/recipe/closed-loop.ts';

/** A machine on which files run at `ratio` of what the table predicts, measured to ±1 %. */
const machine = (ratio: number, goals: number[] = []) => ({
  goals,
  shoot: async (goal: number): Promise<Shot> => {
    goals.push(goal);
    const measured = goal * ratio;
    return { predicted: goal, measured, low: measured * 0.99 };
  },
});

test.each([0.8, 0.95, 1, 1.05, 1.3])('a table that is off by a factor of %d is corrected', async (ratio) => {
  const { shoot, goals } = machine(ratio);
  const turns = await closedLoop(2, 1, shoot, silent);
  const { shot } = bestTurn(2, turns);
  expect(shot.low).toBeGreaterThanOrEqual(2);
  expect(shot.measured).toBeLessThanOrEqual(2 * 1.05);
  expect(goals.length).toBeLessThanOrEqual(3);
});

test('a correction learned from an earlier target hits at the first shot', async () => {
  const { shoot, goals } = machine(0.8);
  await closedLoop(3, 0.8, shoot, silent);
  expect(goals).toHaveLength(1);
});

test('a surplus is given back by lowering the goal, a shortfall made up by raising it', async () => {
  const fast = machine(1.3);
  await closedLoop(2, 1, fast.shoot, silent);
  expect(fast.goals[1]).toBeLessThan(fast.goals[0]);
  const slow = machine(0.8);
  await closedLoop(2, 1, slow.shoot, silent);
  expect(slow.goals[1]).toBeGreaterThan(slow.goals[0]);
});

test('a target beyond reach ends with the fastest that was found', async () => {
  const ceiling = async (goal: number): Promise<Shot | undefined> =>
    goal > 2.5 ? undefined : { predicted: goal, measured: goal * 0.7, low: goal * 0.69 };
  const turns = await closedLoop(2, 1, ceiling, silent);
  expect(turns.length).toBeGreaterThan(0);
  expect(bestTurn(2, turns).shot.low).toBe(Math.max(...turns.map(({ shot }) => shot.low)));
});

test('of several turns that clear the target the one with the least surplus is kept', () => {
  const turns = [2.4, 2.05, 2.2, 1.9].map((measured) => ({
    goal: measured,
    shot: { predicted: measured, measured, low: measured - 0.02 },
  }));
  expect(bestTurn(2, turns).goal).toBe(2.05);
});

test('of turns that scatter, the one surest to clear the target is kept, and a great surplus only when nothing else does', () => {
  const turn = (measured: number, low: number) => ({
    goal: measured,
    shot: { predicted: measured, measured, low },
  });
  expect(bestTurn(2, [turn(2.05, 1.95), turn(2.12, 1.98), turn(2.5, 2.4)]).goal).toBe(2.12);
  expect(bestTurn(2, [turn(2.05, 1.95), turn(2.15, 2.03)]).goal).toBe(2.15);
  expect(bestTurn(2, [turn(1.9, 1.8), turn(2.5, 2.4), turn(2.3, 2.2)]).goal).toBe(2.3);
  expect(bestTurn(2, [turn(2.05, 1.95), turn(2.5, 2.4)], { anySurplus: true }).goal).toBe(2.5);
});

test('a target that scatters is measured once more, then tightened by what its interval lacks', () => {
  const shot = { predicted: 2, measured: 2.06, low: 1.9 };
  expect(verdict(2, { ...shot, low: 2 }, 0)).toBe('keep');
  expect(verdict(2, shot, 0)).toBe('measure');
  expect(verdict(2, shot, 1)).toBe('tighten');
  expect(verdict(2, { ...shot, measured: 2.01 }, 0)).toBe('tighten');
  expect((tighterGoal(2, shot) / 2) * shot.low).toBeGreaterThanOrEqual(2);
});
