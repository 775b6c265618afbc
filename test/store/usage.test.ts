import test from 'ava';
import {appName} from '../../src/core/ids.ts';
import {storeKeys} from '../../src/store/keys.ts';
import {openState} from '../../src/store/state.ts';
import {bytesPerGb, daysKept, decodeUsage, msPerDay, openUsage, type UsageBatch} from '../../src/store/usage.ts';
import {freshFields, testRedis} from './test-redis.ts';

const blog = appName('blog');
const day = 20_000;
const noon = day * msPerDay + msPerDay / 2;

function batch(id: string, fields: Partial<UsageBatch>): UsageBatch {
  return {worker: 'w1', id, at: noon, activeGbSeconds: 0, wakes: 0, storedBytes: null, ...fields};
}

test('add() adds what several workers send, each batch once', async (t) => {
  await using redis = await testRedis();
  const usage = openUsage(redis.connection);
  await Promise.all(['w1', 'w2', 'w3'].map((worker) => usage.add(blog, batch('1', {worker, activeGbSeconds: 1.5, wakes: 2}))));
  await usage.add(blog, batch('1', {activeGbSeconds: 1.5, wakes: 2}));
  await usage.add(blog, batch('2', {activeGbSeconds: 0.25, at: noon + msPerDay}));
  const {total, days} = await usage.read(blog, noon);
  t.deepEqual(total, {activeGbSeconds: 4.75, storedGbSeconds: 0, wakes: 6});
  t.deepEqual(
    [...days],
    [
      [day, {activeGbSeconds: 4.5, storedGbSeconds: 0, wakes: 6}],
      [day + 1, {activeGbSeconds: 0.25, storedGbSeconds: 0, wakes: 0}],
    ],
  );
  t.deepEqual(await usage.totals([appName('other'), blog], noon), [{activeGbSeconds: 0, storedGbSeconds: 0, wakes: 0}, total]);
});

test('what is stored counts as long as it is, without a write, whoever says that it has changed', async (t) => {
  await using redis = await testRedis();
  const usage = openUsage(redis.connection);
  await usage.add(blog, batch('1', {storedBytes: bytesPerGb}));
  t.is((await usage.read(blog, noon + 5000)).total.storedGbSeconds, 5);
  await usage.add(blog, batch('1', {worker: 'w2', at: noon + 10_000, storedBytes: 3 * bytesPerGb}));
  // A clock that is behind takes nothing away, and its time is not counted twice.
  await usage.add(blog, batch('2', {at: noon + 4000, storedBytes: 2 * bytesPerGb}));
  t.is((await usage.read(blog, noon + 12_000)).total.storedGbSeconds, 14);
  t.is((await usage.read(blog, noon + 12_000)).storedBytes, 2 * bytesPerGb);
  const {days} = await usage.read(blog, noon + msPerDay);
  t.deepEqual([...days.keys()], [day, day + 1]);
  t.is(days.get(day + 1)?.storedGbSeconds, msPerDay / 1000);
  // The same when it is written down.
  await usage.add(blog, batch('3', {at: noon + msPerDay, storedBytes: 0}));
  t.is((await usage.read(blog, noon + 3 * msPerDay)).days.get(day + 1)?.storedGbSeconds, msPerDay / 1000);
  t.deepEqual((await usage.totals([blog], noon + 3 * msPerDay))[0], (await usage.read(blog, noon)).total);
});

test('days go after a year and some, sums of all time stay', async (t) => {
  await using redis = await testRedis();
  const usage = openUsage(redis.connection);
  await usage.add(blog, batch('1', {activeGbSeconds: 1, wakes: 1, storedBytes: bytesPerGb}));
  await usage.add(blog, batch('2', {at: noon + msPerDay, activeGbSeconds: 1}));
  const later = noon + (daysKept + 1000) * msPerDay;
  await usage.add(blog, batch('3', {at: later, activeGbSeconds: 1, storedBytes: 0}));
  const {days, total} = await usage.read(blog, later);
  t.is(days.size, daysKept);
  t.is(Math.min(...days.keys()), day + 1001);
  t.is(total.activeGbSeconds, 3);
  t.is(total.wakes, 1);
});

test('apps() names all that were ever known, and what is no number is reported with its key', async (t) => {
  await using redis = await testRedis();
  const usage = openUsage(redis.connection);
  await openState(redis.connection).ensureApp(blog, freshFields);
  t.deepEqual(await usage.apps(), [blog]);
  const key = storeKeys().usage(blog);
  t.throws(() => decodeUsage(key, new Map([['active', 'much']]), noon), {code: 'ERR_BAD_STATE', message: /usage/});
});
