import test from 'ava';
import {type LifecycleEvent, next, type State, transitions} from '../../src/supervisor/lifecycle.ts';

const states = Object.keys(transitions) as State[];
const events = [...new Set(Object.values(transitions).flatMap((steps) => Object.keys(steps)))] as LifecycleEvent[];

test('next() follows the table for every state and event, and refuses the rest', (t) => {
  for (const state of states) {
    for (const event of events) {
      const expected = (transitions[state] as Partial<Record<LifecycleEvent, State>>)[event];
      if (expected === undefined)
        t.throws(() => next(state, event), {code: 'ERR_BAD_TRANSITION', message: `Cannot apply "${event}" to an app that is ${state}`});
      else t.is(next(state, event), expected);
    }
  }
});

test('from every state a running app can be reached, and from every busy state a resting one', (t) => {
  const reachable = (from: State): Set<State> => {
    const seen = new Set<State>([from]);
    for (const state of seen) for (const target of Object.values<State>(transitions[state])) seen.add(target);
    return seen;
  };
  for (const state of states) {
    t.true(reachable(state).has('running'), state);
    t.true(reachable(state).has('hibernated'), state);
  }
});
