/** A gateway on a Redis of the operator's: restarted, emptied, failed over with a loss of the last writes. No app loses anything. */
import type {ExecutionContext} from 'ava';
import {askUntilAnswered, durableGatewayWith, verified} from '../helpers/durable-app.ts';
import type {TestGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {clusterRedis, lonelyRedis, type RedisServer, type RedisServers, sentinelRedis} from '../helpers/redis-servers.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

async function started<Servers extends RedisServers>(t: ExecutionContext, redis: Servers): Promise<{redis: Servers; gateway: TestGateway; port: number}> {
  // Teardowns run in reverse: the gateway's comes first.
  t.teardown(() => redis[Symbol.asyncDispose]());
  const {gateway, port} = await durableGatewayWith(t, {globals: `    redis ${redis.url}\n`});
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  return {redis, gateway, port};
}

async function hibernates(gateway: TestGateway): Promise<boolean> {
  try {
    await gateway.hibernate('a');
    return true;
  } catch {
    return false; // Redis may be away still.
  }
}

/** From now on nothing reaches the replica: what the master accepts is lost with it. */
async function cutOffReplica(redis: Awaited<ReturnType<typeof sentinelRedis>>): Promise<{master: RedisServer; replica: RedisServer}> {
  const [master, replica] = [await redis.master(), await redis.replica()];
  await until(async () => (await master.ask('WAIT', '1', '1000')) === '1', {what: 'the replica'});
  await replica.ask('REPLICAOF', '127.0.0.1', '1');
  return {master, replica};
}

rootTest('a failover while an app sleeps, which loses its newest checkpoint in Redis: it is recorded again, and the app wakes from it', async (t) => {
  t.timeout(60_000);
  const {redis, gateway, port} = await started(t, await sentinelRedis());
  const {master, replica} = await cutOffReplica(redis);
  t.is(await ask(port, 'count'), '2');
  await gateway.hibernate('a');
  t.is((await gateway.app('a')).generation, 2);
  await master.kill();
  await until(async () => (await redis.master()) === replica, {what: 'a failover'});
  t.is(await replica.ask('HGET', 'picogate:{a}:app', 'generation'), '1');
  await until(async () => (await replica.ask('HGET', 'picogate:{a}:app', 'generation')) === '2', {what: 'the record to be written again'});
  t.is(await askUntilAnswered(port, 'agree'), '2 2');
  t.is(await ask(port, 'verify'), verified);
  await gateway.hibernate('a');
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 3});
});

rootTest('a failover while an app runs, which loses its lease: it serves on, sleeps, and wakes', async (t) => {
  t.timeout(60_000);
  const {redis, gateway, port} = await started(t, await sentinelRedis());
  const {master, replica} = await cutOffReplica(redis);
  t.is(await ask(port, 'count'), '2');
  await master.kill();
  t.is(await ask(port, 'count'), '3');
  await until(async () => (await redis.master()) === replica, {what: 'a failover'});
  await until(() => hibernates(gateway), {what: 'a hibernation'});
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 2});
  t.is(await askUntilAnswered(port, 'agree'), '3 3');
  t.is(await ask(port, 'verify'), verified);
});

rootTest('a Redis that is killed and started again: a client whose app sleeps waits for it', async (t) => {
  t.timeout(60_000);
  const {redis, port} = await started(t, await lonelyRedis());
  const [server] = redis.servers;
  await server?.kill();
  const answer = ask(port, 'count');
  await server?.start();
  t.is(await answer, '2');
  t.is(await ask(port, 'agree'), '2 2');
});

rootTest('a Redis that is emptied while an app sleeps and while it runs knows it again', async (t) => {
  t.timeout(60_000);
  const {redis, gateway, port} = await started(t, await lonelyRedis());
  const [server] = redis.servers;
  await server?.ask('FLUSHALL');
  await until(async () => (await server?.ask('HGET', 'picogate:{a}:app', 'generation')) === '1', {what: 'the record to be written again'});
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 1});
  await server?.ask('FLUSHALL');
  t.is(await ask(port, 'count'), '2');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '3');
  await server?.ask('FLUSHALL');
  await gateway.hibernate('a');
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 3});
  await gateway.stop();
  await server?.ask('FLUSHALL');
  await gateway.start();
  t.is(await ask(port, 'agree'), '3 3');
  t.is(await ask(port, 'verify'), verified);
  await gateway.hibernate('a');
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 4});
});

rootTest('a gateway on a Redis Cluster', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await started(t, await clusterRedis());
  t.is(await ask(port, 'count'), '2');
  t.like(await gateway.app('a'), {state: 'running', generation: 1});
  await gateway.stop();
  await gateway.start();
  t.is(await ask(port, 'agree'), '2 2');
});
