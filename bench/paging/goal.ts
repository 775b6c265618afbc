import type {Goal} from '../suite.ts';

/** A figure that must not exceed (or, for `atLeast`, fall below) a limit. NaN: it was not measured. */
export function limitGoal(what: string, found: number, limit: {readonly atMost: number} | {readonly atLeast: number}, show: (value: number) => string): Goal {
  const measured = Number.isFinite(found);
  const goal = 'atMost' in limit ? `${show(limit.atMost)} or less` : `${show(limit.atLeast)} or more`;
  const met = 'atMost' in limit ? found <= limit.atMost : found >= limit.atLeast;
  return {what, goal, found: measured ? show(found) : 'not measured', met: measured ? met : null};
}
