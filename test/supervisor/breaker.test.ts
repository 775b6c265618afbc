import test from 'ava';
import {Breaker} from '../../src/supervisor/breaker.ts';
import {FakeClock} from '../edge/pool/fake-clock.ts';

function failing(breaker: Breaker, times: number): void {
  for (let time = 0; time < times; time += 1) breaker.failed();
}

test('five failures in a row refuse wakes for 5 s, and each further one for twice as long, up to 5 minutes', async (t) => {
  const clock = new FakeClock();
  const breaker = new Breaker(clock);
  failing(breaker, 4);
  t.is(breaker.refusal, null);
  failing(breaker, 1);
  t.deepEqual(breaker.refusal, {failures: 5, ms: 5000});
  await clock.advance(4999);
  t.deepEqual(breaker.refusal, {failures: 5, ms: 1});
  await clock.advance(1);
  t.is(breaker.refusal, null, 'one wake is tried');
  failing(breaker, 1);
  t.is(breaker.refusal?.ms, 10_000);
  failing(breaker, 20);
  t.is(breaker.refusal?.ms, 300_000);
});

test('a success begins anew, and so does an app that failed after it had run for some time', (t) => {
  const breaker = new Breaker(new FakeClock());
  failing(breaker, 5);
  breaker.succeeded();
  t.is(breaker.refusal, null);
  failing(breaker, 4);
  breaker.failed(60_000);
  t.is(breaker.refusal, null);
  failing(breaker, 3);
  t.is(breaker.refusal, null);
  breaker.failed(100);
  t.is(breaker.refusal?.failures, 5);
});
