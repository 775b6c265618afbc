import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {createLog} from '../../../src/core/log.ts';
import {loadServerStates} from '../../../src/edge/pool/load-server-states.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {FakeApps} from '../edge-fixture.ts';
import {app, check, schedule, server, type TestPool, type TestPoolSettings, testPool} from './pool-fixture.ts';

/** @param facts from srv_addr to srv_check_state */
const line = (name: string, facts: string, {fqdn = '-', port = 80, service = '-'} = {}): string =>
  `1 web 1 ${name} ${facts} 0 0 0 ${fqdn} ${port} ${service}\n`;

async function restored(t: ExecutionContext, settings: TestPoolSettings, lines: readonly string[]) {
  const {path: directory, ...owned} = await temporaryDirectory();
  t.teardown(() => owned[Symbol.asyncDispose]());
  const path = join(directory, 'states');
  await writeFile(path, `1\n${lines.join('')}`);
  const pool: TestPool = testPool({...settings, backend: {...settings.backend, stateFile: {scope: 'global', path}}});
  t.teardown(() => pool[Symbol.dispose]());
  const places = await loadServerStates([pool.pool], createLog('silent'));
  return {...pool, places};
}

test('an app has the administrative state and the weight of the file, and is neither woken nor down by it', async (t) => {
  const apps = new FakeApps();
  const settings = {apps, servers: [app('asleep', {check: schedule, weight: 5}), app('maint'), app('drain')]};
  const pool = await restored(t, settings, [
    line('asleep', '- 0 0 9 5 60 8 2 0 2'),
    line('maint', '10.0.0.7 0 1 1 1 60 1 0 0 0', {port: 8080}),
    line('drain', '10.0.0.8 2 8 1 1 60 1 0 2 0'),
  ]);
  t.like(pool.server('asleep'), {condition: 'up', weight: 9, checksEnabled: false, lastCheck: null});
  t.like(pool.server('maint'), {condition: 'maint', admin: 'maint', target: app('maint').target});
  t.like(pool.server('drain'), {condition: 'drain', admin: 'drain'});
  t.deepEqual(apps.triggers, []);
  pool.server('maint').setAdmin('ready');
  t.is(pool.server('maint').condition, 'up');
  // It still is an app that the first session wakes.
  const opening = pool.open({preferred: ['asleep']});
  t.is(apps.triggers.length, 1);
  apps.finish();
  t.is((await opening).server?.name, 'asleep');
});

test('one that starts slowly goes on where it was', async (t) => {
  const pool = await restored(t, {servers: [server('slow', {slowStartMs: 100_000, weight: 16, check: schedule})]}, [line('slow', '- 1 0 16 16 50 6 3 4 6')]);
  t.is(pool.server('slow').warmthPercent, 50);
  await pool.clock.advance(25_000);
  t.is(pool.server('slow').warmthPercent, 75);
  await pool.clock.advance(30_000);
  t.is(pool.server('slow').warmthPercent, null);
});

test('a server that was down by its checks is up when it has none any more, and down when an operator has said so', async (t) => {
  const pool = await restored(t, {servers: [server('checked-before'), server('by-hand'), server('checked', {check: schedule})]}, [
    line('checked-before', '- 0 0 1 1 60 8 2 0 6'),
    line('by-hand', '- 0 0 1 1 60 1 0 0 0'),
    line('checked', '- 0 0 1 1 60 8 2 0 6'),
  ]);
  t.deepEqual(
    ['checked-before', 'by-hand', 'checked'].map((name) => pool.server(name).condition),
    ['up', 'down', 'down'],
  );
  t.true(pool.lines.some((text) => text.startsWith('Server web/checked is DOWN, changed from server-state after a reload.')));
  check(pool.server('checked'), 'L4OK', 2);
  t.is(pool.server('checked').condition, 'up');
});

test('out of maintenance a server comes up, and goes down at its first failure', (t) => {
  using pool = testPool({servers: [server('s1', {check: schedule})]});
  const s1 = pool.server('s1');
  check(s1, 'L4CON', 1);
  t.is(s1.condition, 'down');
  s1.setAdmin('maint');
  s1.setAdmin('ready');
  t.is(s1.condition, 'up');
  check(s1, 'L4CON', 1);
  t.is(s1.condition, 'down');
  s1.setAdmin('drain');
  s1.setAdmin('ready');
  t.is(s1.condition, 'down');
});

test('a name stays at the address of the file, and one with name servers until they answer', async (t) => {
  const named = {kind: 'address', host: 'db.example', port: 5000} as const;
  const service = {kind: 'address', host: '_sql._tcp.example', port: 0} as const;
  const servers = [
    server('system', {target: named}),
    server('libc', {target: named, keepsAddress: false}),
    server('asked', {target: named, resolvers: 'dns'}),
    server('service', {target: service, resolvers: 'dns'}),
    server('other-service', {target: service, resolvers: 'dns'}),
    server('address'),
  ];
  const facts = '192.0.2.7 2 0 1 1 60 1 0 2 0';
  const pool = await restored(t, {servers}, [
    line('system', facts, {fqdn: 'db.example', port: 5001}),
    line('libc', facts, {fqdn: 'db.example', port: 5001}),
    line('asked', facts, {fqdn: 'db.example', port: 5001}),
    line('service', facts, {port: 5002, service: '_sql._TCP.example'}),
    line('other-service', facts, {port: 5002, service: '_web._tcp.example'}),
    line('address', facts, {port: 81}),
  ]);
  t.deepEqual(pool.server('system').target, {kind: 'address', host: '192.0.2.7', port: 5001});
  t.deepEqual(pool.server('libc').target, named);
  t.deepEqual(pool.server('address').target, {kind: 'address', host: '127.0.0.1', port: 81});
  t.deepEqual(
    [...pool.places].map(([{name}, place]) => [name, place]),
    [
      ['asked', {host: '192.0.2.7', port: 5001}],
      ['service', {host: '192.0.2.7', port: 5002}],
    ],
  );
});
