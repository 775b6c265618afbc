import {rm} from 'node:fs/promises';
import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {connectRedis} from '../../src/store/connection.ts';
import {callControl, serveControl} from '../../src/store/control.ts';
import {clusterRedis, lonelyRedis, type RedisServer} from '../helpers/redis-servers.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {silent} from './test-redis.ts';

const refusals: Readonly<Record<string, (server: RedisServer) => Promise<void>>> = {
  async MISCONF(server) {
    const directory = await temporaryDirectory();
    await server.ask('CONFIG', 'SET', 'dir', directory.path);
    await rm(directory.path, {recursive: true});
    await server.ask('CONFIG', 'SET', 'save', '3600 1');
    await server.ask('BGSAVE');
  },
  async NOREPLICAS(server) {
    await server.ask('CONFIG', 'SET', 'min-replicas-to-write', '5');
  },
  async OOM(server) {
    await server.ask('CONFIG', 'SET', 'maxmemory', '1');
  },
};

for (const [word, refuse] of Object.entries(refusals)) {
  test(`commands that only read are answered while Redis refuses writes: ${word}`, async (t) => {
    await using redis = await lonelyRedis('--enable-protected-configs', 'yes');
    const [server] = redis.servers;
    if (server === undefined) throw new Error('no server');
    await using connection = await connectRedis({url: redis.url, log: silent});
    let woken = 0;
    const handlers = {
      explain: async (args: unknown) => `explained ${JSON.stringify(args)}`,
      wake: async () => ++woken,
      async show(): Promise<never> {
        throw new CodedError('ERR_UNKNOWN_APP', 'Cannot find app "b"', {source: 'client'});
      },
    };
    await using _server = await serveControl({connection, handlers, worker: 'w', log: silent});
    await refuse(server);
    await until(async () => (await server.ask('SET', 'x', '1')).startsWith(word), {what: word});
    t.is(await callControl(connection, 'explain', {name: 'a'}, {timeoutMs: 5000}), 'explained {"name":"a"}');
    t.is(await callControl(connection, 'explain', 1, {timeoutMs: 5000, worker: 'w'}), 'explained 1');
    await t.throwsAsync(callControl(connection, 'show', null, {timeoutMs: 5000}), {code: 'ERR_UNKNOWN_APP', message: 'Cannot find app "b"'});
    await t.throwsAsync(callControl(connection, 'explain', null, {timeoutMs: 100, worker: 'nobody'}), {code: 'ERR_NO_GATEWAY'});
    await t.throwsAsync(callControl(connection, 'wake', null, {timeoutMs: 5000}), {message: new RegExp(word)});
    t.is(woken, 0);
  });
}

test('commands that only read are answered by a Redis Cluster that refuses writes', async (t) => {
  await using redis = await clusterRedis();
  await using connection = await connectRedis({url: redis.url, log: silent});
  await using _server = await serveControl({connection, handlers: {explain: async (args) => args}, log: silent});
  for (const server of redis.servers) await refusals['NOREPLICAS']?.(server);
  t.is(await callControl(connection, 'explain', 7, {timeoutMs: 5000}), 7);
});

test('commands that only read are answered after Redis was lost', async (t) => {
  await using redis = await lonelyRedis();
  const [server] = redis.servers;
  if (server === undefined) throw new Error('no server');
  await using connection = await connectRedis({url: redis.url, log: silent});
  await using _server = await serveControl({connection, handlers: {explain: async (args) => args}, log: silent});
  await server.kill();
  await server.start();
  await until(async () => (await server.ask('PUBSUB', 'NUMSUB', 'picogate:{control}:aside')).endsWith('1'), {what: 'the gateway to listen again'});
  await refusals['NOREPLICAS']?.(server);
  await using again = await connectRedis({url: redis.url, log: silent});
  t.is(await callControl(again, 'explain', 7, {timeoutMs: 5000}), 7);
});

test('a gateway whose user may not subscribe serves all the same', async (t) => {
  await using redis = await lonelyRedis();
  const [server] = redis.servers;
  await server?.ask('ACL', 'SETUSER', 'gate', 'on', '>secret', '~*', '+@all', 'resetchannels');
  await using connection = await connectRedis({url: redis.url.replace('redis://', 'redis://gate:secret@'), log: silent});
  await using _server = await serveControl({connection, handlers: {explain: async (args) => args}, log: silent});
  t.is(await callControl(connection, 'explain', 7, {timeoutMs: 5000}), 7);
});
