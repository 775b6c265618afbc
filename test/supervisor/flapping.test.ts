import test from 'ava';
import {afterNap, type Flaps, idleFactor, noFlaps} from '../../src/supervisor/flapping.ts';

const minute = 60_000;

/** The factors after naps of these lengths, each 1 s after the one before, with a cost of 100 ms. */
function factors(naps: readonly number[]): number[] {
  let flaps: Flaps = noFlaps;
  return naps.map((asleepMs, at) => {
    flaps = afterNap(flaps, {asleepMs, costMs: 100, nowMs: at * 1000});
    return idleFactor(flaps, at * 1000);
  });
}

test('an app that is woken again and again right after it fell asleep gets more and more time, to a limit', (t) => {
  t.deepEqual(factors([500, 500, 500, 500, 500, 500, 500, 500, 500]), [1, 1, 2, 4, 8, 16, 32, 32, 32]);
});

test('a sleep that was worth its cost takes one step back', (t) => {
  t.deepEqual(factors([500, 500, 500, 500, 1000, 1000, 1000, 1000]), [1, 1, 2, 4, 2, 1, 1, 1]);
  t.deepEqual(factors([500, 5000, 500, 5000, 500, 5000]), [1, 1, 1, 1, 1, 1]);
});

test('what happened is forgotten as time goes by', (t) => {
  const flaps = {count: 4, sinceMs: 0};
  t.deepEqual(
    [0, 9 * minute, 10 * minute, 20 * minute, 60 * minute].map((nowMs) => idleFactor(flaps, nowMs)),
    [4, 4, 2, 1, 1],
  );
  t.deepEqual(afterNap(flaps, {asleepMs: 0, costMs: 100, nowMs: 20 * minute}), {count: 3, sinceMs: 20 * minute});
});
