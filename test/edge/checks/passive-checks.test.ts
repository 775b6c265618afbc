/** `observe`: errors in traffic count as failed checks, and hurry the next ones. */
import test from 'ava';
import type {CheckSchedule, PassiveChecks} from '../../../src/config/health.ts';
import {CodedError} from '../../../src/core/errors.ts';
import {appName} from '../../../src/core/ids.ts';
import {startHealthChecks} from '../../../src/edge/checks/health-checks.ts';
import {until} from '../../helpers/until.ts';
import {testServer} from '../edge-fixture.ts';
import {FakeClock, settled} from '../pool/fake-clock.ts';
import {app, check, end, schedule, server, testPool} from '../pool/pool-fixture.ts';
import {checkSamples, tlsServices} from './check-services.ts';

const slow: CheckSchedule = {...schedule, intervalMs: 60_000, fastIntervalMs: 500};
const observe: PassiveChecks = {layer: 'layer7', errorLimit: 2, onError: 'fail-check'};

async function answer(web: ReturnType<typeof testPool>, ...statuses: readonly number[]): Promise<void> {
  for (const status of statuses) {
    const session = await web.open();
    session.connected(1);
    session.response(status);
    end(session);
  }
}

test('errors in a row are a failed check, told as HAProxy tells it; a success between them, or a check, begins anew', async (t) => {
  using web = testPool({servers: [server('s1', {check: {...slow, fall: 2}, observe})], backend: {logHealthChecks: true}});
  const s1 = web.server('s1');
  check(s1, 'L4OK');
  web.lines.length = 0;
  await answer(web, 500, 200, 503);
  check(s1, 'L4OK');
  await answer(web, 500);
  t.is(s1.lastCheck?.status, 'L4OK');
  await answer(web, 500);
  t.is(s1.status, 'UP 1/2');
  await answer(web, 500, 500);
  t.is(s1.status, 'DOWN');
  t.is(s1.stats.observedFailures, 2);
  t.is(s1.stats.failedChecks, 2);
  t.deepEqual(web.lines, [
    'Health check for server web/s1 failed, reason: Health analyze, info: "Detected 2 consecutive errors, last one was: Wrong http response", status: 1/2 UP.',
    'Health check for server web/s1 failed, reason: Health analyze, info: "Detected 2 consecutive errors, last one was: Wrong http response", status: 0/2 DOWN.',
    'Server web/s1 is DOWN. 0 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue.',
    'backend web has no server available!',
  ]);
});

test('connections that fail count, one after the other attempt of a session; a connection clears them for layer4 only', async (t) => {
  const refused = new CodedError('ECONNREFUSED', 'refused', {source: 'server'});
  for (const layer of ['layer4', 'layer7'] as const) {
    const clock = new FakeClock();
    using web = testPool({clock, servers: [server('s1', {check: slow, observe: {...observe, layer, errorLimit: 3}})], backend: {retries: 1}});
    const s1 = web.server('s1');
    check(s1, 'L4OK');
    const fail = async (): Promise<void> => {
      const session = await web.open();
      const retried = session.retry(refused, new AbortController().signal);
      await clock.advance(1000);
      await retried;
      await t.throwsAsync(session.retry(refused, new AbortController().signal));
    };
    await fail();
    const session = await web.open();
    session.connected(1);
    end(session);
    t.is(s1.stats.observedFailures, 0);
    await fail();
    t.is(s1.stats.observedFailures, layer === 'layer4' ? 0 : 1, layer);
  }
});

test('in maintenance, and without checks, nothing is counted', async (t) => {
  using web = testPool({servers: [server('s1', {check: slow, observe}), server('s2', {observe})], backend: {balance: {kind: 'first'}}});
  const session = await web.open();
  web.server('s1').setAdmin('maint');
  session.response(500);
  session.response(500);
  end(session);
  await answer(web, 500, 500);
  t.is(web.server('s1').lastCheck, null);
  t.is(web.server('s2').lastCheck, null);
  t.is(web.server('s2').status, 'no check');
});

test('the next check comes after fastinter at the latest; one that runs counts no more', async (t) => {
  const clock = new FakeClock();
  let connections = 0;
  await using silent = await testServer(() => {
    connections++;
  });
  const target = {kind: 'address', host: '127.0.0.1', port: silent.port} as const;
  const said = {negated: false, kind: 'string', method: 'sub', value: 'x', name: null, comment: null} as const;
  using web = testPool({
    clock,
    servers: [server('s1', {check: slow, observe, target})],
    backend: {check: {kind: 'tcp', steps: [{kind: 'expect', expectation: said}]}},
  });
  using _checks = startHealthChecks({
    backends: [{config: web.pool.config, servers: web.pool.servers}],
    watch: null,
    services: tlsServices,
    samples: checkSamples,
    clock,
    spreadPercent: 0,
  });
  const s1 = web.server('s1');
  await clock.advance(0);
  await until(() => connections === 1);
  await answer(web, 500, 500);
  t.is(s1.lastCheck?.status, 'HANA');
  t.is(s1.health, 0, 'it was up, but down at the first failure');
  await settled();
  await clock.advance(slow.intervalMs);
  await until(() => connections === 2);
  await clock.advance(slow.intervalMs);
  await until(() => s1.lastCheck?.status === 'L7TOUT');
  await settled();
  s1.setHealth('up');
  await answer(web, 500, 500);
  await clock.advance(499);
  t.is(connections, 2);
  await clock.advance(1);
  await until(() => connections === 3);
});

test('an app that falls asleep is up, and what it did before counts no more', async (t) => {
  using web = testPool({
    servers: [app('blog', {check: slow, observe: {...observe, onError: 'mark-down'}, target: {kind: 'app', app: appName('blog'), port: 80}})],
  });
  const blog = web.server('blog');
  await answer(web, 500);
  blog.assumeUp();
  await answer(web, 500);
  t.is(blog.status, 'UP');
  await answer(web, 500);
  t.is(blog.status, 'DOWN');
  blog.assumeUp();
  t.is(blog.status, 'UP');
});

test('a session whose error takes its server down, and ends with it, leaves no place behind', async (t) => {
  using web = testPool({
    servers: [server('s1', {check: slow, observe: {...observe, errorLimit: 1, onError: 'mark-down'}, onMarkedDown: 'shutdown-sessions'}), server('s2')],
    backend: {balance: {kind: 'first'}, redispatch: 1},
  });
  const session = await web.open();
  session.ends({cut: () => end(session)});
  await t.throwsAsync(session.retry(new CodedError('ECONNREFUSED', 'refused', {source: 'server'}), new AbortController().signal), {code: 'ECONNREFUSED'});
  t.is(web.server('s1').status, 'DOWN');
  t.is(web.pool.sessions(), 0);
  t.deepEqual([web.server('s1').sessions.size, web.server('s2').sessions.size], [0, 0]);
});
