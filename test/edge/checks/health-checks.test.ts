import {once} from 'node:events';
import type {AddressInfo} from 'node:net';
import {createServer, type Server} from 'node:net';
import test from 'ava';
import type {CheckSchedule} from '../../../src/config/health.ts';
import {appName} from '../../../src/core/ids.ts';
import type {AppWatch} from '../../../src/edge/app-access.ts';
import {startHealthChecks} from '../../../src/edge/checks/health-checks.ts';
import {until} from '../../helpers/until.ts';
import {FakeClock, settled} from '../pool/fake-clock.ts';
import {app, schedule, server, testPool} from '../pool/pool-fixture.ts';
import {checkSamples, tlsServices} from './check-services.ts';
import {FakeWatch} from './fake-watch.ts';

/** Counts connections; it accepts them as long as it listens. */
async function target(): Promise<{port: number; connections: number; most: number; received: string; listener: Server} & AsyncDisposable> {
  let open = 0;
  const state = {
    port: 0,
    connections: 0,
    most: 0,
    received: '',
    listener: createServer((socket) => {
      state.connections++;
      state.most = Math.max(state.most, ++open);
      socket.on('data', (data) => {
        state.received += data.toString();
      });
      socket.on('close', () => open--);
      socket.on('error', () => {
        // Checks do not say goodbye.
      });
    }),
    async [Symbol.asyncDispose]() {
      if (!state.listener.listening) return;
      state.listener.close();
      await once(state.listener, 'close');
    },
  };
  state.listener.listen(0, '127.0.0.1');
  await once(state.listener, 'listening');
  state.port = (state.listener.address() as AddressInfo).port;
  return state;
}

const fast: CheckSchedule = {...schedule, intervalMs: 1000, fastIntervalMs: 300, downIntervalMs: 5000, rise: 2, fall: 2};

function start(web: ReturnType<typeof testPool>, clock: FakeClock, watch: AppWatch | null = null): Disposable {
  return startHealthChecks({
    backends: [{config: web.pool.config, servers: web.pool.servers}],
    watch,
    services: tlsServices,
    samples: checkSamples,
    clock,
    spreadPercent: 0,
  });
}

test('a server goes down and up by its checks, which come at the intervals for that', async (t) => {
  const clock = new FakeClock();
  await using well = await target();
  using web = testPool({
    clock,
    servers: [server('s1', {check: fast, target: {kind: 'address', host: '127.0.0.1', port: well.port}})],
    backend: {logHealthChecks: true},
  });
  using _checks = start(web, clock);
  const s1 = web.server('s1');
  let checks = 0;
  const checkAfter = async (ms: number): Promise<string> => {
    const before = s1.lastCheck;
    await clock.advance(ms - 1);
    t.is(s1.lastCheck, before, 'not before');
    await clock.advance(1);
    await until(() => s1.lastCheck !== before);
    const {status} = s1;
    checks++;
    // The next check is planned in the same turn as the result was applied, or the one after it.
    await settled();
    return status;
  };
  await clock.advance(0);
  await until(() => s1.lastCheck !== null);
  await settled();
  t.is(s1.status, 'UP');
  t.is(await checkAfter(1000), 'UP');
  await well[Symbol.asyncDispose]();
  t.is(await checkAfter(1000), 'UP 1/2');
  t.is(await checkAfter(300), 'DOWN');
  well.listener.listen(well.port, '127.0.0.1');
  await once(well.listener, 'listening');
  t.is(await checkAfter(5000), 'DOWN 1/2');
  t.is(await checkAfter(300), 'UP');
  t.is(checks, 5);
  t.is(s1.stats.timesDown, 1);
  t.deepEqual(
    web.lines.map((line) => line.replace(/\d+ms/, '?ms')),
    [
      'Health check for server web/s1 succeeded, reason: Layer4 check passed, check duration: ?ms, status: 2/2 UP.',
      'Health check for server web/s1 failed, reason: Layer4 connection problem, info: "Connection refused", check duration: ?ms, status: 1/2 UP.',
      'Health check for server web/s1 failed, reason: Layer4 connection problem, info: "Connection refused", check duration: ?ms, status: 0/2 DOWN.',
      'Server web/s1 is DOWN. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.',
      'backend web has no server available!',
      'Health check for server web/s1 succeeded, reason: Layer4 check passed, check duration: ?ms, status: 1/2 DOWN.',
      'Health check for server web/s1 succeeded, reason: Layer4 check passed, check duration: ?ms, status: 2/2 UP.',
      'Server web/s1 is UP. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.',
    ],
  );
});

test('never two checks of a server at a time, and the first ones are spread', async (t) => {
  const clock = new FakeClock();
  await using silent = await target();
  const settings = {check: fast, target: {kind: 'address', host: '127.0.0.1', port: silent.port}} as const;
  using web = testPool({
    clock,
    servers: [server('s1', settings), server('s2', settings)],
    backend: {
      check: {kind: 'tcp', steps: [{kind: 'expect', expectation: {negated: false, kind: 'string', method: 'sub', value: 'x', name: null, comment: null}}]},
    },
  });
  using _checks = start(web, clock);
  await clock.advance(0);
  await until(() => silent.connections === 1);
  await clock.advance(499);
  t.is(silent.connections, 1);
  await clock.advance(1);
  await until(() => silent.connections === 2);
  t.is(silent.most, 2);
  await clock.advance(500);
  await until(() => web.server('s1').lastCheck !== null);
  t.like(web.server('s1').lastCheck, {status: 'L7TOUT', info: " at step 1 of tcp-check (expect string 'x')"});
  t.true(silent.most <= 2);
});

test('an app is checked only while it is awake, first just after its wake; asleep it counts as up', async (t) => {
  const clock = new FakeClock();
  const watch = new FakeWatch();
  await using listener = await target();
  await listener[Symbol.asyncDispose]();
  using web = testPool({clock, watch, servers: [app('blog', {check: fast, target: {kind: 'app', app: appName('blog'), port: listener.port}})]});
  const checks = start(web, clock, watch);
  const blog = web.server('blog');
  await clock.advance(60_000);
  t.is(blog.lastCheck, null);
  t.is(clock.pending, 0, 'nothing is planned for an app that sleeps');
  watch.set('other', '127.0.0.1');
  t.is(clock.pending, 0);
  watch.set('blog', '127.0.0.1');
  await clock.advance(0);
  await until(() => blog.lastCheck?.status === 'L4CON');
  await settled();
  await clock.advance(300);
  await until(() => blog.status === 'DOWN');
  await settled();
  t.is(web.pool.usableServers, 0);
  watch.set('blog', null);
  t.is(blog.status, 'UP');
  t.is(web.pool.usableServers, 1);
  await clock.advance(60_000);
  t.is(blog.status, 'UP');
  checks[Symbol.dispose]();
  t.is(watch.listeners, 0);
  watch.set('blog', '127.0.0.1');
  t.is(clock.pending, 0);
});

test('an app on another host is checked at the port for that, when it is known', async (t) => {
  const clock = new FakeClock();
  const watch = new FakeWatch();
  await using listener = await target();
  using web = testPool({clock, watch, servers: [app('blog', {check: fast, target: {kind: 'app', app: appName('blog'), port: 1}})]});
  using _checks = start(web, clock, watch);
  const blog = web.server('blog');
  watch.elsewhere = 'unknown';
  watch.set('blog', '127.0.0.1');
  await clock.advance(fast.intervalMs * 3);
  await settled();
  t.is(blog.lastCheck, null);
  watch.elsewhere = listener.port;
  await clock.advance(fast.intervalMs);
  await until(() => blog.lastCheck?.status === 'L4OK');
});

test('a server in maintenance is not checked; a check goes to the address, the port and with the header that it has', async (t) => {
  const clock = new FakeClock();
  await using elsewhere = await target();
  using web = testPool({
    clock,
    servers: [
      server('s1', {check: {...fast, address: '127.0.0.1', port: elsewhere.port, sendProxy: true}, target: {kind: 'address', host: '192.0.2.1', port: 1}}),
    ],
  });
  using _checks = start(web, clock);
  web.server('s1').setAdmin('maint');
  for (let count = 0; count < 5; count++) await clock.advance(5000);
  t.is(elsewhere.connections, 0);
  web.server('s1').setAdmin('ready');
  await clock.advance(1000);
  await until(() => web.server('s1').lastCheck !== null);
  await until(() => elsewhere.received === 'PROXY UNKNOWN\r\n');
  t.is(web.server('s1').lastCheck?.status, 'L4OK');
});

test('disposing ends a check that runs, and its result counts no more', async (t) => {
  const clock = new FakeClock();
  await using silent = await target();
  using web = testPool({
    clock,
    servers: [server('s1', {check: fast, target: {kind: 'address', host: '127.0.0.1', port: silent.port}})],
    backend: {
      check: {kind: 'tcp', steps: [{kind: 'expect', expectation: {negated: false, kind: 'string', method: 'sub', value: 'x', name: null, comment: null}}]},
    },
  });
  const checks = start(web, clock);
  await clock.advance(0);
  await until(() => silent.connections === 1);
  checks[Symbol.dispose]();
  await until(() => clock.pending === 0);
  await clock.advance(10_000);
  t.is(web.server('s1').lastCheck, null);
  t.is(web.server('s1').status, 'UP 1/2');
});
