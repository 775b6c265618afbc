import test from 'ava';
import {isWakeable} from '../../src/supervisor/wakeable.ts';

const failure = {at: 1_000_000, code: null, message: 'no', source: 'host', retryable: false} as const;
const wake = {ms: 1, trigger: 'start', predictedPages: 0, faults: 0};
const facts = {lastFailure: failure, lastWake: null, lastHibernate: null};
type Facts = Parameters<typeof isWakeable>[0];

const rows: readonly (readonly [what: string, facts: Facts, afterMs: number, wakeable: boolean])[] = [
  ['nothing has failed', {...facts, lastFailure: null}, 1000, true],
  ['a failure', facts, 1000, false],
  ['a failure that stays one', facts, 3_600_000, false],
  ['a wake before the failure', {...facts, lastWake: {...wake, at: failure.at - 1}}, 1000, false],
  ['a wake after the failure', {...facts, lastWake: {...wake, at: failure.at + 1}}, 1000, true],
  ['one that may pass, just now', {...facts, lastFailure: {...failure, retryable: true}}, 1000, false],
  ['one that may pass, a minute ago', {...facts, lastFailure: {...failure, retryable: true}}, 60_000, true],
];

for (const [what, given, afterMs, wakeable] of rows) test(`isWakeable(): ${what}`, (t) => t.is(isWakeable(given, failure.at + afterMs), wakeable));
