import test from 'ava';
import {systemClock} from '../../src/core/clock.ts';
import {appName, type FencingToken} from '../../src/core/ids.ts';
import {type Acquired, keepLease, openLeases} from '../../src/store/lease.ts';
import {until} from '../helpers/until.ts';
import {silent, testRedis} from './test-redis.ts';

const blog = appName('blog');
const long = 60_000;

function tokenOf(acquired: Acquired): FencingToken {
  if (acquired.kind === 'held') throw new Error(`held by ${acquired.worker}`);
  return acquired.token;
}

test('one of fifty concurrent acquirers gets the lease', async (t) => {
  await using redis = await testRedis();
  const leases = openLeases(redis.connection);
  const results = await Promise.all(Array.from({length: 50}, (_, at) => leases.acquire(blog, {worker: `worker ${at}`, ttlMs: long})));
  const winners = results.flatMap((result, at) => (result.kind === 'acquired' ? [`worker ${at}`] : []));
  t.is(winners.length, 1);
  for (const result of results) if (result.kind === 'held') t.true(winners.includes(result.worker));
});

test('acquire() says who holds the lease and for how long; only a restarted holder may take it over', async (t) => {
  await using redis = await testRedis();
  const leases = openLeases(redis.connection);
  const first = tokenOf(await leases.acquire(blog, {worker: 'a', ttlMs: long}));
  const held = await leases.acquire(blog, {worker: 'a', ttlMs: long});
  t.like(held, {kind: 'held', worker: 'a'});
  t.true(held.kind === 'held' && held.remainingMs > 0 && held.remainingMs <= long);
  t.is((await leases.acquire(blog, {worker: 'b', ttlMs: long, takeOverOwn: true})).kind, 'held');
  const again = await leases.acquire(blog, {worker: 'a', ttlMs: long, takeOverOwn: true});
  t.like(again, {kind: 'acquired', previous: first});
  t.true(tokenOf(again) > first);
});

test('a lease that expires goes to another worker, and its old holder can neither extend nor release it', async (t) => {
  await using redis = await testRedis();
  const leases = openLeases(redis.connection);
  const old = {worker: 'a', token: tokenOf(await leases.acquire(blog, {worker: 'a', ttlMs: 30}))};
  await until(async () => (await leases.acquire(blog, {worker: 'b', ttlMs: long})).kind === 'acquired');
  t.is(await leases.extend(blog, old, long), 'old-token');
  t.false(await leases.release(blog, old));
  t.like(await leases.acquire(blog, {worker: 'c', ttlMs: long}), {kind: 'held', worker: 'b'});
});

test('extend() takes an expired lease again when nobody had it since', async (t) => {
  await using redis = await testRedis();
  const leases = openLeases(redis.connection);
  const holder = {worker: 'a', token: tokenOf(await leases.acquire(blog, {worker: 'a', ttlMs: 20}))};
  await until(async () => (await redis.connection.call('EXISTS', 'picogate:{blog}:lease')) === 0);
  t.is(await leases.extend(blog, holder, long), 'extended');
  t.is((await leases.acquire(blog, {worker: 'b', ttlMs: long})).kind, 'held');
  await redis.connection.call('FLUSHALL');
  t.is(await leases.extend(blog, holder, long), 'unknown-token');
});

test('release() lets the next worker in at once, with a greater token', async (t) => {
  await using redis = await testRedis();
  const leases = openLeases(redis.connection);
  const token = tokenOf(await leases.acquire(blog, {worker: 'a', ttlMs: long}));
  t.true(await leases.release(blog, {worker: 'a', token}));
  t.false(await leases.release(blog, {worker: 'a', token}));
  t.true(tokenOf(await leases.acquire(blog, {worker: 'b', ttlMs: long})) > token);
});

test('tokens grow when Redis has lost the last ones, and when its clock goes back', async (t) => {
  await using redis = await testRedis();
  const leases = openLeases(redis.connection);
  const acquire = async (): Promise<FencingToken> => tokenOf(await leases.acquire(blog, {worker: 'a', ttlMs: long, takeOverOwn: true}));
  const lost = await acquire();
  await redis.connection.call('FLUSHALL');
  await until(() => Date.now() > lost);
  t.true((await acquire()) > lost);
  const future = Date.now() + 3_600_000;
  await redis.connection.call('SET', 'picogate:{blog}:token', future);
  t.is<number, number>(await acquire(), future + 1);
});

test('keepLease() holds a lease over many periods and releases it at the end', async (t) => {
  await using redis = await testRedis();
  const leases = openLeases(redis.connection);
  const ttlMs = 150;
  const token = tokenOf(await leases.acquire(blog, {worker: 'a', ttlMs}));
  const kept = keepLease(leases, blog, {worker: 'a', token}, {ttlMs, clock: systemClock, log: silent});
  const first = kept.validUntilMs();
  for (const end = performance.now() + 4 * ttlMs; performance.now() < end; ) t.is((await leases.acquire(blog, {worker: 'b', ttlMs: long})).kind, 'held');
  t.true(kept.validUntilMs() > first);
  await kept[Symbol.asyncDispose]();
  await kept[Symbol.asyncDispose]();
  t.is((await leases.acquire(blog, {worker: 'b', ttlMs: long})).kind, 'acquired');
});

test('keepLease() reports a newer owner through its signal', async (t) => {
  await using redis = await testRedis();
  const leases = openLeases(redis.connection);
  const ttlMs = 120;
  const token = tokenOf(await leases.acquire(blog, {worker: 'a', ttlMs}));
  await using kept = keepLease(leases, blog, {worker: 'a', token}, {ttlMs, clock: systemClock, log: silent});
  t.false(kept.lost.aborted);
  await leases.acquire(blog, {worker: 'a', ttlMs: long, takeOverOwn: true});
  await until(() => kept.lost.aborted);
  t.like(kept.lost.reason, {code: 'ERR_OLD_TOKEN'});
});
