import test from 'ava';
import {pino} from 'pino';
import {nextTime} from '../../src/config/schedule.ts';
import {describeTrigger} from '../../src/core/trigger.ts';
import {WakeTimer} from '../../src/supervisor/timers/wake-timer.ts';
import {FakeClock} from '../edge/pool/fake-clock.ts';

interface Lab {
  readonly clock: FakeClock;
  readonly timer: WakeTimer;
  /** What the app was woken for, and when. */
  readonly woken: string[];
}

function lab({wakeAt = [], lastWakeMs = 0, failures = 0}: {wakeAt?: readonly string[]; lastWakeMs?: number; failures?: number} = {}): Lab {
  const clock = new FakeClock();
  const woken: string[] = [];
  let left = failures;
  const timer = new WakeTimer({
    config: {wakeAt},
    clock,
    log: pino({level: 'silent'}),
    async wake(trigger) {
      woken.push(`${describeTrigger(trigger)} ${clock.nowMs()}`);
      if (left-- > 0) throw new Error('no');
      timer.disarm();
    },
    lastWakeMs: () => lastWakeMs,
  });
  return {clock, timer, woken};
}

test('WakeTimer wakes for a timer, earlier by what the last wake took', async (t) => {
  const {clock, timer, woken} = lab({lastWakeMs: 300});
  timer.arm({at: 100_000, what: 'timerfd 5 of process 1'});
  t.deepEqual(timer.next, {at: 100_000, trigger: {kind: 'timer'}, what: 'timerfd 5 of process 1'});
  await clock.advance(98_000);
  t.deepEqual(woken, []);
  await clock.advance(10_000);
  t.deepEqual(woken, ['timer 99700']);
  t.is(timer.next, null);
  t.is(clock.pending, 0);
});

test('WakeTimer wakes at once for a timer that is overdue', async (t) => {
  const {clock, timer, woken} = lab();
  timer.arm({at: 5, what: 'x'});
  await clock.advance(10);
  t.deepEqual(woken, ['timer 1001']);
});

test('WakeTimer takes what is due first, and no schedule twice', async (t) => {
  const {clock, timer, woken} = lab({wakeAt: ['0 * * * *', '*/30 * * * *'], lastWakeMs: 1000});
  const first = nextTime('*/30 * * * *', clock.nowMs()) ?? 0;
  timer.arm({at: first + 1, what: 'x'});
  t.is(timer.next?.what, 'wake-at */30 * * * *');
  await clock.advance(first - 500 - clock.nowMs());
  t.deepEqual(woken, [`schedule */30 * * * * ${first - 1000}`]);
  // It sleeps again before the time itself.
  timer.arm(null);
  t.is(timer.next?.at, first + 1_800_000);
  timer.stop();
  timer.arm({at: 5, what: 'x'});
  t.is(timer.next, null);
  t.is(clock.pending, 0);
});

test('WakeTimer tries again after a wake that failed', async (t) => {
  const {clock, timer, woken} = lab({failures: 1});
  timer.arm({at: 2000, what: 'x'});
  await clock.advance(30_000);
  t.deepEqual(woken, ['timer 2000']);
  await clock.advance(60_000);
  t.deepEqual(woken, ['timer 2000', 'timer 62000']);
});

test('WakeTimer does not wake an app that was woken by others', async (t) => {
  const {clock, timer, woken} = lab();
  timer.arm({at: 2000, what: 'x'});
  timer.disarm();
  await clock.advance(10_000);
  t.deepEqual(woken, []);
});
