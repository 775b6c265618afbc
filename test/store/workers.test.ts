import test from 'ava';
import {appName} from '../../src/core/ids.ts';
import {openBusyClients} from '../../src/store/busy-clients.ts';
import {openWorkers, type WorkerRecord} from '../../src/store/workers.ts';
import {until} from '../helpers/until.ts';
import {testRedis} from './test-redis.ts';

function record(name: string): WorkerRecord {
  return {name, address: '192.0.2.1', memoryBytes: 100, usedBytes: 10, appsMax: null, awake: 1, labels: {disk: 'ssd'}, isStopping: false, at: 1000};
}

test('beat() says that a worker is there until its time is over; another gateway of that name is refused', async (t) => {
  await using redis = await testRedis();
  const workers = openWorkers(redis.connection);
  await workers.beat(record('w1'), {identity: 'a', ttlMs: 200});
  const [first] = await workers.list();
  t.like(first, {...record('w1'), state: 'alive', isDraining: false});
  t.true(first !== undefined && first.expiresInMs > 0 && first.expiresInMs <= 200);
  await t.throwsAsync(workers.beat(record('w1'), {identity: 'b', ttlMs: 200}), {code: 'ERR_WORKER_NAME', message: /another gateway has that name/});
  await workers.beat(record('w1'), {identity: 'a', ttlMs: 50});
  await until(async () => (await workers.list())[0]?.state === 'gone', {timeoutMs: 5000});
  await workers.beat(record('w1'), {identity: 'b', ttlMs: 5000});
  t.is((await workers.list())[0]?.state, 'alive');
});

test('a worker that leaves is known to have stopped until it is back, and one that is forgotten is not known', async (t) => {
  await using redis = await testRedis();
  const workers = openWorkers(redis.connection);
  await workers.beat(record('w1'), {identity: 'a', ttlMs: 5000});
  await workers.leave(record('w1'));
  t.is((await workers.list())[0]?.state, 'stopped');
  await workers.beat(record('w1'), {identity: 'a', ttlMs: 5000});
  t.is((await workers.list())[0]?.state, 'alive');
  await workers.setDraining('w1', true);
  t.true((await workers.list())[0]?.isDraining);
  await workers.setDraining('w1', false);
  t.false((await workers.list())[0]?.isDraining);
  await workers.forget('w1');
  t.deepEqual(await workers.list(), []);
});

test('what cannot be read of a worker is left out', async (t) => {
  await using redis = await testRedis();
  const workers = openWorkers(redis.connection);
  await workers.beat(record('w1'), {identity: 'a', ttlMs: 5000});
  for (const [name, text] of [
    ['w2', '{'],
    ['w3', '[]'],
    ['w4', '{"name":"w4","address":1}'],
  ] as const) {
    await redis.connection.call('HSET', 'picogate:workers', name, text);
  }
  t.deepEqual(
    (await workers.list()).map(({name}) => name),
    ['w1'],
  );
});

test('one worker takes care of the apps of another, and the first one says which range all have', async (t) => {
  await using redis = await testRedis();
  const workers = openWorkers(redis.connection);
  t.deepEqual([await workers.claimFailover('w1', 'w2', 5000), await workers.claimFailover('w1', 'w3', 5000)], [true, false]);
  t.deepEqual([await workers.agreeOnRange('10.1.0.0/16'), await workers.agreeOnRange('10.2.0.0/16')], ['10.1.0.0/16', '10.1.0.0/16']);
});

test('when all workers are forgotten, the next one says which range all have', async (t) => {
  await using redis = await testRedis();
  const workers = openWorkers(redis.connection);
  for (const name of ['w1', 'w2']) await workers.beat(record(name), {identity: name, ttlMs: 5000});
  await workers.agreeOnRange('10.1.0.0/16');
  await workers.forget('w1');
  t.is(await workers.agreeOnRange('10.2.0.0/16'), '10.1.0.0/16');
  await workers.forget('w2');
  t.is(await workers.agreeOnRange('10.2.0.0/16'), '10.2.0.0/16');
});

test('isBusyElsewhere() tells of clients at other workers, for a while', async (t) => {
  await using redis = await testRedis();
  const clients = openBusyClients(redis.connection);
  const wiki = appName('wiki');
  t.false(await clients.isBusyElsewhere(wiki, 'w1'));
  await clients.mark(wiki, 'w2', 100);
  t.deepEqual([await clients.isBusyElsewhere(wiki, 'w1'), await clients.isBusyElsewhere(wiki, 'w2')], [true, false]);
  await until(async () => !(await clients.isBusyElsewhere(wiki, 'w1')), {timeoutMs: 5000});
  t.pass();
});
