import test from 'ava';
import type {ExitStatus} from '../../src/supervisor/exit-status.ts';
import {isRestarted, Restarts} from '../../src/supervisor/restarts.ts';
import {FakeClock} from '../edge/pool/fake-clock.ts';

const ended: ExitStatus = {kind: 'exited', code: 0};
const failed: ExitStatus = {kind: 'exited', code: 1};
const killed: ExitStatus = {kind: 'killed', signal: 'SIGKILL'};

for (const [policy, status, again] of [
  ['never', failed, false],
  ['never', killed, false],
  ['on-failure', ended, false],
  ['on-failure', failed, true],
  ['on-failure', killed, true],
  ['on-failure', {kind: 'unknown'}, true],
  ['always', ended, true],
] as const) {
  test(`restart ${policy}, and the app ${JSON.stringify(status)}: ${again ? 'it is started again' : 'it is left'}`, (t) => {
    t.is(isRestarted(policy, status), again);
  });
}

function restartsOf(clock: FakeClock, {refusedMs = 0, start}: {refusedMs?: number; start: () => Promise<void>}): Restarts {
  return new Restarts({policy: 'always', clock, refusedMs: () => refusedMs, start});
}

test('a restart comes after 100 ms, twice as late each time that the app does not last, and a minute late at most', async (t) => {
  const clock = new FakeClock();
  let starts = 0;
  const start = async (): Promise<void> => {
    starts += 1;
    return Promise.resolve();
  };
  const restarts = restartsOf(clock, {start});
  for (const ms of [100, 200, 400]) {
    restarts.ended(failed, 50);
    t.is(restarts.ms, ms);
    await clock.advance(ms);
    t.is(restarts.ms, null);
  }
  t.is(starts, 3);
  for (let time = 0; time < 20; time += 1) restarts.ended(failed, 50);
  t.is(restarts.ms, 60_000);
  restarts.ended(failed, 10_000);
  t.is(restarts.ms, 100, 'it had run well');
});

test('a start that fails is tried again, no earlier than wakes are tried at all', async (t) => {
  const clock = new FakeClock();
  let starts = 0;
  const start = async (): Promise<void> => {
    starts += 1;
    return starts < 3 ? Promise.reject(new Error('no')) : Promise.resolve();
  };
  const restarts = restartsOf(clock, {start});
  restarts.ended(failed, 50);
  for (const ms of [100, 200, 400]) await clock.advance(ms);
  t.is(starts, 3);
  t.is(restarts.ms, null);
  const refused = restartsOf(clock, {refusedMs: 5000, start});
  refused.ended(failed, 50);
  t.is(refused.ms, 5000);
});

test('nothing is started when somebody else did it, or after the end', async (t) => {
  const clock = new FakeClock();
  const restarts = restartsOf(clock, {start: async () => Promise.reject(new Error('started'))});
  restarts.ended(failed, 50);
  restarts.cancel();
  t.is(restarts.ms, null);
  restarts.stop();
  restarts.ended(failed, 50);
  t.is(restarts.ms, null);
  await clock.advance(1000);
});
