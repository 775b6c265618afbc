import test from 'ava';
import {openEvents, type StoredEvent} from '../../src/store/events.ts';
import {until} from '../helpers/until.ts';
import {silent, testRedis} from './test-redis.ts';

test('last() returns the newest events, oldest first, and passes over what is not one', async (t) => {
  await using redis = await testRedis();
  const events = openEvents(redis.connection);
  t.deepEqual(await events.last(5), []);
  for (let at = 1; at <= 4; at++) await events.publish({at, app: 'blog', kind: 'woken', ms: at * 2});
  await redis.connection.call('XADD', 'picogate:events', '*', 'event', 'not json');
  await events.publish({at: 5, app: null, kind: 'started'});
  t.deepEqual(
    (await events.last(3)).map(({event}) => event),
    [
      {at: 4, app: 'blog', kind: 'woken', ms: 8},
      {at: 5, app: null, kind: 'started'},
    ],
  );
});

test('the stream of events stays bounded', async (t) => {
  await using redis = await testRedis();
  const events = openEvents(redis.connection);
  for (let at = 0; at < 12_000; at += 500) await Promise.all(Array.from({length: 500}, (_, more) => events.publish({at: at + more, app: 'a', kind: 'k'})));
  const length = Number(await redis.connection.call('XLEN', 'picogate:events'));
  t.true(length >= 10_000 && length < 10_500, String(length));
});

test('follow() yields events as they come, none twice, over a loss of Redis, until it is aborted', async (t) => {
  await using redis = await testRedis();
  const events = openEvents(redis.connection);
  await events.publish({at: 0, app: 'blog', kind: 'before'});
  const seen: StoredEvent[] = [];
  const stop = new AbortController();
  const following = (async () => {
    for await (const event of events.follow({signal: stop.signal})) seen.push(event);
  })();
  await until(async () => ((await redis.connection.call('INFO', 'clients')) as string).includes('blocked_clients:1'));
  await events.publish({at: 1, app: 'blog', kind: 'one'});
  await until(() => seen.length === 1);
  const lost = redis.server.pid();
  await until(async () => ((await redis.connection.call('INFO', 'persistence')) as string).includes('aof_pending_bio_fsync:0'));
  process.kill(lost, 'SIGTERM');
  await until(() => redis.server.pid() !== lost);
  await until(() =>
    events.publish({at: 2, app: 'blog', kind: 'two'}).then(
      () => true,
      () => false,
    ),
  );
  await until(() => seen.length === 2);
  t.deepEqual(
    seen.map(({event}) => event.kind),
    ['one', 'two'],
  );
  stop.abort();
  await following;
  t.truthy(silent);
});
