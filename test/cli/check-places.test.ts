import test from 'ava';
import {CheckPlaces} from '../../src/cli/check-places.ts';
import {appName} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import type {Endpoint} from '../../src/supervisor/app-locator.ts';
import {FakeClock, settled} from '../edge/pool/fake-clock.ts';

const app = appName('a');
const at = (host: string): Endpoint => ({host, ports: {'tcp/80': 20_000, 'check/80': 20_001}});

function placesOf(where: () => Promise<Endpoint | null>): {readonly places: CheckPlaces; readonly clock: FakeClock; readonly asked: () => number} {
  const clock = new FakeClock();
  let asked = 0;
  const places = new CheckPlaces({
    where: async () => {
      asked++;
      return where();
    },
    clock,
    log: createLog('silent'),
  });
  return {places, clock, asked: () => asked};
}

test('who has an app is asked once, in the background, and again after a while, when what was said is still used', async (t) => {
  let host = '192.0.2.1';
  const {places, clock, asked} = placesOf(() => Promise.resolve(at(host)));
  t.deepEqual([places.of(app, 80), places.of(app, 80)], [null, null]);
  await settled();
  t.deepEqual([places.of(app, 80), places.of(app, 81)], [{host: '192.0.2.1', port: 20_001, from: null}, null]);
  t.is(asked(), 1);
  host = '192.0.2.2';
  await clock.advance(60_000);
  t.is(places.of(app, 80)?.host, '192.0.2.1');
  await settled();
  t.is(places.of(app, 80)?.host, '192.0.2.2');
  t.is(asked(), 2);
});

test('an answer that comes after the app has moved is not used', async (t) => {
  const answers = [Promise.withResolvers<Endpoint | null>(), Promise.withResolvers<Endpoint | null>()];
  const {places, asked} = placesOf(() => answers[asked() - 1]?.promise ?? Promise.resolve(null));
  t.is(places.of(app, 80), null);
  places.forget(app);
  t.is(places.of(app, 80), null);
  answers[0]?.resolve(at('192.0.2.1'));
  await settled();
  t.is(places.of(app, 80), null);
  answers[1]?.resolve(at('192.0.2.2'));
  await settled();
  t.is(places.of(app, 80)?.host, '192.0.2.2');
});

test('where nobody can say it, it is not asked at each check', async (t) => {
  const {places, clock, asked} = placesOf(() => Promise.reject(new Error('nobody is there')));
  for (let check = 0; check < 5; check++) {
    t.is(places.of(app, 80), null);
    await settled();
  }
  t.is(asked(), 1);
  await clock.advance(60_000);
  t.is(places.of(app, 80), null);
  t.is(asked(), 2);
});
