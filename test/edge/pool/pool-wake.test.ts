import test from 'ava';
import {errorCode} from '../../../src/core/errors.ts';
import {appName} from '../../../src/core/ids.ts';
import {createWakeLimiter} from '../../../src/edge/pool/wake-limiter.ts';
import {FakeApps} from '../edge-fixture.ts';
import {FakeClock, settled} from './fake-clock.ts';
import {app, end, server, testPool} from './pool-fixture.ts';

const refused = Object.assign(new Error('connect ECONNREFUSED'), {code: 'ECONNREFUSED'});

test('an app that refuses just after its wake is looked for and tried again at once, then another server', async (t) => {
  const apps = new FakeApps(true);
  using web = testPool({servers: [app('blog'), server('s2')], apps, backend: {redispatch: 0}});
  const assignment = await web.open();
  t.is(assignment.server?.name, 'blog');
  const {signal} = new AbortController();
  for (const delayMs of [0, 5, 20, 50, 100]) {
    const retry = assignment.retry(refused, signal);
    await web.clock.advance(delayMs);
    await retry;
    t.is(assignment.server?.name, 'blog');
  }
  await assignment.retry(refused, signal);
  t.is(assignment.server?.name, 's2');
  t.like(web.server('blog').stats, {redispatches: 1});
  t.deepEqual([apps.misses, apps.sessions], [5, 0]);
});

test('a wake is bounded by its own time-out only, and its time is told', async (t) => {
  const apps = new FakeApps();
  using web = testPool({servers: [app('blog')], apps, backend: {connectTimeoutMs: 10, queueTimeoutMs: 10, wakeTimeoutMs: 5000}});
  const opening = web.open();
  await web.clock.advance(4000);
  t.is(web.server('blog').wakers.size, 1);
  apps.finish('10.0.0.7');
  const assignment = await opening;
  t.is(assignment.wakeMs, 4000);
  t.is(assignment.endpoint.host, '10.0.0.7');
  t.is(apps.busy, 1);
  end(assignment);
  t.is(apps.sessions, 0);
});

test('an app that does not wake is a dead server for that session: another is taken, or there is none', async (t) => {
  for (const [servers, redispatch, expected] of [
    [[app('blog'), server('s2')], null, 's2'],
    [[app('blog'), server('s2', {backup: true})], 0, 'ERR_WAKE_FAILED'],
    [[app('blog')], 0, 'ERR_WAKE_FAILED'],
  ] as const) {
    const apps = new FakeApps();
    using web = testPool({servers, apps, backend: {redispatch, wakeTimeoutMs: 1000}});
    const opening = web.open().then(
      ({server: given}): string | undefined => given?.name,
      (error: unknown) => {
        t.regex(String(error), /Cannot wake app "blog": not ready within 1000 ms$/);
        return errorCode(error);
      },
    );
    await web.clock.advance(1000);
    t.is(await opening, expected);
    t.is(web.server('blog').stats.wakeFailures, 1);
    t.is(web.server('blog').sessions.size, 0);
    t.is(apps.sessions, 0);
  }
});

test('wakes are limited per app and per source; what waits already joins', async (t) => {
  const clock = new FakeClock();
  const apps = new FakeApps();
  const rates = {perApp: new Map([[appName('blog'), {wakes: 2, periodMs: 60_000}]]), perSource: {wakes: 1, periodMs: 10_000}};
  using web = testPool({servers: [app('blog')], apps, clock, wakeLimiter: createWakeLimiter(rates, clock)});
  const leaving = new AbortController();
  const first = web.open({source: '192.0.2.1'}, leaving.signal);
  const joins = web.open({source: '192.0.2.1'}, leaving.signal);
  await settled();
  leaving.abort(new Error('gone'));
  await t.throwsAsync(first, {message: 'gone'});
  await t.throwsAsync(joins, {message: 'gone'});
  await t.throwsAsync(web.open({source: '192.0.2.1'}), {
    code: 'ERR_WAKE_RATE',
    message: 'Cannot wake app "blog": 192.0.2.1 has woken apps 1 times in 10000 ms already (wake-rate)',
  });
  await clock.advance(10_000);
  const again = new AbortController();
  const second = web.open({source: '192.0.2.1'}, again.signal);
  again.abort(new Error('gone'));
  await t.throwsAsync(second);
  await t.throwsAsync(web.open({source: '192.0.2.2'}), {
    code: 'ERR_WAKE_RATE',
    message: 'Cannot wake app "blog": it was woken 2 times in 60000 ms already (wake-rate)',
  });
  await clock.advance(60_000);
  apps.finish();
  t.is((await web.open({source: '192.0.2.2'})).server?.name, 'blog');
});

test('first does not wake another app as long as one that is awake has room', async (t) => {
  const awake = new Set(['b']);
  const watch = {
    isAwake: (name: string) => awake.has(name),
    checkPlace: () => null,
    isWakeable: () => true,
    checkAnswered: () => undefined,
    onMoved: () => () => undefined,
    onChange: () => () => undefined,
  };
  using web = testPool({servers: [app('a'), app('b', {maxconn: 2}), app('c')], watch, backend: {balance: {kind: 'first'}}});
  const names: (string | null)[] = [];
  for (let count = 0; count < 3; count++) names.push((await web.open()).app);
  t.deepEqual(names, ['b', 'b', 'a']);
});

test('sessions that wait for one wake are bounded, all that wait are too, and no source has all places', async (t) => {
  const apps = new FakeApps();
  using web = testPool({servers: [app('blog', {maxqueue: 2})], apps});
  const first = web.open({source: '192.0.2.1'});
  const second = t.throwsAsync(web.open({source: '192.0.2.1'}), {code: 'ERR_QUEUE_FULL'});
  await settled();
  await t.throwsAsync(web.open({source: '192.0.2.1'}), {
    code: 'ERR_QUEUE_FULL',
    message: 'Cannot hold another session for app "blog": 2 wait already (maxqueue)',
  });
  const other = web.open({source: '192.0.2.2'});
  await second;
  apps.finish();
  t.deepEqual([(await first).source, (await other).source], ['192.0.2.1', '192.0.2.2']);
  t.is(web.server('blog').wakers.size, 0);
  t.is(apps.sessions, 2);
});
