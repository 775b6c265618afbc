import test from 'ava';
import {pino} from 'pino';
import {nextTime} from '../../src/config/schedule.ts';
import {describeTrigger} from '../../src/core/trigger.ts';
import {type DueTimer, WakeTimer} from '../../src/supervisor/timers/wake-timer.ts';
import {FakeClock} from '../edge/pool/fake-clock.ts';

interface Lab {
  readonly clock: FakeClock;
  readonly timer: WakeTimer;
  /** It sleeps, with this timer of its own. */
  readonly arm: (due: DueTimer | null) => void;
  /** What the app was woken for, and when. */
  readonly woken: string[];
}

function lab({
  wakeAt = [],
  lastWakeMs = 0,
  failures = 0,
  elsewhere = false,
}: {
  wakeAt?: readonly string[];
  lastWakeMs?: number;
  failures?: number;
  elsewhere?: boolean;
} = {}): Lab {
  const clock = new FakeClock();
  const woken: string[] = [];
  let left = failures;
  let due: DueTimer | null = null;
  const timer = new WakeTimer({
    config: {wakeAt},
    clock,
    log: pino({level: 'silent'}),
    async wake(trigger) {
      woken.push(`${describeTrigger(trigger)} ${clock.nowMs()}`);
      if (left-- > 0) throw new Error('no');
      if (!elsewhere) timer.disarm();
    },
    facts: () => ({due, wakeMs: lastWakeMs}),
  });
  const arm = (next: DueTimer | null): void => {
    due = next;
    timer.arm();
  };
  return {clock, timer, arm, woken};
}

test('WakeTimer wakes for a timer, earlier by what the last wake took', async (t) => {
  const {clock, timer, arm, woken} = lab({lastWakeMs: 300});
  arm({at: 100_000, what: 'timerfd 5 of process 1'});
  t.deepEqual(timer.next, {at: 100_000, trigger: {kind: 'timer'}, what: 'timerfd 5 of process 1'});
  await clock.advance(98_000);
  t.deepEqual(woken, []);
  await clock.advance(10_000);
  t.deepEqual(woken, ['timer 99700']);
  t.is(timer.next, null);
  t.is(clock.pending, 0);
});

test('WakeTimer wakes at once for a timer that is overdue', async (t) => {
  const {clock, arm, woken} = lab();
  arm({at: 5, what: 'x'});
  await clock.advance(10);
  t.deepEqual(woken, ['timer 1001']);
});

test('WakeTimer takes what is due first, and no schedule twice', async (t) => {
  const {clock, timer, arm, woken} = lab({wakeAt: ['0 * * * *', '*/30 * * * *'], lastWakeMs: 1000});
  const first = nextTime('*/30 * * * *', clock.nowMs()) ?? 0;
  arm({at: first + 1, what: 'x'});
  t.is(timer.next?.what, 'wake-at */30 * * * *');
  await clock.advance(first - 500 - clock.nowMs());
  t.deepEqual(woken, [`schedule */30 * * * * ${first - 1000}`]);
  // It sleeps again before the time itself.
  arm(null);
  t.is(timer.next?.at, first + 1_800_000);
  timer.stop();
  arm({at: 5, what: 'x'});
  t.is(timer.next, null);
  t.is(clock.pending, 0);
});

test('WakeTimer tries again after a wake that failed', async (t) => {
  const {clock, arm, woken} = lab({failures: 1});
  arm({at: 2000, what: 'x'});
  await clock.advance(30_000);
  t.deepEqual(woken, ['timer 2000']);
  await clock.advance(60_000);
  t.deepEqual(woken, ['timer 2000', 'timer 62000']);
});

test('WakeTimer does not wake an app that was woken by others', async (t) => {
  const {clock, timer, arm, woken} = lab();
  arm({at: 2000, what: 'x'});
  timer.disarm();
  await clock.advance(10_000);
  t.deepEqual(woken, []);
});

test('WakeTimer goes on after a wake that another worker did', async (t) => {
  const {clock, timer, arm, woken} = lab({wakeAt: ['*/30 * * * *'], elsewhere: true});
  const first = nextTime('*/30 * * * *', clock.nowMs()) ?? 0;
  arm({at: 2000, what: 'x'});
  await clock.advance(10_000);
  t.deepEqual(woken, ['timer 2000']);
  t.is(timer.next?.at, first);
  await clock.advance(first - clock.nowMs());
  t.deepEqual(woken.slice(1), [`schedule */30 * * * * ${first}`]);
  t.is(timer.next?.trigger.kind, 'timer', 'the timer of a generation that may be old is tried with each schedule');
});
