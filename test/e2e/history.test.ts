/**
 * Clients of an app write and read while its workers are killed, stopped, paused, drained and cut off, in an order that follows from a seed. A part is
 * tried by default; `PICOGATE_HISTORY=SEED,SEED,...` tries longer ones.
 */
import test from 'ava';
import {check, type Entry} from '../helpers/history.ts';
import {recordHistory} from '../helpers/history-run.ts';
import {rootTest} from '../helpers/root-test.ts';
import {hasS3Server} from '../helpers/s3-server.ts';

const at = (fromMs: number, instance: string): {fromMs: number; toMs: number; instance: string; worker: string} => {
  return {fromMs, toMs: fromMs + 1, instance, worker: `w${instance}`};
};
const write = (fromMs: number, instance: string, value: string): Entry => ({kind: 'write', value, ...at(fromMs, instance)});
const read = (fromMs: number, instance: string, ...values: readonly string[]): Entry => ({kind: 'read', values, ...at(fromMs, instance)});
const fault = (fromMs: number, worker: string): Entry => ({kind: 'fault', worker, fromMs, toMs: fromMs + 5});
const durable = (fromMs: number): Entry => ({kind: 'durable', fromMs, toMs: fromMs + 5});
const lease = (atMs: number, token: number, worker: string | null): Entry => ({kind: 'lease', atMs, token, worker});

interface Case {
  readonly title: string;
  readonly entries: readonly Entry[];
  readonly violations: readonly RegExp[];
  readonly lost?: readonly string[];
}

const cases: readonly Case[] = [
  {title: 'an app moves', entries: [write(0, '1', 'a'), durable(10), write(20, '2', 'b'), read(30, '2', 'a', 'b')], violations: []},
  {title: 'an old owner goes on', entries: [write(0, '1', 'a'), write(10, '2', 'b'), write(20, '1', 'c')], violations: [/^two owners: 1 .* 2 on w2 from 10/]},
  {title: 'an old owner only reads', entries: [read(0, '1'), read(10, '2'), read(20, '1')], violations: [/^two owners/]},
  {title: 'answers at one time', entries: [write(0, '1', 'a'), write(10, '2', 'b'), {...write(0, '1', 'c'), toMs: 30} as Entry], violations: []},
  {title: 'a token again', entries: [lease(0, 5, 'w1'), lease(10, 4, null)], violations: [/^fencing token 4 after 5/]},
  {title: 'a token of two', entries: [lease(0, 5, 'w1'), lease(10, 5, null), lease(20, 5, 'w2')], violations: [/^fencing token 5 of w1 and of w2/]},
  {title: 'a loss for nothing', entries: [write(0, '1', 'a'), read(10, '1')], violations: [/^lost though its worker had no fault: a/], lost: ['a']},
  {title: 'a loss with a worker', entries: [write(0, '1', 'a'), fault(5, 'w1'), read(20, '2')], violations: [], lost: ['a']},
  {title: 'a loss with another worker', entries: [write(0, '1', 'a'), fault(5, 'w2'), read(20, '1')], violations: [/no fault/], lost: ['a']},
  {title: 'a loss before the fault', entries: [write(0, '1', 'a'), read(20, '2'), fault(30, 'w1')], violations: [/no fault/], lost: ['a']},
  {
    title: 'a loss of what is stored',
    entries: [write(0, '1', 'a'), durable(5), fault(20, 'w1'), read(30, '2')],
    violations: [/^lost although durable since 10: a/],
    lost: ['a'],
  },
  {title: 'a loss before it was stored', entries: [write(0, '1', 'a'), fault(5, 'w1'), durable(20), read(30, '2')], violations: [], lost: ['a']},
  {
    title: 'back from the dead',
    entries: [write(0, '1', 'a'), fault(5, 'w1'), read(20, '2'), read(30, '3', 'a')],
    violations: [/^back from the dead at 31: a/],
    lost: ['a'],
  },
  {title: 'a value of nobody', entries: [read(0, '1', 'x')], violations: [/^read at 1: x, which nobody wrote/]},
  {title: 'one that nobody knows of', entries: [{kind: 'unanswered write', value: 'x'}, read(0, '1', 'x')], violations: []},
  {title: 'a value twice', entries: [write(0, '1', 'a'), read(10, '1', 'a', 'a')], violations: [/^read at 11: a value twice/]},
];

for (const {title, entries, violations, lost = []} of cases) {
  test(`check() of a history: ${title}`, (t) => {
    const verdict = check(entries);
    t.is(verdict.violations.length, violations.length, verdict.violations.join('\n'));
    for (const [index, expected] of violations.entries()) t.regex(verdict.violations[index] ?? '', expected);
    t.deepEqual(verdict.lost, lost);
  });
}

const wanted = process.env['PICOGATE_HISTORY'];
/** The first steps of this one kill the worker that has the app, drain another one, and start, put to sleep and pause. */
const seeds = wanted === undefined ? [1] : wanted.split(',').map(Number);
const steps = wanted === undefined ? 7 : 60;

for (const seed of seeds) {
  (hasS3Server ? rootTest : test.skip)(`three workers, seed ${seed}: never two owners, and nothing lost that is in the store`, async (t) => {
    t.timeout(600_000);
    const {entries, story} = await recordHistory(t, {seed, steps});
    const {violations, lost} = check(entries);
    const writes = entries.filter(({kind}) => kind === 'write').length;
    const owners = new Set(entries.flatMap((entry) => ('instance' in entry ? [entry.instance] : []))).size;
    t.log(`${writes} writes acknowledged by ${owners} instances, ${lost.length} lost with their workers`);
    if (violations.length > 0 || wanted !== undefined) t.log(story.join('\n'));
    t.deepEqual(violations, []);
    t.true(writes > steps);
  });
}
