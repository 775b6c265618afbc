/** What the project wants of wakes by working set. All goals are about pages that do not compress. */
import {quantile} from '../statistics.ts';
import type {Goal} from '../suite.ts';
import {bytes, fixed} from '../table.ts';
import {limitGoal} from './goal.ts';
import type {Mode} from './paging-apps.ts';
import type {Samples} from './samples.ts';
import {type Content, largestSetBytes, type Selection} from './selection.ts';
import {percent, unusedShare} from './wake-figures.ts';

export type CaseName = (content: Content, sizeBytes: number, mode: Mode) => string;

const milliseconds = (value: number): string => `${fixed(value)} ms`;
const factor = (value: number): string => fixed(value, 2);

export function warmGoals(samples: Samples, {workingSetsBytes}: Selection, nameOf: CaseName): Goal[] {
  const large = (mode: Mode): string => nameOf('random', largestSetBytes, mode);
  const predicted = samples.median(large('predicted'), 'answerMs');
  const unused = (sizeBytes: number): number => unusedShare(samples, nameOf('random', sizeBytes, 'predicted'), nameOf('random', sizeBytes, 'on demand'));
  const set = `warm, ${bytes(largestSetBytes)}`;
  return [
    limitGoal(`${set}, predicted, median`, predicted, {atMost: 25}, milliseconds),
    limitGoal(`${set}, predicted / whole image`, predicted / samples.median(large('whole image'), 'answerMs'), {atMost: 1 / 3}, factor),
    limitGoal(`${set}, predicted: faults removed`, faultsRemoved(samples, nameOf, largestSetBytes), {atLeast: 0.97}, percent),
    limitGoal(
      `warm, predicted: faults removed, worst set`,
      least(workingSetsBytes.map((size) => faultsRemoved(samples, nameOf, size))),
      {atLeast: 0.97},
      percent,
    ),
    limitGoal(`${set}, predicted: installed pages unused`, unused(largestSetBytes), {atMost: 0.25}, percent),
    limitGoal(`warm, predicted: installed pages unused, worst set`, most(workingSetsBytes.map((size) => unused(size))), {atMost: 0.25}, percent),
    limitGoal(
      `${set}, on demand: a fault in the handler, median`,
      samples.median(large('on demand'), 'faultMicros'),
      {atMost: 15},
      (value) => `${fixed(value)} µs`,
    ),
  ];
}

export function coldGoals(samples: Samples, nameOf: CaseName): Goal[] {
  const name = (mode: Mode): string => nameOf('random', largestSetBytes, mode);
  const answers = samples.values(name('predicted'), 'answerMs');
  const predicted = quantile(answers, 0.5);
  const set = `cold, ${bytes(largestSetBytes)} incompressible`;
  return [
    limitGoal(`${set}, predicted, median`, predicted, {atMost: 80}, milliseconds),
    limitGoal(`${set}, on demand / predicted`, samples.median(name('on demand'), 'answerMs') / predicted, {atLeast: 5}, factor),
    limitGoal(`${set}, whole image / predicted`, samples.median(name('whole image'), 'answerMs') / predicted, {atLeast: 2}, factor),
    limitGoal(`${set}, predicted, p95 / median`, quantile(answers, 0.95) / predicted, {atMost: 2}, factor),
  ];
}

function faultsRemoved(samples: Samples, nameOf: CaseName, sizeBytes: number): number {
  const left = samples.median(nameOf('random', sizeBytes, 'predicted'), 'faults');
  return 1 - left / samples.median(nameOf('random', sizeBytes, 'on demand'), 'faults');
}

const measured = (values: readonly number[]): number[] => values.filter((value) => Number.isFinite(value));
const least = (values: readonly number[]): number => (measured(values).length === 0 ? Number.NaN : Math.min(...measured(values)));
const most = (values: readonly number[]): number => (measured(values).length === 0 ? Number.NaN : Math.max(...measured(values)));
