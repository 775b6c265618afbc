/** The state in every kind of Redis that an operator may have: alone, behind Sentinels, a cluster. */
import test, {type ExecutionContext} from 'ava';
import {systemClock} from '../../src/core/clock.ts';
import {appName, type FencingToken, generation} from '../../src/core/ids.ts';
import {type Connection, connectRedis} from '../../src/store/connection.ts';
import {callControl, serveControl} from '../../src/store/control.ts';
import {openEvents} from '../../src/store/events.ts';
import {keepLease, openLeases} from '../../src/store/lease.ts';
import {openPlacements} from '../../src/store/placements.ts';
import {openState} from '../../src/store/state.ts';
import {clusterRedis, lonelyRedis, type RedisServers, sentinelRedis} from '../helpers/redis-servers.ts';
import {until} from '../helpers/until.ts';
import {freshFields, silent} from './test-redis.ts';

const apps = Array.from({length: 12}, (_, at) => appName(`app-${at}`));
const [first = appName('none')] = apps;
const ttlMs = 60_000;

async function acquired(connection: Connection, app = first, worker = 'w'): Promise<FencingToken> {
  const result = await openLeases(connection).acquire(app, {worker, ttlMs, takeOverOwn: true});
  if (result.kind === 'held') throw new Error(`held by ${result.worker}`);
  return result.token;
}

/** What every Redis must do, over apps in several slots of a cluster. */
async function conforms(t: ExecutionContext, connection: Connection): Promise<void> {
  const state = openState(connection);
  const leases = openLeases(connection);
  const records = await Promise.all(apps.map((app) => state.ensureApp(app, freshFields)));
  t.is(new Set(records.map(({index}) => index)).size, apps.length);
  await Promise.all(
    apps.map(async (app) => {
      const token = await acquired(connection, app);
      t.is((await leases.acquire(app, {worker: 'other', ttlMs})).kind, 'held');
      t.is(await leases.extend(app, {worker: 'w', token}, ttlMs), 'extended');
      await state.updateApp(app, token, {state: 'running', worker: 'w'});
      await state.commitGeneration(app, token, {parent: null, generation: generation(1)});
      await t.throwsAsync(state.commitGeneration(app, token, {parent: null, generation: generation(2)}), {code: 'ERR_GENERATION_CONFLICT'});
      t.true(await leases.release(app, {worker: 'w', token}));
      const record = await state.readApp(app);
      if (record === null) return t.fail('no record');
      t.is(await state.restoreApp(record, token), 'kept');
    }),
  );
  t.deepEqual([...(await state.listApps()).keys()], [...apps].sort());
  const placements = openPlacements(connection);
  await placements.write(first, {generation: 1, local: true, stored: false, pendingObjects: 0, pendingBytes: 0, current: null, lastError: null});
  t.deepEqual([...(await placements.read()).keys()], [first]);

  const events = openEvents(connection);
  const stop = new AbortController();
  const kinds: string[] = [];
  const following = (async () => {
    for await (const {event} of events.follow({after: '0', signal: stop.signal})) kinds.push(event.kind);
  })();
  await events.publish({at: 1, app: first, kind: 'woken'});
  await until(() => kinds.length === 1);
  stop.abort();
  await following;
  t.is((await events.last(5)).length, 1);

  await using _control = await serveControl({connection, log: silent, handlers: {twice: (args) => Promise.resolve([args, args])}});
  t.deepEqual(await callControl(connection, 'twice', 7, {timeoutMs: 5000}), [7, 7]);
}

for (const [name, start] of [
  ['one server', () => lonelyRedis()],
  ['Sentinels', sentinelRedis],
  ['a cluster', clusterRedis],
] as const) {
  test(`state, leases, events and control work with ${name}`, async (t) => {
    await using redis: RedisServers = await start();
    await using connection = await connectRedis({url: redis.url, log: silent});
    await conforms(t, connection);
  });
}

/** The answer that counts is the first one that is no refusal. */
async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  let answer: {readonly value: T} | undefined;
  await until(
    async () => {
      answer = await ask().then(
        (value) => ({value}),
        () => undefined,
      );
      return answer !== undefined;
    },
    {what: 'an answer'},
  );
  if (answer === undefined) throw new Error('no answer');
  return answer.value;
}

for (const how of ['ordered', 'after the death of the master'] as const) {
  test(`a failover ${how}: the connection finds the new master, what was replicated is there, and the control queue is served on`, async (t) => {
    await using redis = await sentinelRedis({sentinels: how === 'ordered' ? 1 : 3});
    await using connection = await connectRedis({url: redis.url, log: silent, commandTimeoutMs: 1000});
    let returns = 0;
    using _listening = connection.onReconnect(() => {
      returns += 1;
    });
    const state = openState(connection);
    await state.ensureApp(first, freshFields);
    const token = await acquired(connection);
    await using _control = await serveControl({connection, log: silent, handlers: {echo: (args) => Promise.resolve(args)}});
    const master = await redis.master();
    t.is(await connection.call('WAIT', 1, 1000), 1);
    if (how === 'ordered') await redis.failover();
    else {
      await master.kill();
      await until(async () => (await redis.master()) !== master, {what: 'a failover'});
    }
    await until(() => returns > 0, {what: 'the connection to be back'});
    await untilAnswered(() => state.updateApp(first, token, {state: 'running'}));
    t.like(await state.readApp(first), {state: 'running'});
    const now = await redis.master();
    t.is(await now.ask('HGET', `picogate:{${first}}:app`, 'state'), 'running');
    t.deepEqual(await untilAnswered(() => callControl(connection, 'echo', 'x', {timeoutMs: 1000})), 'x');
  });
}

test('a failover that loses the last writes: the lost token is never given out again, and its holder puts the record back', async (t) => {
  await using redis = await sentinelRedis();
  await using connection = await connectRedis({url: redis.url, log: silent, commandTimeoutMs: 1000});
  const state = openState(connection);
  const leases = openLeases(connection);
  await state.ensureApp(first, freshFields);
  const before = await acquired(connection);
  await state.commitGeneration(first, before, {parent: null, generation: generation(1)});
  await connection.call('WAIT', 1, 1000);

  const [master, replica] = [await redis.master(), await redis.replica()];
  await replica.ask('REPLICAOF', '127.0.0.1', '1');
  const lost = await acquired(connection);
  await state.commitGeneration(first, lost, {parent: generation(1), generation: generation(2)});
  const record = await state.readApp(first);
  if (record === null) return t.fail('no record');
  await master.kill();
  await until(async () => (await redis.master()) === replica, {what: 'a failover'});

  const holder = {worker: 'w', token: lost};
  t.is(await untilAnswered(() => leases.extend(first, holder, ttlMs)), 'unknown-token');
  t.like(await state.readApp(first), {generation: 1});
  t.is(await state.restoreApp(record, lost), 'restored');
  t.like(await state.readApp(first), {generation: 2});
  t.is(await leases.extend(first, holder, ttlMs), 'extended');
  await state.commitGeneration(first, lost, {parent: generation(2), generation: generation(3)});
  t.true((await acquired(connection)) > lost);
});

test('a master that is cut off from its Sentinels is left when they have named another', async (t) => {
  await using redis = await sentinelRedis();
  await using connection = await connectRedis({url: redis.url, log: silent, commandTimeoutMs: 500});
  await connection.call('SET', 'a', 1);
  const master = await redis.master();
  master.pause();
  await until(async () => (await redis.master()) !== master, {what: 'a failover'});
  await untilAnswered(() => connection.call('SET', 'a', 2));
  t.is(await (await redis.master()).ask('GET', 'a'), '2');
  master.resume();
});

test('a node of a cluster killed: the other slots are served meanwhile, its own by its replica afterwards', async (t) => {
  await using redis = await clusterRedis({replicas: 1});
  await using connection = await connectRedis({url: redis.url, log: silent, commandTimeoutMs: 1000});
  const state = openState(connection);
  await Promise.all(apps.map((app) => state.ensureApp(app, freshFields)));
  const tokens = new Map(await Promise.all(apps.map(async (app) => [app, await acquired(connection, app)] as const)));
  const [master, , , replica] = redis.servers;
  if (master === undefined || replica === undefined) return t.fail('no replica');
  await until(async () => (await replica.ask('DBSIZE')) === (await master.ask('DBSIZE')), {what: 'the replica'});
  let losses = 0;
  using _listening = connection.onReconnect(() => {
    losses += 1;
  });
  await master.kill();
  await until(async () => (await replica.ask('INFO', 'replication')).includes('role:master'), {what: 'a failover'});
  for (const app of apps) await untilAnswered(() => state.updateApp(app, tokens.get(app) ?? ((): never => t.fail())(), {state: 'running'}));
  t.true(losses > 0);
  t.deepEqual(
    [...(await state.listApps()).values()].map((record) => (record instanceof Error ? record : record.state)),
    apps.map(() => 'running'),
  );
});

test('a slot that moves to another node is followed there', async (t) => {
  await using redis = await clusterRedis();
  await using connection = await connectRedis({url: redis.url, log: silent});
  const state = openState(connection);
  await state.ensureApp(first, freshFields);
  const token = await acquired(connection);
  const [one, ...others] = redis.servers;
  if (one === undefined) return t.fail('no node');
  const slot = await one.ask('CLUSTER', 'KEYSLOT', `{${first}}`);
  const holders = await Promise.all(redis.servers.map(async (server) => (await server.ask('CLUSTER', 'COUNTKEYSINSLOT', slot)) !== '0'));
  const from = redis.servers[holders.indexOf(true)];
  const to = [one, ...others].find((server) => server !== from);
  if (from === undefined || to === undefined) return t.fail('nobody has the slot');
  const [fromId, toId] = [await from.ask('CLUSTER', 'MYID'), await to.ask('CLUSTER', 'MYID')];
  await to.ask('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
  await from.ask('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
  const keys = (await from.ask('CLUSTER', 'GETKEYSINSLOT', slot, '10')).split('\n');
  t.is(keys.length, 3);
  // Half of a script's keys are on either side: it waits until all are.
  const [early = '', ...late] = keys;
  await from.ask('MIGRATE', '127.0.0.1', String(to.port), early, '0', '1000');
  const update = state.updateApp(first, token, {state: 'running'});
  for (const key of late) await from.ask('MIGRATE', '127.0.0.1', String(to.port), key, '0', '1000');
  await update;
  await state.updateApp(first, token, {state: 'draining'});
  for (const server of redis.servers) await server.ask('CLUSTER', 'SETSLOT', slot, 'NODE', toId);
  await state.updateApp(first, token, {state: 'hibernated'});
  t.like(await state.readApp(first), {state: 'hibernated'});
});

test('a cluster whose slots nobody serves is no cluster to connect to', async (t) => {
  await using redis = await lonelyRedis('--cluster-enabled', 'yes');
  const url = redis.url.replace('redis://', 'cluster:');
  await t.throwsAsync(connectRedis({url, log: silent, attempts: 2}), {code: 'ERR_REDIS_UNAVAILABLE', message: /^Cannot connect to Redis "cluster:127/});
});

test('a lease outlives a restart of Redis', async (t) => {
  await using redis = await lonelyRedis();
  await using connection = await connectRedis({url: redis.url, log: silent, commandTimeoutMs: 1000});
  const token = await acquired(connection);
  const leases = openLeases(connection);
  const short = 300;
  await using kept = keepLease(leases, first, {worker: 'w', token}, {ttlMs: short, clock: systemClock, log: silent});
  const [server] = redis.servers;
  await server?.kill();
  const until2 = kept.validUntilMs();
  await server?.start();
  await until(() => kept.validUntilMs() > until2 + short, {what: 'the lease to be extended'});
  t.false(kept.lost.aborted);
  t.is((await leases.acquire(first, {worker: 'other', ttlMs})).kind, 'held');
});
