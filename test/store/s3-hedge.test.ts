import {setTimeout as sleep} from 'node:timers/promises';
import test from 'ava';
import {type Clock, systemClock} from '../../src/core/clock.ts';
import {AnswerTimes, HedgeBudget, hedge} from '../../src/store/s3-hedge.ts';

test('AnswerTimes: the 95th percentile is that of the size class, of the last answers only', (t) => {
  const times = new AnswerTimes();
  t.is(times.p95(4096), 500);
  for (let ms = 1; ms <= 20; ms++) times.add(4096, ms);
  t.is(times.p95(4096), 19);
  t.is(times.p95(4000), 19);
  t.is(times.p95(4097), 500);
  t.is(times.p95(undefined), 500);
  for (let at = 0; at < 64; at++) times.add(4096, 100);
  t.is(times.p95(4096), 100);
});

test('HedgeBudget: ten at once, then one for ten', (t) => {
  const budget = new HedgeBudget();
  const spent = (): number => Array.from({length: 20}, () => budget.spend()).filter(Boolean).length;
  t.is(spent(), 10);
  for (let at = 0; at < 25; at++) budget.earn();
  t.is(spent(), 2);
});

/** Nothing but its timers keeps this process alive. */
const clock: Clock = {
  ...systemClock,
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
const options = {clock, afterMs: 5, mayHedge: () => true, isFinal: (error: unknown) => String(error).includes('final')};
const never = (signal: AbortSignal): Promise<string> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')));
  });

test('hedge() starts nothing more when the first is quick', async (t) => {
  let started = 0;
  const quick = async (): Promise<string> => Promise.resolve(`answer ${++started}`);
  t.deepEqual(await hedge(quick, {...options, afterMs: 10_000}), {value: 'answer 1', winner: 'first'});
  t.is(started, 1);
});

test('hedge() aborts the slow one', async (t) => {
  const aborted: boolean[] = [];
  const start = (signal: AbortSignal): Promise<string> => {
    const first = aborted.push(false) === 1;
    if (!first) return Promise.resolve('second');
    signal.addEventListener('abort', () => aborted.fill(true, 0, 1));
    return never(signal);
  };
  t.deepEqual(await hedge(start, options), {value: 'second', winner: 'second'});
  t.deepEqual(aborted, [true, false]);
});

test('hedge() fails at once with what is final, and otherwise waits for the other', async (t) => {
  const scripted = (...answers: ((signal: AbortSignal) => Promise<string>)[]) => {
    let at = 0;
    return (signal: AbortSignal): Promise<string> => (answers[at++] ?? never)(signal);
  };
  const fails = (message: string) => (): Promise<string> => Promise.reject(new Error(message));
  const later = (delayMs: number, then: () => Promise<string>) => async (): Promise<string> => {
    await sleep(delayMs);
    return then();
  };
  await t.throwsAsync(hedge(scripted(fails('passing')), options), {message: 'passing'});
  await t.throwsAsync(hedge(scripted(never, fails('final')), options), {message: 'final'});
  const late = later(50, () => Promise.resolve('late'));
  t.is((await hedge(scripted(late, fails('passing')), options)).value, 'late');
  await t.throwsAsync(hedge(scripted(later(50, fails('first')), fails('second')), options), {message: 'first'});
});
