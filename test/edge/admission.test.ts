import test from 'ava';
import {Admission, type Gate} from '../../src/edge/admission.ts';
import {newCounters} from '../../src/edge/counters.ts';
import {SessionLimit} from '../../src/edge/session-limit.ts';
import {FakeClock} from './pool/fake-clock.ts';

test('rate-limit sessions: who comes too fast waits in the backlog until the rate allows it', async (t) => {
  const clock = new FakeClock();
  const admission = new Admission({maxconn: 1000, sessionRateLimit: 5, counters: newCounters(), limit: new SessionLimit(1000), clock});
  let isOpen = false;
  const gate: Gate = {
    pause: () => (isOpen = false),
    refuse: () => (isOpen = false),
    resume: () => (isOpen = true),
    [Symbol.dispose]: () => (isOpen = false),
  };
  admission.add(gate);
  admission.start();
  /** Clients come as often as they are let in. */
  const enter = async (durationMs: number): Promise<number> => {
    let entered = 0;
    for (let ms = 0; ms < durationMs; ms += 10) {
      while (isOpen) {
        admission.entered();
        admission.left();
        entered++;
      }
      await clock.advance(10);
    }
    return entered;
  };
  t.is(await enter(10), 5);
  const inTenSeconds = await enter(10_000);
  t.true(inTenSeconds >= 40 && inTenSeconds <= 50, `${inTenSeconds} sessions`);
  admission.stop();
  t.is(await enter(1000), 0);
});
