import test from 'ava';
import {type IdleFacts, judgeEviction, judgeIdle} from '../../src/supervisor/idle.ts';

/** Woken 100 s ago, last used 20 s ago, may sleep after 10 s. */
const idle: IdleFacts = {
  nowMs: 1_000_000,
  lastTrafficMs: 980_000,
  runningSinceMs: 900_000,
  busySessions: 0,
  guests: 0,
  hibernateAfterMs: 10_000,
  minAwakeMs: 0,
  pin: null,
  connections: 0,
  cpu: null,
  notBeforeMs: 0,
  notBeforeReason: 'no reason',
};
const pin = {untilMs: Number.POSITIVE_INFINITY, reason: 'pin'};

type Row = readonly [what: string, facts: Partial<IdleFacts>, said: 'sleep' | readonly [ms: number, reason: RegExp]];

const sleepRows: readonly Row[] = [
  ['idle for long enough', {}, 'sleep'],
  ['idle for just long enough', {hibernateAfterMs: 20_000}, 'sleep'],
  ['traffic of late', {hibernateAfterMs: 30_000}, [10_000, /^traffic 20000 ms ago$/]],
  ['never used since the wake', {lastTrafficMs: 0, hibernateAfterMs: 200_000}, [100_000, /^traffic 100000 ms ago$/]],
  ['never', {hibernateAfterMs: null}, [Number.POSITIVE_INFINITY, /^hibernate-after never$/]],
  ['sessions that wait', {busySessions: 2}, [250, /^2 sessions wait/]],
  ['a command of an operator', {guests: 1}, [1000, /^a command of "picogate exec"/]],
  ['an attempt that failed', {notBeforeMs: 1_005_000}, [5000, /^no reason$/]],
  ['an attempt that failed, and traffic', {notBeforeMs: 1_005_000, hibernateAfterMs: 30_000}, [10_000, /^traffic/]],
  ['woken of late', {minAwakeMs: 130_000}, [30_000, /^it was woken 100000 ms ago \(min-awake\)$/]],
  ['woken long ago', {minAwakeMs: 100_000}, 'sleep'],
  ['pinned', {pin}, [Number.POSITIVE_INFINITY, /^pin$/]],
  ['pinned for a time', {pin: {untilMs: 1_003_000, reason: 'pinned'}, busySessions: 1}, [3000, /^pinned$/]],
  ['pinned for a time that is over', {pin: {untilMs: 1_000_000, reason: 'pinned'}}, 'sleep'],
  ['open connections', {connections: 2}, [1000, /^2 connections are open \(awake-while connections\)$/]],
  ['an open connection, and traffic', {connections: 1, hibernateAfterMs: 30_000}, [10_000, /^traffic/]],
  ['work', {cpu: {used: 7.25, above: 5}}, [1000, /^it uses 7\.3 % of a processor \(awake-while cpu > 5%\)$/]],
  ['work that does not count', {cpu: {used: 5, above: 5}}, 'sleep'],
  ['work that is not known', {cpu: {used: null, above: 5}}, [1000, /seen for long enough/]],
];

for (const [what, facts, said] of sleepRows) {
  test(`judgeIdle(): ${what}`, (t) => {
    const verdict = judgeIdle({...idle, ...facts});
    t.is(verdict.kind === 'sleep', said === 'sleep');
    if (said === 'sleep' || verdict.kind === 'sleep') return;
    t.is(verdict.ms, said[0]);
    t.regex(verdict.reason, said[1]);
  });
}

const evictionRows: readonly (readonly [what: string, facts: Partial<IdleFacts>, said: 'stays' | 'last' | 'goes'])[] = [
  ['idle', {}, 'goes'],
  ['not idle for long', {hibernateAfterMs: 1_000_000}, 'goes'],
  ['hibernate-after never', {hibernateAfterMs: null}, 'goes'],
  ['pinned', {pin}, 'stays'],
  ['pinned for a time that is over', {pin: {untilMs: 1, reason: 'pinned'}}, 'goes'],
  ['sessions that wait', {busySessions: 1}, 'stays'],
  ['a command of an operator', {guests: 1}, 'stays'],
  ['used a moment ago', {lastTrafficMs: 999_500}, 'stays'],
  ['woken a moment ago', {runningSinceMs: 999_500}, 'stays'],
  ['an attempt that failed', {notBeforeMs: 1_005_000}, 'stays'],
  ['woken of late', {minAwakeMs: 130_000}, 'last'],
  ['open connections', {connections: 1}, 'last'],
  ['work', {cpu: {used: 50, above: 5}}, 'last'],
];

for (const [what, facts, said] of evictionRows) {
  test(`judgeEviction(): ${what}`, (t) => {
    const verdict = judgeEviction({...idle, ...facts});
    t.is(verdict.kind, said);
    if (verdict.kind !== 'stays') t.is(verdict.lastUseMs, 980_000);
  });
}
